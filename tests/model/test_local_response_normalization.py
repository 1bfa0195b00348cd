"""LRN against the formula of section 3.3, forward and backward, in groups and in bfloat16."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_tf.model.layers.local_response_normalization import LocalResponseNormalization


def windows(channels, radius, groups):
    """The channels in each channel's window, by the paper's max and min, within its group."""
    size = channels // groups
    for i in range(channels):
        first, last = i // size * size, (i // size + 1) * size - 1
        yield i, range(max(first, i - radius), min(last, i + radius) + 1)


def reference(a, radius, bias, alpha, beta, groups):
    b = np.empty_like(a)
    for i, window in windows(a.shape[-1], radius, groups):
        total = sum(a[..., j] ** 2 for j in window)
        b[..., i] = a[..., i] / (bias + alpha * total) ** beta
    return b


def reference_gradient(a, upstream, radius, bias, alpha, beta, groups):
    """dL/da from db_i/da_j written out for every pair of channels."""
    gradient = np.zeros_like(a)
    for i, window in windows(a.shape[-1], radius, groups):
        d = bias + alpha * sum(a[..., j] ** 2 for j in window)
        gradient[..., i] += upstream[..., i] * d**-beta
        for j in window:
            slope = -2 * alpha * beta * a[..., i] * a[..., j] * d ** (-beta - 1)
            gradient[..., j] += upstream[..., i] * slope
    return gradient


def forward_and_gradient(layer, a, upstream, training):
    a = tf.constant(a)
    with tf.GradientTape() as tape:
        tape.watch(a)
        b = layer(a, training=training)
    return b.numpy(), tape.gradient(b, a, output_gradients=tf.constant(upstream)).numpy()


@settings(deadline=None, max_examples=40)
@given(
    data=st.data(),
    groups=st.sampled_from([1, 2, 4]),
    radius=st.integers(0, 4),
    beta=st.sampled_from([0.75, 0.5, 1.0]),
    training=st.booleans(),
)
def test_forward_and_backward_match_the_formula(data, groups, radius, beta, training):
    size, height, width = (data.draw(st.integers(1, top)) for top in (9, 3, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    a, upstream = rng.normal(0, 3, (2, 2, height, width, groups * size))
    # alpha large, so that the sum matters.
    arguments = {"bias": 2.0, "alpha": 0.3, "beta": beta, "groups": groups}
    layer = LocalResponseNormalization(radius, dtype="float64", **arguments)
    b, gradient = forward_and_gradient(layer, a, upstream, training)
    np.testing.assert_allclose(b, reference(a, radius, **arguments), rtol=1e-10)
    expected = reference_gradient(a, upstream, radius, **arguments)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)


def test_defaults_are_those_of_the_paper_and_match_tensorflow():
    a = np.random.default_rng(0).normal(0, 50, (2, 5, 5, 96)).astype(np.float32)
    expected = tf.nn.local_response_normalization(a, 2, bias=2.0, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(LocalResponseNormalization()(a), expected, rtol=2e-6)


def test_window_ends_at_the_border_of_its_group():
    a = np.zeros((1, 1, 1, 8))
    a[..., 3] = 1.0
    a[..., 4] = 1000.0
    crossing = LocalResponseNormalization(alpha=1.0, dtype="float64")(a)
    apart = LocalResponseNormalization(alpha=1.0, groups=2, dtype="float64")(a)
    assert float(apart[0, 0, 0, 3]) == pytest.approx(3.0**-0.75)
    assert float(crossing[0, 0, 0, 3]) < 1e-3


def test_bfloat16_stays_within_two_percent_forward_and_backward():
    rng = np.random.default_rng(1)
    a = np.abs(rng.normal(0, 60, (2, 7, 7, 96))).astype(np.float32)
    upstream = rng.normal(0, 1, a.shape).astype(np.float32)
    exact = forward_and_gradient(LocalResponseNormalization(), a, upstream, True)
    layer = LocalResponseNormalization(dtype="mixed_bfloat16")
    with tf.GradientTape() as tape:
        a16 = tf.constant(a)
        tape.watch(a16)
        b = layer(a16, training=True)
    gradient = tape.gradient(b, a16, output_gradients=tf.cast(upstream, b.dtype))
    assert b.dtype == tf.bfloat16
    for result, expected in zip((b, gradient), exact, strict=True):
        error = np.abs(np.float32(result) - expected).max() / np.abs(expected).max()
        assert error < 0.02


def test_custom_gradient_is_only_in_the_graph_of_training():
    layer = LocalResponseNormalization()
    layer.build((None, 3, 3, 8))

    def operations(training):
        function = tf.function(lambda a: layer(a, training=training))
        graph = function.get_concrete_function(tf.TensorSpec((None, 3, 3, 8))).graph
        return {operation.type for operation in graph.get_operations()}

    assert "IdentityN" in operations(True)
    assert "IdentityN" not in operations(False)


def test_layer_is_rebuilt_from_its_config():
    layer = LocalResponseNormalization(3, 1.0, 2e-5, 0.5, groups=2, name="norm1")
    copy = LocalResponseNormalization.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert (copy.depth_radius, copy.bias, copy.alpha, copy.beta) == (3, 1.0, 2e-5, 0.5)
    assert keras.saving.get_registered_name(LocalResponseNormalization).startswith("alexnet_tf>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth_radius": -1}, "depth_radius=-1"),
        ({"bias": 0}, "bias=0"),
        ({"groups": 0}, "groups=0"),
    ],
)
def test_invalid_arguments_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        LocalResponseNormalization(**arguments)


def test_channels_that_groups_do_not_divide_are_rejected():
    with pytest.raises(ValueError, match="Received: groups=2, channels=3"):
        LocalResponseNormalization(groups=2)(np.zeros((1, 2, 2, 3)))


@pytest.mark.parametrize("training", [False, True])
def test_float16_supports_activations_whose_squares_overflow(training):
    x = np.random.default_rng(0).uniform(300, 1000, (2, 3, 3, 8)).astype(np.float32)
    expected = LocalResponseNormalization()(x, training=training).numpy()
    got = LocalResponseNormalization(dtype="float16")(x, training=training)
    assert got.dtype == "float16"
    np.testing.assert_allclose(got, expected, rtol=2e-3)
