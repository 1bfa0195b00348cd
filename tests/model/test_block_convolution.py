"""The block form of a strided convolution against the strided convolution."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alexnet_tf.model.layers.grouped_convolution import GroupedConv2D, convolve_blocks


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
