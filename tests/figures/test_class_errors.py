"""Each class's error; of many classes the worst and the best."""

import numpy as np
from tests.pictures.drawing import texts, ticks

from alexnet_tf.figures.class_errors import MOST_BARS, draw_class_errors


def test_a_thousand_classes_show_the_worst_and_the_best_errors():
    shares = np.linspace(1, 0, 1000)
    names = [f"n{i:04}" for i in range(1000)]
    figure = draw_class_errors(names, shares, np.stack([shares, shares], 1), 0.5)
    (axes,) = figure.axes
    half = MOST_BARS // 2
    assert ticks(axes, "y") == names[:half] + names[-half:]
    assert "960" in texts(axes)[0]
    assert len(draw_class_errors(["a"], np.zeros(1), np.zeros((1, 2)), 0).axes[0].patches) == 1
