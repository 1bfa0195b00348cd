"""Error counts against NumPy; ties, NaN, padding; Wilson's interval; the JSON of an evaluation."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alexnet_tf.commands.evaluate import _print_ensemble, _print_errors
from alexnet_tf.console import Console
from alexnet_tf.evaluation.ensemble import EnsembleEvaluation
from alexnet_tf.evaluation.metrics import (
    Z_95,
    Errors,
    Evaluation,
    count_errors,
    rank_of_label,
    wilson_interval,
)

NAN_RANK = np.iinfo(np.int32).max


def reference_rank(scores, labels):
    """Position of the label in a stable sort by descending score."""
    order = np.argsort(-scores, axis=1, kind="stable")
    rank = np.array([list(row).index(label) for row, label in zip(order, labels, strict=True)])
    return np.where(np.isnan(scores).any(axis=1), NAN_RANK, rank)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_rank_of_label_is_its_position_in_a_stable_sort(data):
    rows, classes = data.draw(st.integers(1, 6)), data.draw(st.integers(2, 12))
    few_values = st.sampled_from([-1.0, 0.0, 0.5, 2.0, np.nan, np.inf, -np.inf])  # gives many ties
    flat = data.draw(st.lists(few_values, min_size=rows * classes, max_size=rows * classes))
    labels = data.draw(st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows))
    scores = np.array(flat, np.float32).reshape(rows, classes)
    rank = rank_of_label(tf.constant(scores), tf.constant(labels, tf.int64))
    assert rank.dtype == tf.int32
    np.testing.assert_array_equal(rank, reference_rank(scores, labels))


def test_count_errors_with_equal_scores_predicts_the_first_class():
    scores = tf.fill([10, 10], 0.1)
    top1, top5, examples = count_errors(scores, tf.range(10), tf.ones(10))
    assert (int(top1), int(top5), int(examples)) == (9, 5, 10)


def test_count_errors_includes_the_fifth_class_in_top_5():
    scores = tf.constant([[9.0, 8, 7, 6, 5, 4, 3]] * 3)
    top1, top5, examples = count_errors(scores, tf.constant([0, 4, 5]), tf.ones(3))
    assert (int(top1), int(top5), int(examples)) == (2, 1, 3)


def test_count_errors_counts_nan_as_wrong_at_any_k():
    scores = tf.constant([[1.0, np.nan], [np.nan, np.nan], [1.0, 0.0]])
    top1, top5, _ = count_errors(scores, tf.constant([0, 0, 0]), tf.ones(3))
    assert (int(top1), int(top5)) == (2, 2)


def test_count_errors_ignores_padding_examples():
    scores = tf.constant([[0.0, 1.0], [0.0, 1.0], [np.nan, 1.0]])
    counts = count_errors(scores, tf.constant([0, 1, 1]), tf.constant([1.0, 1.0, 0.0]))
    assert [int(count) for count in counts] == [1, 0, 2]


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float32, tf.float64])
def test_count_errors_returns_int64_for_every_dtype(dtype):
    counted = tf.function(count_errors)(
        tf.cast([[0.0, 1.0], [1.0, 0.0]], dtype), tf.constant([0, 0], tf.int64), tf.ones(2)
    )
    assert [count.dtype for count in counted] == [tf.int64] * 3
    assert [int(count) for count in counted] == [1, 0, 2]


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_wilson_interval_satisfies_its_definition(count, total):
    assume(count <= total)
    low, high = wilson_interval(count, total)
    assert 0 <= low <= count / total <= high <= 1
    for end in (low, high):
        if 0 < end < 1:  # (p - end)^2 = z^2 end (1 - end) / n defines it
            distance = abs(count / total - end)
            assert distance == pytest.approx(
                Z_95 * math.sqrt(end * (1 - end) / total), rel=1e-6, abs=1e-12
            )


def test_wilson_interval_matches_published_values():
    # Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_wilson_interval_has_exact_ends():
    assert wilson_interval(0, 7)[0] == 0
    assert wilson_interval(7, 7)[1] == 1
    assert wilson_interval(0, 0) == (0, 1)


@pytest.mark.parametrize(("count", "total"), [(-1, 3), (4, 3), (0, -1)])
def test_wilson_interval_rejects_impossible_counts(count, total):
    with pytest.raises(ValueError, match="Received"):
        wilson_interval(count, total)


def test_evaluation_json_has_counts_and_fractions():
    errors = Errors(examples=8, top1_errors=3, top5_errors=1, loss=0.5)
    evaluation = Evaluation("best.keras", "shapes", "validation", errors, ten_crop=errors)
    values = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert {k: values[k] for k in ("model", "dataset", "split")} == {
        "model": "best.keras",
        "dataset": "shapes",
        "split": "validation",
    }
    assert values["center_crop"] == values["ten_crop"]
    assert values["center_crop"]["examples"] == 8
    assert values["center_crop"]["top1_errors"] == 3
    assert values["center_crop"]["top5_errors"] == 1
    assert values["center_crop"]["top1_error"] == pytest.approx(0.375)
    assert values["center_crop"]["top5_error"] == pytest.approx(0.125)
    # Wilson's interval of 3 of 8, computed by hand.
    assert values["center_crop"]["top1_interval"] == pytest.approx([0.1368, 0.6943], abs=5e-5)
    low, high = values["center_crop"]["top5_interval"]
    assert low < 0.125 < high


def test_evaluation_json_omits_ten_crop_if_not_evaluated():
    evaluation = Evaluation("m", "d", "test", Errors(1, 0, 0, 0.1))
    assert "ten_crop" not in evaluation.to_json()


def test_errors_json_has_null_for_a_nan_loss():
    values = Errors(1, 1, 1, float("nan")).to_json()
    assert json.dumps(values, allow_nan=False)
    assert values["loss"] is None


def test_top5_error_is_missing_of_the_tables_for_five_classes(capsys):
    errors = Errors(10, 3, 0, 0.5)
    for classes, shown in ((5, 0), (6, 1), (None, 1)):
        found = Evaluation("m", "d", "test", errors, errors, num_classes=classes)
        _print_errors(found, Console())
        assert capsys.readouterr().out.count("top-5 error") == shown
        _print_ensemble(EnsembleEvaluation((found, found), found), Console())
        assert capsys.readouterr().out.count("top-5 error") == 2 * shown
