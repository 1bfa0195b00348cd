"""Themes, and the way to a file."""

import numpy as np
import pytest

from alexnet_tf.pictures.confusion import draw_confusion_matrix
from alexnet_tf.pictures.figure import save_picture
from alexnet_tf.pictures.theme import DARK, LIGHT
from alexnet_tf.pictures.tiles import draw_tiles
from tests.pictures.drawing import pixels
from tests.pictures.test_tiles import tile


def test_a_dark_theme_is_dark_and_a_light_one_light():
    matrix = np.eye(2, dtype=int)
    light, dark = (
        pixels(draw_confusion_matrix(matrix, ["a", "b"], theme))[0, 0] for theme in (LIGHT, DARK)
    )
    assert (light > 250).all() and (dark < 60).all()


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_picture_gives_the_same_file_whole_or_not_at_all(tmp_path, suffix):
    def draw(path):
        return save_picture(draw_tiles([tile(0)]), path).read_bytes()

    first, second = draw(tmp_path / f"a{suffix}"), draw(tmp_path / f"b{suffix}")
    assert len(first) == len(second)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]
