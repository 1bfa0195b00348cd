"""Batch normalization against NumPy and Keras, with and without padding examples."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import alexnet_tf as an
from alexnet_tf.model.layers.batch_normalization import padding_scope

EPSILON, MOMENTUM = 0.01, 0.9


def reference(x, upstream, gamma, beta):
    """Returns outputs, gradients, mean and variance by the formulas, in float64."""
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
        values = tf.convert_to_tensor(x)
        tape.watch(values)
        outputs = layer(values, training=True)
    return outputs, tape.gradient(outputs, [values, layer.gamma.value, layer.beta.value], upstream)


@settings(deadline=None, max_examples=25)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 4).filter(lambda shape: np.prod(shape[:3]) > 1),
    seed=st.integers(0, 99),
)
def test_outputs_gradients_and_averages_match_numpy(shape, seed):
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
def test_every_dtype_matches_keras(dtype, options):
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
def test_inputs_that_the_kernel_does_not_support_match_keras(shape, options):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    ours, keras_own = (
        kind(**options) for kind in (an.BatchNormalization, keras.layers.BatchNormalization)
    )
    for training in (True, False):
        results = [layer(x, training=training) for layer in (ours, keras_own)]
        np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-5)


def test_frozen_layer_uses_its_moving_averages():
    layer = layer_with([2.0], [1.0])
    layer.trainable = False
    np.testing.assert_allclose(
        layer(np.full((1, 2, 2, 1), 3.0, np.float32), training=True), 1 + 6 / np.sqrt(1 + EPSILON)
    )
    assert float(layer.moving_mean[0]) == 0


def test_bfloat16_activations_are_not_cast_to_float32():
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


def test_inference_with_bfloat16_weights_matches_the_model():
    model = an.build_model("cifar10-small", classes=10, norm="batch")
    images = np.random.default_rng(0).integers(0, 256, (4, *model.input_shape[1:]), np.uint8)
    inferred = an.inference_function(model, "bfloat16")(images)
    np.testing.assert_allclose(inferred, model(images), atol=0.01)


def test_layer_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input((7, 7, 2)), an.BatchNormalization(name="norm")])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=an.custom_objects())
    assert type(loaded.get_layer("norm")) is an.BatchNormalization


def trained_with_padding(layer, x, upstream, weights):
    with padding_scope(tf.convert_to_tensor(weights)):
        return trained(layer, x, upstream)


@settings(deadline=None, max_examples=25)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 4),
    is_real=st.lists(st.booleans(), min_size=5, max_size=5),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 99),
)
def test_padding_examples_do_not_enter_the_statistics(shape, is_real, dtype, seed):
    weights = np.array(is_real[: shape[0]], np.float32)
    real = weights == 1
    if real.sum() * shape[1] * shape[2] < 2:
        return
    rng = np.random.default_rng(seed)
    x, upstream = (rng.normal(3.0, 2.0, shape).astype(dtype) for _ in range(2))
    x[~real] += 50.0
    upstream[~real] = 0.0  # padding examples have weight 0 in the loss
    gamma, beta = rng.uniform(0.5, 2.0, (2, shape[-1])).astype(dtype)
    layer = layer_with(gamma, beta, dtype=dtype)
    outputs, gradients = trained_with_padding(layer, x, upstream, weights)
    expected, expected_gradients, mean, variance = reference(
        *(values.astype(np.float64) for values in (x[real], upstream[real], gamma, beta))
    )
    np.testing.assert_allclose(outputs[real], expected, rtol=1e-3, atol=1e-3)
    d_x = gradients[0].numpy()
    assert not d_x[~real].any()
    for ours, theirs in zip([d_x[real], *gradients[1:]], expected_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(layer.moving_mean, (1 - MOMENTUM) * mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        layer.moving_variance, MOMENTUM + (1 - MOMENTUM) * variance, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_batch_without_padding_gives_the_same_bits_inside_the_scope(dtype):
    rng = np.random.default_rng(0)
    x, upstream = rng.normal(size=(2, 4, 5, 5, 3)).astype(np.float32)
    results = []
    for weights in (None, np.ones(4, np.float32)):
        layer = layer_with(*np.ones((2, 3), np.float32), dtype=dtype)

        @tf.function
        def step(x, layer=layer, weights=weights):
            up = tf.cast(upstream, layer.compute_dtype)
            if weights is None:
                return trained(layer, x, up)
            return trained_with_padding(layer, x, up, weights)

        outputs, gradients = step(tf.constant(x))
        results.append([outputs, *gradients, layer.moving_mean, layer.moving_variance])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(
            tf.cast(tf.convert_to_tensor(ours), "float32"),
            tf.cast(tf.convert_to_tensor(theirs), "float32"),
        )


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_with_padding_matches_the_batch_without_it(dtype):
    x = np.random.default_rng(0).normal(1.0, 2.0, (6, 5, 5, 3)).astype(np.float32)
    padded = layer_with(*np.ones((2, 3), np.float32), dtype=dtype)
    short = layer_with(*np.ones((2, 3), np.float32), dtype=dtype)
    with padding_scope(tf.constant([1, 1, 1, 1, 0, 0])):
        outputs = padded(x, training=True)
    expected = short(x[:4], training=True)
    assert outputs.dtype == expected.dtype
    np.testing.assert_allclose(
        tf.cast(outputs[:4], "float32"), tf.cast(expected, "float32"), rtol=2e-2, atol=2e-2
    )
    for ours, theirs in zip(padded.weights, short.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_scope_ends_and_does_not_affect_inference():
    layer = layer_with([1.0], [0.0])
    x = np.random.default_rng(0).normal(size=(4, 2, 2, 1)).astype(np.float32)
    expected = layer(x).numpy()
    with padding_scope(tf.constant([1.0, 0.0, 0.0, 0.0])):
        np.testing.assert_array_equal(layer(x, training=False), expected)
    layer(x, training=True)
    np.testing.assert_allclose(
        layer.moving_mean, (1 - MOMENTUM) * x.mean((0, 1, 2)), rtol=1e-4, atol=1e-7
    )


def test_fully_connected_activations_support_padding():
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    padded, short = an.BatchNormalization(), an.BatchNormalization()
    with padding_scope(tf.constant([1, 1, 0, 1, 0, 1])):
        outputs = padded(x, training=True)
    real = [0, 1, 3, 5]
    expected = short(x[real], training=True)
    np.testing.assert_allclose(outputs.numpy()[real], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(padded.moving_variance, short.moving_variance, rtol=1e-5)


@pytest.mark.parametrize("options", [{"axis": 1}, {"renorm": True}])
def test_options_that_padding_does_not_support_are_rejected(options):
    layer = an.BatchNormalization(**options)
    with (
        padding_scope(tf.constant([1.0, 0.0])),
        pytest.raises(ValueError, match=r"Received: mask=None, renorm=.*axis="),
    ):
        layer(np.zeros((2, 3, 3, 4), np.float32), training=True)


REAL_ROWS = (8, 6, 4, 3)  # of 8; with 4 and 3 the second replica has padding examples alone
# Logical devices are set before TensorFlow's first operation, thus in a process of its own.
TWO_REPLICAS = """
import json, sys
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import alexnet_tf as an
from alexnet_tf.model.layers.batch_normalization import padding_scope

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def parts(values):
    halves = np.split(values, 2)
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(halves[context.replica_id_in_sync_group]))

