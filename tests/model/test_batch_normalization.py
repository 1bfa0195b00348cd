import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import alexnet_tf as an

EPSILON, MOMENTUM = 0.01, 0.9


def reference(x, upstream, gamma, beta):
    """Normalizes each map, and works out the gradients by the formulas, in float64."""
    axes = (0, 1, 2)
    mean, variance = x.mean(axes), x.var(axes)
    scaled = (x - mean) / np.sqrt(variance + EPSILON)
    d_gamma, d_beta = (upstream * scaled).sum(axes), upstream.sum(axes)
    count = x.size / x.shape[-1]
    d_x = gamma / np.sqrt(variance + EPSILON)
    d_x = d_x * (upstream - d_beta / count - scaled * d_gamma / count)
    return gamma * scaled + beta, (d_x, d_gamma, d_beta), mean, variance


def layer_with(gamma, beta, **options):
    layer = an.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, **options)
    layer.build((None, None, None, len(gamma)))
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    return layer


def trained(layer, x, upstream):
    with tf.GradientTape() as tape:
        values = tf.constant(x)
        tape.watch(values)
        outputs = layer(values, training=True)
    return outputs, tape.gradient(outputs, [values, layer.gamma.value, layer.beta.value], upstream)


@settings(deadline=None, max_examples=25)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 4).filter(lambda shape: np.prod(shape[:3]) > 1),
    seed=st.integers(0, 99),
)
def test_it_normalizes_learns_and_averages_as_numpy_does(shape, seed):
    rng = np.random.default_rng(seed)
    x, upstream = (rng.normal(3.0, 2.0, shape).astype(np.float32) for _ in range(2))
    gamma, beta = rng.uniform(0.5, 2.0, (2, shape[-1])).astype(np.float32)
    layer = layer_with(gamma, beta)
    outputs, gradients = trained(layer, x, upstream)
    expected, expected_gradients, mean, variance = reference(
        *(values.astype(np.float64) for values in (x, upstream, gamma, beta))
    )
    np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-3)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(layer.moving_mean, (1 - MOMENTUM) * mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        layer.moving_variance, MOMENTUM + (1 - MOMENTUM) * variance, rtol=1e-4
    )
    after = (x - layer.moving_mean) / np.sqrt(layer.moving_variance + EPSILON) * gamma + beta
    np.testing.assert_allclose(layer(x), after, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16", "float64"])
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_it_is_keras_own_in_every_dtype(dtype, options):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(1.0, 2.0, (4, 5, 6, 7)))
    ours, keras_own = (
        kind(dtype=dtype, **options)
        for kind in (an.BatchNormalization, keras.layers.BatchNormalization)
    )
    tolerance = {"mixed_bfloat16": 2e-2, "mixed_float16": 2e-3}.get(dtype, 1e-5)
    for training in (True, True, False):
        results = [layer(x, training=training) for layer in (ours, keras_own)]
        assert results[0].dtype == results[1].dtype
        results = [tf.cast(result, "float64") for result in results]
        np.testing.assert_allclose(*results, rtol=tolerance, atol=tolerance)
    for mine, theirs in zip(ours.variables, keras_own.variables, strict=True):
        assert (mine.name, mine.dtype, mine.trainable) == (
            theirs.name,
            theirs.dtype,
            theirs.trainable,
        )
        np.testing.assert_allclose(mine, theirs, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((8, 3), {}),
        ((2, 3, 4, 5), {"axis": 1}),
        ((2, 3, 4, 5), {"renorm": True}),
        ((2, 3, 4, 5), {"synchronized": True}),
    ],
)
def test_where_the_kernel_does_not_fit_it_is_keras_own(shape, options):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    ours, keras_own = (
        kind(**options) for kind in (an.BatchNormalization, keras.layers.BatchNormalization)
    )
    for training in (True, False):
        results = [layer(x, training=training) for layer in (ours, keras_own)]
        np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-5)


def test_a_frozen_layer_keeps_to_its_averages():
    layer = layer_with([2.0], [1.0])
    layer.trainable = False
    np.testing.assert_allclose(
        layer(np.full((1, 2, 2, 1), 3.0, np.float32), training=True), 1 + 6 / np.sqrt(1 + EPSILON)
    )
    assert float(layer.moving_mean[0]) == 0


def test_activations_stay_as_they_are():
    # What it is for: no copy of them in float32, neither forward nor back.
    layer = layer_with([1.0] * 4, [0.0] * 4, dtype="mixed_bfloat16")

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(y, x)

    graph = step.get_concrete_function(tf.TensorSpec([2, 7, 7, 4], tf.bfloat16)).graph
    large = [out for op in graph.get_operations() for out in op.outputs if out.shape.rank == 4]
    assert large and {out.dtype for out in large} == {tf.bfloat16}


def test_inference_with_weights_in_bfloat16_agrees_with_the_model():
    model = an.build_model("cifar10-small", classes=10, norm="batch")
    images = np.random.default_rng(0).integers(0, 256, (4, *model.input_shape[1:]), np.uint8)
    inferred = an.inference_function(model, "bfloat16")(images)
    np.testing.assert_allclose(inferred, model(images), atol=0.01)


def test_it_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input((7, 7, 2)), an.BatchNormalization(name="norm")])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=an.custom_objects())
    assert type(loaded.get_layer("norm")) is an.BatchNormalization
