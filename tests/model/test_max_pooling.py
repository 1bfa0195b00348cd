"""Max pooling against NumPy, forward and backward."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import alexnet_tf as an


def reference(x, upstream, size, stride):
    """Returns the maxima and the gradient, which each window passes to its first maximum."""
    rows, columns = (1 + (side - size) // stride for side in x.shape[1:3])
    pooled = np.zeros((x.shape[0], rows, columns, x.shape[3]))
    sent = np.zeros(x.shape)
    for n, row, column, c in np.ndindex(pooled.shape):
        top, left = row * stride, column * stride
        window = x[n, top : top + size, left : left + size, c]
        y, z = np.unravel_index(window.argmax(), window.shape)
        pooled[n, row, column, c] = window[y, z]
        sent[n, top + y, left + z, c] += upstream[n, row, column, c]
    return pooled, sent


@settings(deadline=None, max_examples=25)
@given(
    size=st.integers(1, 4),
    stride=st.integers(1, 3),
    more=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    channels=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_outputs_and_gradients_match_numpy(size, stride, more, channels, seed):
    rng = np.random.default_rng(seed)
    shape = (2, size + more[0], size + more[1], channels)
    x = rng.permutation(np.prod(shape)).reshape(shape).astype(np.float32)
    layer = an.MaxPooling2D(size, stride)
    with tf.GradientTape(persistent=True) as tape:
        values = tf.constant(x)
        tape.watch(values)
        outputs = layer(values, training=True)
    upstream = rng.standard_normal(outputs.shape).astype(np.float32)
    pooled, sent = reference(x, upstream, size, stride)
    np.testing.assert_array_equal(outputs, pooled)
    np.testing.assert_allclose(tape.gradient(outputs, values, upstream), sent, atol=1e-5)
    np.testing.assert_array_equal(layer(values), pooled)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_gradients_have_the_dtype_of_the_activations(dtype):
    layer = an.MaxPooling2D(3, 2, dtype=dtype)
    with tf.GradientTape() as tape:
        values = tf.cast(tf.reshape(tf.range(25), [1, 5, 5, 1]), dtype)
        tape.watch(values)
        outputs = layer(values, training=True)
    gradient = tape.gradient(outputs, values)
    assert outputs.dtype == gradient.dtype == dtype
    assert set(np.flatnonzero(np.asarray(tf.cast(gradient, "float32")))) == {12, 14, 22, 24}


def test_gradient_is_a_function_that_is_not_inlined():
    # Inlined into a loop, its operations would be rewritten or not, depending on their order.
    layer = an.MaxPooling2D(3, 2)

    @tf.function
    def loop(x):
        for _ in tf.range(2):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True)
            x = tape.gradient(y, x)
        return x

    graph = loop.get_concrete_function(tf.TensorSpec([2, 7, 7, 4])).graph.as_graph_def()
    having = [f for f in graph.library.function if any(n.op == "MaxPoolGrad" for n in f.node_def)]
    assert len(having) == 1
    assert having[0].attr["_noinline"].b
    assert {"MaxPool", "MaxPoolGrad"} <= {node.op for node in having[0].node_def}


def test_layer_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input((7, 7, 2)), an.MaxPooling2D(3, 2, name="pool")])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=an.custom_objects())
    layer = loaded.get_layer("pool")
    assert type(layer) is an.MaxPooling2D
    assert (layer.pool_size, layer.strides) == ((3, 3), (2, 2))


@pytest.mark.parametrize("wrong", [{"padding": "same"}, {"data_format": "channels_first"}])
def test_unsupported_padding_and_data_format_are_rejected(wrong):
    with pytest.raises(
        ValueError, match=r"supports only padding='valid' and data_format='channels_last'"
    ):
        an.MaxPooling2D(3, 2, **wrong)
