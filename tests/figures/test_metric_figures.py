"""Calibration, errors of the classes, and confusions."""

import numpy as np
import pytest

from alexnet_tf.figures.canvas import DARK
from alexnet_tf.figures.metrics import (
    MAX_BARS,
    MAX_MATRIX_CLASSES,
    draw_calibration,
    draw_class_errors,
    draw_confusion_matrix,
    draw_confusions,
)
from tests.figures.drawing import pixels, texts, ticks


def test_calibration_has_bars_only_for_bins_with_images():
    edges, counts = np.linspace(0, 1, 5), np.array([0, 0, 2, 8])
    means = np.array([np.nan, np.nan, 0.6, 0.9])
    figure = draw_calibration(edges, counts, means, means - 0.1, 0.1)
    above, below = figure.axes
    assert [bar.get_height() for bar in above.patches] == pytest.approx([50, 80])
    assert [bar.get_height() for bar in below.patches] == [0, 0, 2, 8]
    assert "10.00%" in above.get_title()
    pixels(figure)
    undefined = np.full(4, np.nan)
    empty = draw_calibration(edges, np.zeros(4, int), undefined, undefined, float("nan"))
    assert "no images" in empty.axes[0].get_title()
    pixels(empty)


def test_class_errors_of_a_thousand_classes_are_the_worst_and_the_best():
    errors = np.linspace(1, 0, 1000)
    names = [f"n{i:04}" for i in range(1000)]
    figure = draw_class_errors(names, errors, np.stack([errors, errors], 1), 0.5)
    (axes,) = figure.axes
    half = MAX_BARS // 2
    assert ticks(axes, "y") == names[:half] + names[-half:]
    assert "960" in texts(axes)[0]
    assert len(draw_class_errors(["a"], np.zeros(1), np.zeros((1, 2)), 0).axes[0].patches) == 1


def test_confusion_matrix_has_percentages_of_its_rows():
    figure = draw_confusion_matrix(np.array([[3, 1], [0, 0]]), ["cat", "dog"])
    (axes,) = figure.axes
    assert texts(axes) == ["75", "25"]  # no numbers for a class without images
    assert ticks(axes, "x") == ticks(axes, "y") == ["cat", "dog"]
    wrong, right = (image.get_array() for image in axes.images)
    assert right[0, 0] == 0.75 and wrong[0, 1] == 0.25
    assert np.ma.getmaskarray(right)[0, 1] or np.isnan(right[0, 1])
    assert pixels(figure).std() > 0


@pytest.mark.parametrize("classes", [10, 100, MAX_MATRIX_CLASSES])
def test_confusion_matrix_of_many_classes_has_no_numbers_or_names(classes):
    matrix = np.eye(classes, dtype=int) * 9 + 1
    figure = draw_confusion_matrix(matrix, [f"class {i}" for i in range(classes)], DARK)
    (axes,) = figure.axes
    assert bool(axes.texts) == (classes <= 16)
    assert ("class 1" in ticks(axes, "x")) == (classes <= 80)
    assert pixels(figure).shape[1] < 50 * 11


def test_confusion_matrix_rejects_too_many_classes_and_wrong_shapes():
    with pytest.raises(ValueError, match="Received"):
        draw_confusion_matrix(np.eye(1000, dtype=int), ["a"] * 1000)
    with pytest.raises(ValueError, match="Received"):
        draw_confusion_matrix(np.eye(3, dtype=int), ["a"] * 2)


def test_confusions_are_named_with_their_counts():
    figure = draw_confusions(["tench", "goldfish"], ["goldfish", "shark"], [30, 4], [50, 1000])
    (axes,) = figure.axes
    assert ticks(axes, "y") == ["tench → goldfish", "goldfish → shark"]
    assert [text.strip() for text in texts(axes)] == ["30 of 50", "4 of 1,000"]
    assert [bar.get_width() for bar in axes.patches] == [60, 0.4]
    assert "no confusions" in texts(draw_confusions([], [], [], []).axes[0])[0]
