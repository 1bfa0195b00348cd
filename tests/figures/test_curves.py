"""The curves of a run."""

import pytest
from run_records import epoch_record

from alexnet_tf.figures.curves import draw_curves
from tests.figures.drawing import pixels


def test_curves_skip_values_that_were_not_measured():
    history = [epoch_record(epoch, validation_loss=0.5) for epoch in (1, 2)]
    figure = draw_curves(history, "a $title$")
    loss, error, _ = figure.axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    assert [line.get_label() for line in error.lines] == ["training top-1"]
    assert error.lines[0].get_ydata() == pytest.approx([50, 50])
    pixels(figure)


@pytest.mark.parametrize(("num_classes", "expected"), [(None, 1), (6, 1), (5, 0), (2, 0)])
def test_curves_skip_the_top_5_error_of_five_or_fewer_classes(num_classes, expected):
    history = [epoch_record(1, validation_top5_error=0.0)]
    error = draw_curves(history, num_classes=num_classes).axes[1]
    labels = [line.get_label() for line in error.lines]
    assert labels.count("validation top-5") == expected
