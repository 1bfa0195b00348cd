"""The layers in plain eager code: no function is created or traced again by a further call."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf as an
from alexnet_tf.model.layers.compiled import training_kernels


@pytest.fixture
def functions(monkeypatch):
    """Every `tf.function` that is created, in order."""
    created = []
    create = tf.function

    def recording(function=None, **options):
        if function is None:  # used as a decorator with arguments
            return lambda decorated: recording(decorated, **options)
        created.append(create(function, **options))
        return created[-1]

    monkeypatch.setattr(tf, "function", recording)
    return created


def traces(functions):
    """The number of functions that were traced, and of their graphs.

    Keras' convolution creates a function in each call, which it traces only for groups.
    """
    counts = [function.experimental_get_tracing_count() for function in functions]
    return np.count_nonzero(counts), sum(counts)


def lrn_reference(a, upstream):
    """LRN over 5 channels with the paper's constants, and its gradient, in float64."""
    channels = range(a.shape[-1])
    windows = [[j for j in channels if abs(i - j) <= 2] for i in channels]
    d = np.stack([2 + 1e-4 * (a[..., w] ** 2).sum(-1) for w in windows], -1)
    ratio = upstream * a * d**-1.75
    spread = np.stack([ratio[..., w].sum(-1) for w in windows], -1)
    return a * d**-0.75, upstream * d**-0.75 - 2 * 1e-4 * 0.75 * a * spread


def pooling_reference(a, upstream):
    """3x3 max pooling at stride 2 and its gradient, window by window."""
    pooled, gradient = np.zeros(upstream.shape), np.zeros(a.shape)
    for n, y, x, c in np.ndindex(upstream.shape):
        window = a[n, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3, c]
        i, j = np.unravel_index(window.argmax(), window.shape)
        pooled[n, y, x, c] = window[i, j]
        gradient[n, 2 * y + i, 2 * x + j, c] += upstream[n, y, x, c]
    return pooled, gradient


def subtraction_reference(a, upstream):
    return (a - 100) * 0.5, upstream * 0.5


LAYERS = {
    "LocalResponseNormalization": (an.LocalResponseNormalization, {}, lrn_reference),
    "MaxPooling2D": (an.MaxPooling2D, {"pool_size": 3, "strides": 2}, pooling_reference),
    "MeanSubtraction": (
        an.MeanSubtraction,
        {"scale": (0.5,), "mean": 100.0},
        subtraction_reference,
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_repeated_eager_calls_create_no_functions(functions, name):
    kind, arguments, reference = LAYERS[name]
    layer = kind(**arguments)
    rng = np.random.default_rng(0)
    after_first = None
    for _ in range(4):
        a = rng.normal(0, 60, (2, 7, 7, 3))
        inputs = tf.constant(a, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
        upstream = rng.normal(size=outputs.shape)
        gradient = tape.gradient(outputs, inputs, tf.constant(upstream, tf.float32))
        expected, expected_gradient = reference(a, upstream)
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-5)
        after_first = after_first or traces(functions)
    assert after_first[1] >= 1
    assert traces(functions) == after_first


def test_repeated_compiled_inference_creates_no_functions(functions):
    layer = an.LocalResponseNormalization()
    a = np.random.default_rng(0).normal(0, 60, (2, 3, 3, 8)).astype(np.float32)
    with training_kernels():
        layer(a)
        after_first = traces(functions)
        results = [layer(a) for _ in range(3)]
    assert traces(functions) == after_first
    expected = lrn_reference(a.astype(np.float64), np.zeros(a.shape))[0]
    np.testing.assert_allclose(results[-1], expected, rtol=1e-5, atol=1e-5)


def small(**changes):
    convolutions = (
        an.get_recipe("2012").network.convolutions[0],
        an.get_recipe("2012").network.convolutions[4],
    )
    return an.build_model(
        "2012",
        classes=3,
        convolutions=convolutions,
        hidden_units=(8,),
        input_size=39,
        init="stable",
        dropout=0.0,
        **changes,
    )


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_tape_loop_over_a_network_creates_no_functions(functions, dtype):
    model = small(dtype=dtype)
    images = np.random.default_rng(0).uniform(0, 255, (4, 39, 39, 3)).astype(np.float32)
    counts, losses = [], []
    for _ in range(4):
        with tf.GradientTape() as tape:
            probabilities = model(images, training=True)
            loss = -tf.reduce_mean(tf.math.log(probabilities[:, 0]))
        for variable, gradient in zip(
            model.trainable_variables,
            tape.gradient(loss, model.trainable_variables),
            strict=True,
        ):
            variable.assign_sub(0.01 * tf.cast(gradient, variable.dtype))
        counts.append(traces(functions))
        losses.append(float(loss))
    assert counts[0][1] > 0
    assert counts == counts[:1] * 4
    assert losses == sorted(losses, reverse=True)


def test_eager_and_traced_training_give_the_same_numbers():
    images = np.random.default_rng(0).integers(0, 256, (8, 39, 39, 3)).astype(np.uint8)
    weights = []
    for run_eagerly in (True, False):
        model = small(seed=1)
        model.compile(
            keras.optimizers.SGD(0.01),
            "sparse_categorical_crossentropy",
            run_eagerly=run_eagerly,
            jit_compile=False,
        )
        model.fit(images, np.arange(8) % 3, epochs=2, verbose=0, shuffle=False)
        weights.append(model.get_weights())
    for eager, traced in zip(*weights, strict=True):
        np.testing.assert_allclose(eager, traced, rtol=1e-4, atol=1e-6)


def test_exported_graph_contains_no_compiled_function(tmp_path):
    model = small()
    images = np.zeros((1, 39, 39, 3), np.float32)
    model(images, training=True)  # compiles the layers' functions for eager calls
    model.export(tmp_path / "export", verbose=False)
    restored = tf.saved_model.load(tmp_path / "export")
    graph = restored.signatures["serving_default"].graph.as_graph_def()
    text = str(graph) + (tmp_path / "export" / "saved_model.pb").read_bytes().decode("latin-1")
    assert "_XlaMustCompile" not in str(graph)
    assert "__inference_compiled" not in text
