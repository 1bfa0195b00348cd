"""Grouped convolution against NumPy, forward and backward, with every padding."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alexnet_tf.model.geometry import output_pixels
from alexnet_tf.model.layers.grouped_convolution import GroupedConv2D, convolve_blocks


def padded(x, kernel, strides, padding):
    """The input with the zeros that the padding adds, from the definition of each."""
    margins = []
    for size in x.shape[1:3]:
        if padding == "valid":
            margins.append((0, 0))
        elif padding == "same":
            outputs = int(np.ceil(size / strides))
            total = max((outputs - 1) * strides + kernel - size, 0)
            margins.append((total // 2, total - total // 2))
        elif padding == "ceil":
            outputs = 1 + int(np.ceil((size - kernel) / strides))
            margins.append((0, (outputs - 1) * strides + kernel - size))
        else:
            margins.append((padding, padding))
    return np.pad(x, [(0, 0), *margins, (0, 0)]), margins


def reference(x, weights, biases, strides, padding, groups, upstream_of):
    """Output and the gradients of sum(output * upstream), group by group, window by window."""
    kernel = weights.shape[0]
    full, margins = padded(x, kernel, strides, padding)
    rows, columns = ((side - kernel) // strides + 1 for side in full.shape[1:3])
    ins, outs = x.shape[-1] // groups, weights.shape[-1] // groups
    y = np.zeros((len(x), rows, columns, weights.shape[-1])) + biases
    upstream = upstream_of(y.shape)
    d_full, d_weights = np.zeros_like(full), np.zeros_like(weights)
    for g in range(groups):
        i, o = slice(g * ins, (g + 1) * ins), slice(g * outs, (g + 1) * outs)
        for r in range(rows):
            for c in range(columns):
                down, across = (slice(k * strides, k * strides + kernel) for k in (r, c))
                window, above = full[:, down, across, i], upstream[:, r, c, o]
                y[:, r, c, o] += np.einsum("bhwi,hwio->bo", window, weights[..., o])
                d_weights[..., o] += np.einsum("bhwi,bo->hwio", window, above)
                d_full[:, down, across, i] += np.einsum("hwio,bo->bhwi", weights[..., o], above)
    (top, _), (left, _) = margins
    d_x = d_full[:, top : top + x.shape[1], left : left + x.shape[2]]
    return y, upstream, d_x, d_weights


@settings(deadline=None, max_examples=40)
@given(
    groups=st.sampled_from([1, 2, 4]),
    kernel=st.integers(1, 4),
    strides=st.integers(1, 4),
    padding=st.sampled_from(["same", "valid", "ceil", 0, 1, 2]),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    seed=st.integers(0, 999),
    training=st.booleans(),
)
def test_forward_and_backward_match_the_definition(
    groups, kernel, strides, padding, height, width, seed, training
):
    assume(min(output_pixels(n, kernel, strides, padding) for n in (height, width)) >= 1)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, height, width, 3 * groups))
    layer = GroupedConv2D(2 * groups, kernel, strides, padding, groups, dtype="float64")
    layer.build(x.shape)
    layer.bias.assign(rng.normal(size=2 * groups))
    inputs = tf.constant(x)
    y, upstream, d_x, d_weights = reference(
        x,
        layer.kernel.numpy(),
        layer.bias.numpy(),
        strides,
        padding,
        groups,
        lambda shape: rng.normal(size=shape),
    )
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = layer(inputs, training=training)
    gradients = tape.gradient(
        output, [inputs, *layer.trainable_variables], output_gradients=tf.constant(upstream)
    )
    assert layer.compute_output_shape(x.shape) == y.shape
    for result, expected in zip(
        (output, *gradients), (y, d_x, d_weights, upstream.sum((0, 1, 2))), strict=True
    ):
        np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-10)


def test_dilated_groups_train_like_keras():
    x = np.random.default_rng(0).normal(size=(2, 9, 9, 4))
    arguments = {"groups": 2, "dilation_rate": 2, "dtype": "float64"}
    ours, keras_layer = GroupedConv2D(6, 3, **arguments), keras.layers.Conv2D(6, 3, **arguments)
    gradients = []
    for layer in (ours, keras_layer):
        layer.build(x.shape)
        layer.set_weights(ours.get_weights())
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True) ** 2)
        gradients.append(tape.gradient(loss, layer.trainable_variables))
    for gradient, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("size", "outputs", "zeros"), [(224, 55, 3), (227, 55, 0), (223, 54, 0), (225, 55, 2)]
)
def test_ceil_padding_gives_55_outputs_for_224_pixels(size, outputs, zeros):
    x = np.random.default_rng(0).normal(size=(1, size, size, 1)).astype(np.float32)
    layer = GroupedConv2D(1, 11, 4, "ceil")
    result = layer(x)
    plain = keras.layers.Conv2D(1, 11, 4, "valid")
    plain.build((1, size + zeros, size + zeros, 1))
    plain.set_weights(layer.get_weights())
    expected = plain(np.pad(x, [(0, 0), (0, zeros), (0, zeros), (0, 0)]))
    assert result.shape == (1, outputs, outputs, 1)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_group_does_not_depend_on_the_other():
    x = np.random.default_rng(0).normal(size=(1, 5, 5, 4)).astype(np.float32)
    layer = GroupedConv2D(6, 3, groups=2)
    before = layer(x).numpy()
    x[..., 2:] += 1.0
    after = layer(x).numpy()
    np.testing.assert_array_equal(after[..., :3], before[..., :3])
    assert np.abs(after[..., 3:] - before[..., 3:]).min() > 0


def test_graph_contains_no_xla():
    layer = GroupedConv2D(4, 3, groups=2)
    layer.build((None, 8, 8, 4))
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec((None, 8, 8, 4))).graph
    operations = [operation.type for operation in graph.get_operations()]
    assert operations.count("Conv2D") == 2
    assert "PartitionedCall" not in operations
    assert "StatefulPartitionedCall" not in operations


def test_bfloat16_computes_in_bfloat16_with_float32_weights():
    x = np.random.default_rng(0).normal(size=(2, 9, 9, 8)).astype(np.float32)
    exact = GroupedConv2D(8, 3, padding=1, groups=2)
    expected = exact(x).numpy()
    layer = GroupedConv2D(8, 3, padding=1, groups=2, dtype="mixed_bfloat16")
    layer.build(x.shape)
    layer.set_weights(exact.get_weights())
    result = layer(x)
    assert (result.dtype, layer.kernel.dtype) == (tf.bfloat16, "float32")
    assert np.abs(np.float32(result) - expected).max() < 0.02 * np.abs(expected).max()


def test_bias_gradient_is_accurate_in_bfloat16():
    layer = GroupedConv2D(4, 1, dtype="mixed_bfloat16")
    layer.build((None, 55, 55, 1))
    with tf.GradientTape() as tape:
        output = layer(tf.zeros((32, 55, 55, 1)))
    ones = tf.ones_like(output)
    gradient = tape.gradient(output, layer.bias.value, output_gradients=ones)
    np.testing.assert_allclose(np.float32(gradient), 32 * 55 * 55, rtol=0.005)


@pytest.mark.parametrize("padding", ["same", "valid", "ceil", 2])
def test_layer_is_rebuilt_from_its_config(padding):
    layer = GroupedConv2D(6, 3, 2, padding, 2, activation="relu", name="conv2")
    copy = GroupedConv2D.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert copy.compute_output_shape((1, 8, 8, 4)) == layer.compute_output_shape((1, 8, 8, 4))
    assert copy.groups == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 10, "groups": 3}, r"Received: groups=3, filters=10"),
        ({"filters": 4, "padding": "full"}, "Received: padding='full'"),
        ({"filters": 4, "padding": -1}, "Received: padding=-1"),
        ({"filters": 4, "data_format": "channels_first"}, "channels_last"),
    ],
)
def test_invalid_arguments_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        GroupedConv2D(kernel_size=3, **arguments)


def test_channels_that_groups_do_not_divide_and_small_inputs_are_rejected():
    with pytest.raises(ValueError, match="groups=2"):
        GroupedConv2D(4, 3, groups=2).build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="too small"):
        GroupedConv2D(4, 5).build((None, 4, 8, 3))


def both(convolve, inputs, kernel):
    with tf.GradientTape() as tape:
        tape.watch([inputs, kernel])
        outputs = convolve(inputs, kernel)
        total = tf.reduce_sum(outputs * tf.cast(tf.range(tf.size(outputs)), outputs.dtype)[0])
        total += tf.reduce_sum(tf.sin(outputs))
    return [outputs, *tape.gradient(total, [inputs, kernel])]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 30), st.integers(1, 12), st.integers(1, 5), st.integers(1, 3)
)
def test_blocks_match_the_strided_convolution_forward_and_backward(
    high, wide, size, stride, channels
):
    assume(stride <= size <= min(high, wide))
    rng = np.random.default_rng(high * 31 + wide)
    inputs = tf.constant(rng.normal(size=(2, high, wide, channels)))
    kernel = tf.constant(rng.normal(size=(size, size, channels, 4)))
    ours = both(lambda x, w: convolve_blocks(x, w, stride), inputs, kernel)
    direct = both(lambda x, w: tf.nn.conv2d(x, w, stride, "VALID"), inputs, kernel)
    for mine, theirs in zip(ours, direct, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("side", "padding"), [(224, "ceil"), (50, "valid"), (33, 2)])
def test_first_layer_in_bfloat16_matches_with_and_without_blocks(side, padding):
    layer = GroupedConv2D(8, 11, strides=4, padding=padding, dtype="mixed_bfloat16")
    images = tf.random.stateless_uniform((2, side, side, 3), [0, side], -100, 100)
    blocks, direct = layer(images, training=True), layer(images, training=False)
    assert layer._is_faster_in_blocks(tf.cast(images, tf.bfloat16))
    assert blocks.shape == direct.shape == layer.compute_output_shape(images.shape)
    scale = float(tf.reduce_max(tf.abs(tf.cast(direct, tf.float32))))
    np.testing.assert_allclose(
        tf.cast(blocks, tf.float32), tf.cast(direct, tf.float32), atol=0.01 * scale
    )