def join(value):
    results = strategy.experimental_local_results(value)
    return np.concatenate([each.numpy() for each in results]).tolist()

def update(x, upstream, weights):
    with strategy.scope():
        layer = an.BatchNormalization(momentum=0.9, epsilon=0.01, synchronized=True)
        layer.build((None, *x.shape[1:]))

    def step(x, upstream, weights):
        with padding_scope(weights), tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=True)
        return outputs, tape.gradient(outputs, x, upstream)

    @tf.function
    def run(x, upstream, weights):
        return strategy.run(step, args=(x, upstream, weights))

    outputs, gradients = run(parts(x), parts(upstream), parts(weights))
    averages = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    return [join(outputs), join(gradients), *(average.tolist() for average in averages)]

cases = json.loads(sys.stdin.read())
print(json.dumps([update(*(np.array(v, np.float32) for v in case)) for case in cases]))
"""


@pytest.mark.slow
def test_two_replicas_use_the_real_examples_of_both():
    cases = []
    for real_rows in REAL_ROWS:
        x, upstream = np.random.default_rng(0).normal(3.0, 2.0, (2, 8, 3, 3, 2)).astype(np.float32)
        weights = (np.arange(8) < real_rows).astype(np.float32)
        x[real_rows:] += 50.0
        upstream[real_rows:] = 0.0
        cases.append((x, upstream, weights))
    done = subprocess.run(
        [sys.executable, "-c", TWO_REPLICAS],
        input=json.dumps([[values.tolist() for values in case] for case in cases]),
        capture_output=True,
        text=True,
        check=True,
    )
    results = json.loads(done.stdout)
    for real_rows, (x, upstream, _), result in zip(REAL_ROWS, cases, results, strict=True):
        outputs, gradients, moving_mean, moving_variance = map(np.array, result)
        expected, (d_x, *_), mean, variance = reference(
            x[:real_rows].astype(np.float64), upstream[:real_rows], np.ones(2), np.zeros(2)
        )
        np.testing.assert_allclose(outputs[:real_rows], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(gradients[:real_rows], d_x, rtol=1e-3, atol=1e-5)
        assert not gradients[real_rows:].any()
        np.testing.assert_allclose(moving_mean, 0.1 * mean, rtol=1e-5)
        np.testing.assert_allclose(moving_variance, 0.9 + 0.1 * variance, rtol=1e-5)
