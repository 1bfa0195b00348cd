"""Themes, and figures written to files."""

import errno

import numpy as np
import pytest

from alexnet_tf.figures.canvas import DARK, LIGHT, save_figure
from alexnet_tf.figures.metrics import draw_confusion_matrix
from alexnet_tf.figures.tiles import draw_tiles
from tests.figures.drawing import pixels
from tests.figures.test_tiles import tile


def test_dark_theme_is_dark_and_light_theme_is_light():
    matrix = np.eye(2, dtype=int)
    light, dark = (
        pixels(draw_confusion_matrix(matrix, ["a", "b"], theme))[0, 0] for theme in (LIGHT, DARK)
    )
    assert (light > 250).all() and (dark < 60).all()


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_same_figure_gives_the_same_file(tmp_path, suffix):
    first, second = (
        save_figure(draw_tiles([tile(0)]), tmp_path / f"{name}{suffix}").read_bytes()
        for name in "ab"
    )
    assert first == second
    assert b"dc:date" not in first and b"CreationDate" not in first
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


def test_failed_save_leaves_no_file(tmp_path, monkeypatch):
    def fail(path, **settings):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "no space left")

    figure = draw_tiles([tile(0)])
    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="no space left"):
        save_figure(figure, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
