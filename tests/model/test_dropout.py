"""Both kinds of dropout, and masks that depend only on their position."""

import concurrent.futures
import itertools
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_tf.model.layers.dropout import InvertedDropout, PaperDropout, dropout_scope


def kept(layer, rows, units, seed=1, step=0, first_row=0):
    with dropout_scope(seed, step, first_row):
        return np.asarray(layer(tf.ones((rows, units)), training=True)) > 0


def test_paper_dropout_scales_only_at_test():
    x = np.random.default_rng(0).normal(size=(64, 100)).astype(np.float32)
    layer = PaperDropout(0.25)
    with dropout_scope(1, 0):
        trained = layer(x, training=True).numpy()
    np.testing.assert_array_equal(trained[trained != 0], x[trained != 0])
    assert (trained == 0).mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(layer(x), 0.75 * x)


def test_inverted_dropout_scales_only_in_training():
    x = np.random.default_rng(0).normal(size=(64, 100)).astype(np.float32)
    layer = InvertedDropout(0.25)
    with dropout_scope(1, 0):
        trained = layer(x, training=True).numpy()
    np.testing.assert_allclose(trained[trained != 0], x[trained != 0] / 0.75, rtol=1e-6)
    assert (trained == 0).mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_array_equal(layer(x), x)


@settings(deadline=None, max_examples=30)
@given(
    batch=st.integers(1, 12),
    units=st.integers(1, 37),
    cuts=st.lists(st.integers(0, 12), max_size=3),
    seed=st.integers(0, 2**63 - 1),
    step=st.integers(0, 2**31 - 1),
)
def test_parts_of_a_batch_drop_the_units_of_the_whole_batch(batch, units, cuts, seed, step):
    layer = PaperDropout(0.5, name="dropout6")
    whole = kept(layer, batch, units, seed, step)
    edges = sorted({0, batch, *(cut for cut in cuts if cut < batch)})
    parts = [
        kept(layer, stop - start, units, seed, step, start)
        for start, stop in itertools.pairwise(edges)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_seed_step_layer_and_row_each_change_the_mask():
    layer, other = PaperDropout(0.5, name="dropout6"), PaperDropout(0.5, name="dropout7")
    masks = [
        kept(layer, 8, 64),
        kept(layer, 8, 64, seed=2),
        kept(layer, 8, 64, step=1),
        kept(layer, 8, 64, first_row=8),
        kept(other, 8, 64),
    ]
    np.testing.assert_array_equal(masks[0], kept(layer, 8, 64))
    for i, mask in enumerate(masks):
        for another in masks[:i]:
            assert (mask == another).mean() == pytest.approx(0.5, abs=0.12)
    rows = masks[0]
    assert (rows[0] != rows[1]).any()


def test_masks_are_the_same_for_tensors_and_integers():
    layer = InvertedDropout(0.5, name="dropout6")

    @tf.function
    def traced(step, first_row):
        with dropout_scope(7, step, first_row):
            return layer(tf.ones((4, 10)), training=True)

    mask = traced(tf.constant(3, tf.int64), tf.constant(2)).numpy() > 0
    np.testing.assert_array_equal(mask, kept(layer, 4, 10, 7, 3, 2))


def test_each_thread_has_its_own_scope():
    layer = PaperDropout(0.5, name="dropout6")
    inside = threading.Barrier(2)

    def replica(first_row):
        with dropout_scope(1, 0, first_row):
            inside.wait(timeout=30)  # both have entered theirs
            return np.asarray(layer(tf.ones((4, 10)), training=True)) > 0

    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        parts = list(threads.map(replica, (0, 4)))
    np.testing.assert_array_equal(np.concatenate(parts), kept(layer, 8, 10))


def test_feature_maps_of_any_rank_are_dropped_unit_by_unit():
    with dropout_scope(1, 0):
        y = PaperDropout(0.5)(tf.ones((2, 5, 5, 3)), training=True).numpy()
    assert 0.3 < y.mean() < 0.7
    assert y.std(axis=(1, 2)).min() > 0


def test_masks_without_a_scope_differ_per_call_and_repeat_with_the_seed():
    x = tf.ones((4, 50))
    layer, twin = PaperDropout(0.5, seed=3), PaperDropout(0.5, seed=3)
    first, second = layer(x, training=True).numpy(), layer(x, training=True).numpy()
    assert (first != second).any()
    np.testing.assert_array_equal(twin(x, training=True), first)


def test_model_fit_draws_new_masks():
    model = keras.Sequential([keras.Input((8,)), PaperDropout(0.5), keras.layers.Dense(1)])
    model.compile(
        keras.optimizers.SGD(0.0), "mse"
    )  # the weights stay the same: only the masks differ
    first, second = model.fit(np.ones((16, 8)), np.ones(16), epochs=2, verbose=0).history["loss"]
    assert first != second


def test_scope_does_not_affect_later_calls():
    layer = PaperDropout(0.5, seed=3)
    before = PaperDropout(0.5, seed=3)(tf.ones((4, 50)), training=True)
    kept(layer, 4, 50)
    np.testing.assert_array_equal(layer(tf.ones((4, 50)), training=True), before)


@pytest.mark.parametrize("kind", [PaperDropout, InvertedDropout])
def test_bfloat16_config_and_invalid_rates(kind):
    layer = kind(0.3, seed=5, name="dropout6", dtype="mixed_bfloat16")
    assert layer(tf.ones((2, 8)), training=True).dtype == tf.bfloat16
    copy = kind.from_config(layer.get_config())
    assert (copy.get_config(), copy.rate) == (layer.get_config(), 0.3)
    for rate in (-0.1, 1.0):
        with pytest.raises(ValueError, match=f"rate={rate}"):
            kind(rate)
