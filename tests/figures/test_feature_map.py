"""The flat map of features."""

import numpy as np
import pytest
from tests.pictures.drawing import pixels

from alexnet_tf.figures.feature_map import draw_feature_map


@pytest.mark.parametrize("classes", [2, 1000])
def test_a_feature_map_names_classes_where_their_points_are(classes):
    labels = np.arange(2 * classes) % classes
    points = np.stack([labels, labels], axis=1) + np.random.default_rng(0).normal(size=(1, 2))
    figure = draw_feature_map(points, labels, [f"c{i}" for i in range(classes)])
    (axes,) = figure.axes
    assert len(axes.texts) == min(classes, 40)
    second = axes.texts[1]
    assert second.get_text() == "c1"
    assert second.get_position() == pytest.approx(tuple(points[1]))
    pixels(figure)
