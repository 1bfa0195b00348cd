"""Class names in any script."""

import numpy as np

from alexnet_tf.figures.metrics import draw_confusion_matrix
from alexnet_tf.figures.text import display_names, text_style, truncate
from alexnet_tf.figures.tiles import Tile, draw_tiles
from tests.figures.drawing import pixels, ticks

NAMES = ["猫", "Кошка", "γάτα", "a $b_{c}^d", "tab\tand\nline", "𓃠𓃠", "", "x" * 200, "\x00\u202e"]


def test_display_names_of_any_script_are_drawn_or_replaced_by_numbers():
    names = display_names(NAMES)
    assert names[1:5] == ["Кошка", "γάτα", "a $b_{c}^d", "tab and line"]
    assert names[0] in ("猫", "class 0")  # depends on the installed fonts
    assert names[6] == "class 6"
    assert names[8] == "class 8"
    figure = draw_confusion_matrix(np.eye(len(NAMES), dtype=int), names)
    assert pixels(figure).std() > 0
    assert ticks(figure.axes[0], "x")[3] == "a $b_{c}^d"


def test_letters_of_no_font_give_no_warning():
    figure = draw_tiles([Tile(np.zeros((4, 4, 3), np.uint8), "𓃠", ["\ue123"], [0.5])])
    pixels(figure)


def test_truncate_counts_wide_letters_twice():
    assert (truncate("abcdef", 6), truncate("abcdefg", 6)) == ("abcdef", "abcde…")
    assert (truncate("猫猫猫", 6), truncate("猫猫猫猫", 6)) == ("猫猫猫", "猫猫…")
    assert text_style(["abc"])["fontfamily"] == ["DejaVu Sans"]
