"""The curves of a run."""

import pytest

from alexnet_tf.pictures.curves import draw_curves
from tests.pictures.drawing import pixels


def test_curves_leave_out_what_was_not_measured():
    record = dict.fromkeys(
        ["training_loss", "training_top1_error", "learning_rate", "validation_loss"], 0.5
    )
    history = [
        {**record, "epoch": n, "validation_top1_error": None, "validation_top5_error": None}
        for n in (1, 2)
    ]
    figure = draw_curves(history, "a $title$")
    loss, error, _ = figure.axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    assert [line.get_label() for line in error.lines] == ["training top-1"]
    assert error.lines[0].get_ydata() == pytest.approx([50, 50])
    pixels(figure)
