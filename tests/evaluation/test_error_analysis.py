"""Analysis of errors, against NumPy loops over all probabilities."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import classification_report
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from alexnet_tf.evaluation.error_analysis import (
    LabeledPredictions,
    calibration,
    class_errors,
    class_report,
    confusion_matrix,
    labeled_predictions,
    least_confident_correct,
    most_confident_errors,
    worst_confusions,
)

SETTINGS = settings(deadline=None, max_examples=50)  # TensorFlow's first call is slow


def predictions_of(probabilities, labels):
    fields = labeled_predictions(
        tf.constant(probabilities, tf.float32), tf.constant(labels, tf.int64)
    )
    return LabeledPredictions(*(values.numpy() for values in fields))


@st.composite
def outputs(draw):
    """Probabilities float32 [n, c] with ties, and labels [n]."""
    images, classes = draw(st.integers(1, 30)), draw(st.integers(2, 9))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    values = random.integers(1, 6, (images, classes)).astype(np.float32)
    return values / values.sum(1, keepdims=True), random.integers(0, classes, images)


@SETTINGS
@given(outputs())
def test_class_errors_and_confusions_match_a_loop(given):
    probabilities, labels = given
    classes = probabilities.shape[1]
    predicted = predictions_of(probabilities, labels)
    matrix = np.zeros((classes, classes), int)
    for row, label in zip(probabilities, labels, strict=True):
        matrix[label, int(np.argmax(row))] += 1
    np.testing.assert_array_equal(confusion_matrix(predicted, classes), matrix)
    found = class_errors(predicted, classes)
    np.testing.assert_array_equal(found.examples, matrix.sum(1))
    np.testing.assert_array_equal(found.top1_errors, matrix.sum(1) - np.diag(matrix))
    np.testing.assert_array_equal(
        found.top5_errors, [(predicted.ranks[labels == c] >= 5).sum() for c in range(classes)]
    )
    errors = [found.top1_errors[c] / found.examples[c] for c in found.worst_first]
    assert errors == sorted(errors, reverse=True)
    assert len(errors) == np.count_nonzero(found.examples)
    pairs = worst_confusions(predicted, 1000)
    assert [pair.count for pair in pairs] == sorted((p.count for p in pairs), reverse=True)
    assert sum(pair.count for pair in pairs) == found.top1_errors.sum()
    for pair in pairs:
        assert pair.count == matrix[pair.label, pair.predicted] > 0
        assert pair.label != pair.predicted
        assert pair.examples == found.examples[pair.label]


@SETTINGS
@given(outputs(), st.integers(1, 20))
def test_calibration_error_is_the_weighted_gap_of_the_bins(given, bins):
    probabilities, labels = given
    predicted = predictions_of(probabilities, labels)
    found = calibration(predicted, bins)
    confidence, right = probabilities.max(1).astype(float), probabilities.argmax(1) == labels
    error = 0.0
    for i, (low, high) in enumerate(zip(found.edges[:-1], found.edges[1:], strict=True)):
        inside = (confidence > low) & (confidence <= high)
        assert found.counts[i] == inside.sum()
        if inside.any():
            assert found.accuracies[i] == pytest.approx(right[inside].mean())
            assert found.confidences[i] == pytest.approx(confidence[inside].mean())
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
        else:
            assert np.isnan(found.accuracies[i])
    assert found.counts.sum() == len(labels)
    assert found.expected_error == pytest.approx(error)


def test_calibration_error_of_calibrated_and_overconfident_networks():
    labels = np.array([0] * 8 + [1] * 2)
    calibrated = predictions_of(np.tile([0.8, 0.2], (10, 1)), labels)
    assert calibration(calibrated).expected_error == pytest.approx(0, abs=1e-7)
    overconfident = predictions_of(np.tile([1.0, 0.0], (10, 1)), np.ones(10, int))
    assert calibration(overconfident).expected_error == pytest.approx(1)


def test_most_confident_errors_and_least_confident_correct_images():
    probabilities = [[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.45, 0.55], [0.2, 0.8]]
    predicted = predictions_of(probabilities, [1, 1, 1, 1, 0])
    np.testing.assert_array_equal(most_confident_errors(predicted, 2), [0, 4])
    np.testing.assert_array_equal(least_confident_correct(predicted, 5), [3, 2])


def test_nan_outputs_are_errors_and_counted_nowhere_else():
    predicted = predictions_of([[np.nan, 0.5], [0.2, 0.8]], [0, 1])
    found = class_errors(predicted, 2)
    np.testing.assert_array_equal(found.top1_errors, [1, 0])
    np.testing.assert_array_equal(found.top5_errors, [1, 0])
    assert confusion_matrix(predicted, 2).sum() == 1
    assert worst_confusions(predicted, 5) == []
    assert calibration(predicted).counts.sum() == 1
    assert len(most_confident_errors(predicted, 5)) == 0
    only_nan = predictions_of([[np.nan, np.nan]], [0])
    assert np.isnan(calibration(only_nan).expected_error)


@SETTINGS
@given(outputs())
def test_labeled_predictions_are_the_top_5_in_order(given):
    probabilities, labels = given
    predicted = predictions_of(probabilities, labels)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    k = min(5, probabilities.shape[1])
    np.testing.assert_array_equal(predicted.classes, order[:, :k])
    np.testing.assert_array_equal(
        predicted.probabilities, np.take_along_axis(probabilities, order, 1)[:, :k]
    )
    ranks = [list(row).index(label) for row, label in zip(order, labels, strict=True)]
    np.testing.assert_array_equal(predicted.ranks, ranks)
    np.testing.assert_array_equal(
        predicted.label_probabilities, probabilities[np.arange(len(labels)), labels]
    )


def test_concatenate_keeps_the_order_of_the_parts():
    first, second = (
        predictions_of([[0.9, 0.1]], [1]),
        predictions_of([[0.3, 0.7], [0.6, 0.4]], [1, 0]),
    )
    both = LabeledPredictions.concatenate([first, second])
    assert len(both) == 3
    np.testing.assert_array_equal(both.labels, [1, 1, 0])
    np.testing.assert_array_equal(both.predicted, [0, 1, 0])
    np.testing.assert_array_equal(both.is_correct, [False, True, True])


def test_labeled_predictions_take_56_bytes_per_image():
    predictions = LabeledPredictions(
        np.zeros(10, np.int64),
        np.zeros(10, np.int32),
        np.zeros((10, 5), np.int32),
        np.zeros((10, 5), np.float32),
        np.zeros(10, np.float32),
    )
    assert sum(values.nbytes for values in vars(predictions).values()) == 10 * 56


@SETTINGS
@given(outputs())
def test_class_report_matches_scikit_learn(case):
    probabilities, labels = case
    predicted = probabilities.argmax(axis=1)
    names = [f"class {index}" for index in range(probabilities.shape[1])]
    report = class_report(predictions_of(probabilities, labels), names)
    expected = classification_report(labels, predicted, output_dict=True, zero_division=0)
    for index, name, found in report.classes:
        assert name == names[index]
        values = expected.pop(str(index))
        assert found == pytest.approx(
            (values["precision"], values["recall"], values["f1-score"], values["support"])
        )
    for name, found in (("macro", report.macro_average), ("weighted", report.weighted_average)):
        values = expected[f"{name} avg"]
        assert found == pytest.approx(
            (values["precision"], values["recall"], values["f1-score"], values["support"])
        )
    assert not [key for key in expected if key.isdecimal()]  # none is missing
    assert [metrics.f1 for *_, metrics in report.classes] == sorted(
        metrics.f1 for *_, metrics in report.classes
    )
    cells = {(a, b): n for a, b, n in report.confusion}
    matrix = sklearn_confusion_matrix(labels, predicted, labels=range(len(names)))
    assert cells == {(a, b): matrix[a, b] for a, b in zip(*np.nonzero(matrix), strict=True)}


def test_class_report_worked_out_by_hand():
    probabilities = [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.7, 0.2], [np.nan, 0.0, 0.0]]
    report = class_report(predictions_of(probabilities, [0, 1, 1, 2]), ["a", "b", "c"])
    assert report.classes == (
        (2, "c", (0.0, 0.0, 0.0, 1)),  # its only image has a NaN: predicted as no class
        (0, "a", (0.5, 1.0, pytest.approx(2 / 3), 1)),
        (1, "b", (1.0, 0.5, pytest.approx(2 / 3), 2)),
    )
    assert report.macro_average[:2] == (0.5, 0.5)
    assert report.weighted_average[:2] == (pytest.approx(0.625), 0.5)
    assert report.confusion.tolist() == [[0, 0, 1], [1, 0, 1], [1, 1, 1]]
    # |1 - 0.8|, |0 - 0.6| and |1 - 0.7|, each alone in its bin
    assert report.calibration_error == pytest.approx((0.2 + 0.6 + 0.3) / 3)
    assert report.to_json()["expected_calibration_error"] == report.calibration_error


def test_class_report_of_nan_alone_has_no_calibration_error():
    report = class_report(predictions_of([[np.nan, 0.0]], [1]), ["a", "b"])
    assert report.to_json()["expected_calibration_error"] is None
    assert report.to_json()["confusion"] == []
