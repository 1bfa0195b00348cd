"""Class names in any script."""

import numpy as np
from tests.pictures.drawing import pixels, ticks

from alexnet_tf.figures.confusion import draw_confusion_matrix
from alexnet_tf.figures.names import drawable, shortened, text_style
from alexnet_tf.figures.tiles import Tile, draw_tiles

NAMES = ["猫", "Кошка", "γάτα", "a $b_{c}^d", "tab\tand\nline", "𓃠𓃠", "", "x" * 200, "\x00\u202e"]


def test_names_in_any_script_are_drawn_or_replaced_by_their_number():
    names = drawable(NAMES)
    assert names[1:5] == ["Кошка", "γάτα", "a $b_{c}^d", "tab and line"]
    assert names[0] in ("猫", "class 0")  # by the fonts of the machine
    assert names[6] == "class 6"
    assert names[8] == "class 8"
    figure = draw_confusion_matrix(np.eye(len(NAMES), dtype=int), names)
    assert pixels(figure).std() > 0
    assert ticks(figure.axes[0], "x")[3] == "a $b_{c}^d"


def test_letters_that_no_font_has_make_no_noise():
    figure = draw_tiles([Tile(np.zeros((4, 4, 3), np.uint8), "𓃠", ["\ue123"], [0.5])])
    pixels(figure)


def test_long_names_are_cut_and_wide_letters_count_twice():
    assert shortened(["abcdef", "abcdefg"], 6) == ["abcdef", "abcde…"]
    assert shortened(["猫猫猫", "猫猫猫猫"], 6) == ["猫猫猫", "猫猫…"]
    assert text_style(["abc"])["fontfamily"] == ["DejaVu Sans"]
