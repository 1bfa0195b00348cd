"""Top-k counting against a NumPy reference, ties, NaN and padding."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_tf.evaluation.topk import count_errors, rank_of_label

LARGEST = np.iinfo(np.int32).max


def reference_rank(scores, labels):
    """The label's place in a stable sort, best first: ties stay in the order of the classes."""
    order = np.argsort(-scores, axis=1, kind="stable")
    rank = np.array([list(row).index(label) for row, label in zip(order, labels, strict=True)])
    return np.where(np.isnan(scores).any(axis=1), LARGEST, rank)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_rank_is_the_place_in_a_stable_sort(data):
    rows, classes = data.draw(st.integers(1, 6)), data.draw(st.integers(2, 12))
    few_values = st.sampled_from([-1.0, 0.0, 0.5, 2.0, np.nan, np.inf, -np.inf])  # so, many ties
    flat = data.draw(st.lists(few_values, min_size=rows * classes, max_size=rows * classes))
    labels = data.draw(st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows))
    scores = np.array(flat, np.float32).reshape(rows, classes)
    rank = rank_of_label(tf.constant(scores), tf.constant(labels, tf.int64))
    assert rank.dtype == tf.int32
    np.testing.assert_array_equal(rank, reference_rank(scores, labels))


def test_equal_scores_are_right_for_the_first_class_only():
    scores = tf.fill([10, 10], 0.1)
    top1, top5, examples = count_errors(scores, tf.range(10), tf.ones(10))
    assert (int(top1), int(top5), int(examples)) == (9, 5, 10)


def test_a_label_in_fifth_place_is_right_at_top_5_and_in_sixth_wrong():
    scores = tf.constant([[9.0, 8, 7, 6, 5, 4, 3]] * 3)
    top1, top5, examples = count_errors(scores, tf.constant([0, 4, 5]), tf.ones(3))
    assert (int(top1), int(top5), int(examples)) == (2, 1, 3)


def test_nan_is_wrong_at_any_k_even_with_few_classes():
    scores = tf.constant([[1.0, np.nan], [np.nan, np.nan], [1.0, 0.0]])
    top1, top5, _ = count_errors(scores, tf.constant([0, 0, 0]), tf.ones(3))
    assert (int(top1), int(top5)) == (2, 2)


def test_rows_of_weight_zero_are_not_counted():
    scores = tf.constant([[0.0, 1.0], [0.0, 1.0], [np.nan, 1.0]])
    counts = count_errors(scores, tf.constant([0, 1, 1]), tf.constant([1.0, 1.0, 0.0]))
    assert [int(count) for count in counts] == [1, 0, 2]


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float32, tf.float64])
def test_counts_are_int64_in_the_graph_for_every_type_of_score(dtype):
    counted = tf.function(count_errors)(
        tf.cast([[0.0, 1.0], [1.0, 0.0]], dtype), tf.constant([0, 0], tf.int64), tf.ones(2)
    )
    assert [count.dtype for count in counted] == [tf.int64] * 3
    assert [int(count) for count in counted] == [1, 0, 2]
