"""Spatial LRN of the 2012 run against its formula, forward and backward, clipped at borders."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_tf.model.layers.spatial_response_normalization import SpatialResponseNormalization


def sums(a, size):
    """Sums over the size x size window around each pixel, clipped at the borders."""
    reach = size // 2
    total = np.zeros_like(a)
    for y in range(a.shape[1]):
        for x in range(a.shape[2]):
            rows = slice(max(0, y - reach), y + reach + 1)
            columns = slice(max(0, x - reach), x + reach + 1)
            total[:, y, x] = a[:, rows, columns].sum((1, 2))
    return total


@settings(deadline=None, max_examples=25)
@given(
    height=st.integers(1, 8),
    width=st.integers(1, 8),
    channels=st.integers(1, 4),
    size=st.sampled_from([1, 3, 5]),
    seed=st.integers(0, 999),
)
def test_forward_and_backward_match_the_formula(height, width, channels, size, seed):
    a, upstream = np.random.default_rng(seed).normal(0, 3, (2, 2, height, width, channels))
    alpha, beta = 0.2, 0.75
    layer = SpatialResponseNormalization(size, 1.0, alpha, beta, dtype="float64")
    inputs = tf.constant(a)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        b = layer(inputs)
    d = 1.0 + alpha * sums(a**2, size)
    np.testing.assert_allclose(b, a * d**-beta, rtol=1e-10)
    spread = sums(upstream * a * d ** (-beta - 1), size)
    np.testing.assert_allclose(
        tape.gradient(b, inputs, output_gradients=tf.constant(upstream)),
        upstream * d**-beta - 2 * alpha * beta * a * spread,
        rtol=1e-9,
        atol=1e-12,
    )


def test_defaults_are_those_of_the_2012_run():
    layer = SpatialResponseNormalization()
    assert (layer.size, layer.bias, layer.alpha, layer.beta) == (5, 1.0, 0.001 / 25, 0.75)


def test_bfloat16_stays_within_two_percent():
    a = np.abs(np.random.default_rng(1).normal(0, 60, (2, 7, 7, 16))).astype(np.float32)
    expected = SpatialResponseNormalization()(a).numpy()
    result = SpatialResponseNormalization(dtype="mixed_bfloat16")(a)
    assert result.dtype == tf.bfloat16
    assert np.abs(np.float32(result) - expected).max() < 0.02 * expected.max()


def test_layer_is_rebuilt_from_its_config():
    layer = SpatialResponseNormalization(3, 2.0, 0.1, 0.5, name="spatial_norm2")
    copy = SpatialResponseNormalization.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert (copy.size, copy.bias, copy.alpha, copy.beta) == (3, 2.0, 0.1, 0.5)


@pytest.mark.parametrize("arguments", [{"size": 4}, {"size": -1}, {"bias": 0.0}])
def test_invalid_arguments_are_rejected(arguments):
    name, value = next(iter(arguments.items()))
    with pytest.raises(ValueError, match=f"Received: {name}={value}"):
        SpatialResponseNormalization(**arguments)
