"""What a report counts, against NumPy loops over whole probabilities."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_tf.evaluation.answers import Answers, answer
from alexnet_tf.evaluation.metrics import (
    calibration,
    class_errors,
    confident_mistakes,
    confusion_matrix,
    unsure_hits,
    worst_confusions,
)

SETTINGS = settings(deadline=None, max_examples=50)  # TensorFlow's first call is slow


def answers_of(probabilities, labels):
    given = answer(tf.constant(probabilities, tf.float32), tf.constant(labels, tf.int64))
    return Answers(*(values.numpy() for values in given))


@st.composite
def outputs(draw):
    """Probabilities float32 [n, c] with ties, and labels [n]."""
    images, classes = draw(st.integers(1, 30)), draw(st.integers(2, 9))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    values = random.integers(1, 6, (images, classes)).astype(np.float32)
    return values / values.sum(1, keepdims=True), random.integers(0, classes, images)


@SETTINGS
@given(outputs())
def test_classes_and_confusions_are_what_a_loop_counts(given):
    probabilities, labels = given
    classes = probabilities.shape[1]
    said = answers_of(probabilities, labels)
    matrix = np.zeros((classes, classes), int)
    for row, label in zip(probabilities, labels, strict=True):
        matrix[label, int(np.argmax(row))] += 1
    np.testing.assert_array_equal(confusion_matrix(said, classes), matrix)
    found = class_errors(said, classes)
    np.testing.assert_array_equal(found.examples, matrix.sum(1))
    np.testing.assert_array_equal(found.top1_errors, matrix.sum(1) - np.diag(matrix))
    np.testing.assert_array_equal(
        found.top5_errors, [(said.ranks[labels == c] >= 5).sum() for c in range(classes)]
    )
    shares = [found.top1_errors[c] / found.examples[c] for c in found.worst_first]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == np.count_nonzero(found.examples)
    pairs = worst_confusions(said, 1000)
    assert [pair.count for pair in pairs] == sorted((p.count for p in pairs), reverse=True)
    assert sum(pair.count for pair in pairs) == found.top1_errors.sum()
    for pair in pairs:
        assert pair.count == matrix[pair.label, pair.predicted] > 0
        assert pair.label != pair.predicted
        assert pair.examples == found.examples[pair.label]


@SETTINGS
@given(outputs(), st.integers(1, 20))
def test_calibration_is_the_weighted_gap_of_the_bins(given, bins):
    probabilities, labels = given
    said = answers_of(probabilities, labels)
    found = calibration(said, bins)
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


def test_a_perfectly_calibrated_network_has_no_error_and_an_arrogant_one_all():
    labels = np.array([0] * 8 + [1] * 2)
    modest = answers_of(np.tile([0.8, 0.2], (10, 1)), labels)
    assert calibration(modest).expected_error == pytest.approx(0, abs=1e-7)
    arrogant = answers_of(np.tile([1.0, 0.0], (10, 1)), np.ones(10, int))
    assert calibration(arrogant).expected_error == pytest.approx(1)


def test_the_images_worth_a_look():
    probabilities = [[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.45, 0.55], [0.2, 0.8]]
    said = answers_of(probabilities, [1, 1, 1, 1, 0])
    np.testing.assert_array_equal(confident_mistakes(said, 2), [0, 4])
    np.testing.assert_array_equal(unsure_hits(said, 5), [3, 2])


def test_outputs_that_are_no_numbers_are_errors_and_nothing_else():
    said = answers_of([[np.nan, 0.5], [0.2, 0.8]], [0, 1])
    found = class_errors(said, 2)
    np.testing.assert_array_equal(found.top1_errors, [1, 0])
    np.testing.assert_array_equal(found.top5_errors, [1, 0])
    assert confusion_matrix(said, 2).sum() == 1
    assert worst_confusions(said, 5) == []
    assert calibration(said).counts.sum() == 1
    assert len(confident_mistakes(said, 5)) == 0
    nothing = answers_of([[np.nan, np.nan]], [0])
    assert np.isnan(calibration(nothing).expected_error)
