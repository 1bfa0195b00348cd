"""The confusion matrix of few and many classes, and the worst confusions in its place."""

import numpy as np
import pytest
from tests.pictures.drawing import pixels, texts, ticks

from alexnet_tf.figures.confusion import MOST_CLASSES, draw_confusion_matrix, draw_confusions
from alexnet_tf.figures.theme import DARK


def test_two_classes_have_shares_of_their_rows_in_the_matrix():
    figure = draw_confusion_matrix(np.array([[3, 1], [0, 0]]), ["cat", "dog"])
    (axes,) = figure.axes
    assert texts(axes) == ["75", "25"]  # a class without images has nothing
    assert ticks(axes, "x") == ticks(axes, "y") == ["cat", "dog"]
    wrong, right = (image.get_array() for image in axes.images)
    assert right[0, 0] == 0.75 and wrong[0, 1] == 0.25
    assert np.ma.getmaskarray(right)[0, 1] or np.isnan(right[0, 1])
    assert pixels(figure).std() > 0


@pytest.mark.parametrize("classes", [10, 100, MOST_CLASSES])
def test_larger_matrices_stay_readable(classes):
    matrix = np.eye(classes, dtype=int) * 9 + 1
    figure = draw_confusion_matrix(matrix, [f"class {i}" for i in range(classes)], DARK)
    (axes,) = figure.axes
    assert bool(axes.texts) == (classes <= 16)
    assert ("class 1" in ticks(axes, "x")) == (classes <= 80)
    assert pixels(figure).shape[1] < 50 * 11


def test_no_matrix_of_a_thousand_classes_or_of_other_shapes():
    with pytest.raises(ValueError, match="Received"):
        draw_confusion_matrix(np.eye(1000, dtype=int), ["a"] * 1000)
    with pytest.raises(ValueError, match="Received"):
        draw_confusion_matrix(np.eye(3, dtype=int), ["a"] * 2)


def test_the_worst_confusions_of_many_classes_are_named_with_their_counts():
    figure = draw_confusions(["tench", "goldfish"], ["goldfish", "shark"], [30, 4], [50, 1000])
    (axes,) = figure.axes
    assert ticks(axes, "y") == ["tench → goldfish", "goldfish → shark"]
    assert [text.strip() for text in texts(axes)] == ["30 of 50", "4 of 1,000"]
    assert [bar.get_width() for bar in axes.patches] == [60, 0.4]
    assert "nothing" in texts(draw_confusions([], [], [], []).axes[0])[0]
