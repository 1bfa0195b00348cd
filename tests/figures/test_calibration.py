"""The reliability diagram."""

import numpy as np
import pytest
from tests.pictures.drawing import pixels

from alexnet_tf.figures.calibration import draw_calibration


def test_calibration_has_bars_where_there_are_images():
    edges, counts = np.linspace(0, 1, 5), np.array([0, 0, 2, 8])
    means = np.array([np.nan, np.nan, 0.6, 0.9])
    figure = draw_calibration(edges, counts, means, means - 0.1, 0.1)
    above, below = figure.axes
    assert [bar.get_height() for bar in above.patches] == pytest.approx([50, 80])
    assert [bar.get_height() for bar in below.patches] == [0, 0, 2, 8]
    assert "10.00%" in above.get_title()
    pixels(figure)
    nothing = np.full(4, np.nan)
    empty = draw_calibration(edges, np.zeros(4, int), nothing, nothing, float("nan"))
    assert "no images" in empty.axes[0].get_title()
    pixels(empty)
