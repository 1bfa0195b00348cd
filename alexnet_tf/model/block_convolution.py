"""A strided convolution of few maps as a dense one of many: the first layer's, in training."""

import tensorflow as tf


def convolve_blocks(inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Returns the convolution without padding, computed on blocks of stride x stride pixels.

    Each block of pixels becomes one pixel of stride^2 times as many maps, and the kernel, filled up
    with zeros to a multiple of the stride, likewise; then the stride is 1. The sums have the same
    terms and some zeros. The 11x11 kernel of 3 maps at stride 4 becomes a 3x3 kernel of 48, whose
    gradient bfloat16 matrix units compute three times faster.

    Args:
      inputs: [b, h, w, c], h and w known and at least as large as the kernel; any float dtype.
      kernel: [k, k, c, filters], with k at least the stride.
      stride: In pixels, both ways.

    Returns:
      [b, 1 + (h - k) // stride, 1 + (w - k) // stride, filters].
    """
    size, maps, filters = kernel.shape[0], inputs.shape[3], kernel.shape[3]
    blocks = -(-size // stride)  # of the kernel, a side
    outputs = [1 + (side - size) // stride for side in inputs.shape[1:3]]
    sides = [stride * (count - 1 + blocks) for count in outputs]
    missing = [max(0, side - have) for side, have in zip(sides, inputs.shape[1:3], strict=True)]
    inputs = tf.pad(inputs, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])
    inputs = inputs[:, : sides[0], : sides[1]]
    high, wide = (side // stride for side in sides)
    inputs = tf.reshape(inputs, [-1, high, stride, wide, stride, maps])
    inputs = tf.transpose(inputs, [0, 1, 3, 2, 4, 5])
    inputs = tf.reshape(inputs, [-1, high, wide, stride * stride * maps])
    filling = blocks * stride - size
    kernel = tf.pad(kernel, [[0, filling], [0, filling], [0, 0], [0, 0]])
    kernel = tf.reshape(kernel, [blocks, stride, blocks, stride, maps, filters])
    kernel = tf.transpose(kernel, [0, 2, 1, 3, 4, 5])
    kernel = tf.reshape(kernel, [blocks, blocks, stride * stride * maps, filters])
    return tf.nn.conv2d(inputs, kernel, 1, "VALID")
