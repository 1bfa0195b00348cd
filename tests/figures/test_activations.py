"""Activation maps."""

import numpy as np
from tests.pictures.drawing import pixels

from alexnet_tf.figures.activations import draw_activations, strongest


def test_activations_show_the_strongest_maps_and_units_as_a_square():
    maps = np.zeros((3, 3, 100))
    maps[..., 7], maps[..., 90] = 5, -9
    np.testing.assert_array_equal(strongest(maps, 2), [7, 90])
    layers = [("conv1", maps), ("fc6", np.array([1.0, np.nan, 3.0])), ("dead", np.zeros((1, 1, 2)))]
    figure = draw_activations(np.zeros((9, 9, 1), np.uint8), layers)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[:2] == ["image", "conv1: 64 of 100 maps, 3 × 3"]
    assert titles[2] == "fc6: 3 units"
    units = np.ma.filled(figure.axes[2].images[0].get_array(), np.nan)
    np.testing.assert_array_equal(units, [[1, 0], [3, np.nan]])
    pixels(figure)
