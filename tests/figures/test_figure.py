"""Themes, and the way to a file."""

import errno

import numpy as np
import pytest
from tests.pictures.drawing import pixels
from tests.pictures.test_tiles import tile

from alexnet_tf.figures.confusion import draw_confusion_matrix
from alexnet_tf.figures.figure import save_picture
from alexnet_tf.figures.theme import DARK, LIGHT
from alexnet_tf.figures.tiles import draw_tiles


def test_a_dark_theme_is_dark_and_a_light_one_light():
    matrix = np.eye(2, dtype=int)
    light, dark = (
        pixels(draw_confusion_matrix(matrix, ["a", "b"], theme))[0, 0] for theme in (LIGHT, DARK)
    )
    assert (light > 250).all() and (dark < 60).all()


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_picture_gives_the_same_file(tmp_path, suffix):
    first, second = (
        save_picture(draw_tiles([tile(0)]), tmp_path / f"{name}{suffix}").read_bytes()
        for name in "ab"
    )
    assert first == second
    assert b"dc:date" not in first and b"CreationDate" not in first
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


def test_a_picture_whose_writing_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(path, **settings):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "no space left")

    figure = draw_tiles([tile(0)])
    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="no space left"):
        save_picture(figure, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
