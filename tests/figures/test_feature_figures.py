"""Activations and the projection of features."""

import numpy as np
import pytest

from alexnet_tf.figures.features import draw_activations, draw_projection, strongest_channels
from tests.figures.drawing import pixels


def test_activations_are_the_strongest_channels_and_units_as_a_square():
    channels = np.zeros((3, 3, 100))
    channels[..., 7], channels[..., 90] = 5, -9
    np.testing.assert_array_equal(strongest_channels(channels, 2), [7, 90])
    layers = [
        ("conv1", channels),
        ("fc6", np.array([1.0, np.nan, 3.0])),
        ("dead", np.zeros((1, 1, 2))),
    ]
    figure = draw_activations(np.zeros((9, 9, 1), np.uint8), layers)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[:2] == ["image", "conv1\n64 of 100 channels, 3 × 3"]
    assert titles[2] == "fc6\n3 units"
    units = np.ma.filled(figure.axes[2].images[0].get_array(), np.nan)
    np.testing.assert_array_equal(units, [[1, 0], [3, np.nan]])
    pixels(figure)


@pytest.mark.parametrize("classes", [2, 1000])
def test_projection_names_classes_at_their_points(classes):
    labels = np.arange(2 * classes) % classes
    points = np.stack([labels, labels], axis=1) + np.random.default_rng(0).normal(size=(1, 2))
    figure = draw_projection(points, labels, [f"c{i}" for i in range(classes)])
    (axes,) = figure.axes
    assert len(axes.texts) == min(classes, 40)
    second = axes.texts[1]
    assert second.get_text() == "c1"
    assert second.get_position() == pytest.approx(tuple(points[1]))
    pixels(figure)
