"""The curves of a run."""

import pytest
from run_records import epoch_record
from tests.pictures.drawing import pixels

from alexnet_tf.figures.curves import draw_curves


def test_curves_leave_out_what_was_not_measured():
    history = [epoch_record(epoch, validation_loss=0.5) for epoch in (1, 2)]
    figure = draw_curves(history, "a $title$")
    loss, error, _ = figure.axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    assert [line.get_label() for line in error.lines] == ["training top-1"]
    assert error.lines[0].get_ydata() == pytest.approx([50, 50])
    pixels(figure)
