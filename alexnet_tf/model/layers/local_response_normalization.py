"""Local response normalization (LRN), section 3.3 of the paper."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf import paper
from alexnet_tf.model.layers.compiled import (
    CompiledFunction,
    uses_native_kernels,
    uses_training_kernels,
)

# The limits of cuDNN's kernel, which needs n = 2 * depth_radius + 1 of at most 16.
_CUDNN_MAX_RADIUS, _CUDNN_MIN_BIAS, _CUDNN_MIN_BETA = 7, 1e-5, 0.01


@keras.saving.register_keras_serializable(package="alexnet_tf")
class LocalResponseNormalization(keras.layers.Layer):
    """Normalizes each activation by the squared activations of the neighboring channels.

    With `a` the input, `b` the output and `i`, `j` channel indices (paper, section 3.3):

        b[i] = a[i] / (bias + alpha * sum(a[j] ** 2 for |j - i| <= depth_radius)) ** beta

    The window is clipped at the first and the last channel. `alpha` multiplies the sum itself, as
    in the paper and in `tf.nn.local_response_normalization`. The 2012 code, Caffe and PyTorch
    divide their alpha by the number of channels in the window: for their values pass
    `alpha / (2 * depth_radius + 1)`.

    The sum is a 1x1 convolution of the squares with a constant banded matrix. Unlike TensorFlow's
    operation, this runs in bfloat16 on the CPU and can be converted to other formats. TensorFlow
    derives the gradient, so that exported graphs contain neither XLA nor custom gradients. In
    training, and inside `training_kernels`, the layer is compiled into a few passes over memory,
    with a gradient written by hand. Inside `native_kernels` TensorFlow's operation runs after all,
    in float32, which on GPUs is a kernel of cuDNN.

    Args:
      depth_radius: Integer, at least 0. Channels on each side of the window. The paper's n is
        `2 * depth_radius + 1`.
      bias: Float above 0; k in the paper.
      alpha: Float; alpha in the paper.
      beta: Float; beta in the paper.
      groups: Integer, at least 1. Equal parts of the channels; a window never reaches from one
        group into another.
      **kwargs: Keyword arguments of `keras.layers.Layer`.

    Input shape: `(batch, height, width, channels)`, any float dtype.
    Output shape: The input's.

    Raises:
      ValueError: An argument is out of range, the input does not have rank 4, or `groups` does not
        divide the channels.

    Examples:
      >>> layer = an.LocalResponseNormalization(depth_radius=1, bias=1.0, alpha=1.0, beta=1.0)
      >>> print(layer(np.ones((1, 1, 1, 4))).numpy().ravel().round(3))  # 1/3, 1/4, 1/4, 1/3
      [0.333 0.25  0.25  0.333]
    """

    def __init__(
        self,
        depth_radius: int = paper.LRN_N // 2,
        bias: float = paper.LRN_K,
        alpha: float = paper.LRN_ALPHA,
        beta: float = paper.LRN_BETA,
        groups: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if depth_radius < 0:
            raise ValueError(f"`depth_radius` must be at least 0. Received: {depth_radius=}")
        if groups < 1:
            raise ValueError(f"`groups` must be at least 1. Received: {groups=}")
        if not bias > 0:
            raise ValueError(
                f"`bias` must be above 0 to avoid a division by zero. Received: {bias=}"
            )
        self.depth_radius = depth_radius
        self.bias = bias
        self.alpha = alpha
        self.beta = beta
        self.groups = groups
        self.supports_masking = True
        window = self._sum_over_window
        self._output = self._in_one_pass(
            lambda a: a * inverse_power(bias + window(tf.square(a)), beta)
        )
        self._sums = self._in_one_pass(lambda a: window(tf.square(a)))
        self._normalized = self._in_one_pass(lambda a, s: a * inverse_power(bias + s, beta))
        self._inner = self._in_one_pass(
            lambda a, s, db: db * a * inverse_power(bias + s, beta) / (bias + s)
        )
        self._outer = self._in_one_pass(
            lambda a, s, db, inner: (
                db * inverse_power(bias + s, beta) - 2 * beta * a * window(inner)
            )
        )

    @staticmethod
    def _in_one_pass(function: Callable[..., tf.Tensor]) -> CompiledFunction:
        """Returns a function compiled into one pass over memory.

        It computes in float32 or wider and returns the dtype of its arguments.
        """

        def compiled(*tensors: tf.Tensor) -> tf.Tensor:
            dtype = tensors[0].dtype
            wide = tf.float32 if dtype.size < 4 else dtype
            return tf.cast(function(*(tf.cast(t, wide) for t in tensors)), dtype)

        return CompiledFunction(compiled, jit_compile=True)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the banded matrix for the input's number of channels."""
        channels = input_shape[-1]
        if len(input_shape) != 4 or channels is None:
            raise ValueError(
                "LocalResponseNormalization expects inputs of shape "
                f"(batch, height, width, channels). Received: input_shape={input_shape}"
            )
        if channels % self.groups:
            raise ValueError(
                "The number of channels must be divisible by `groups`. "
                f"Received: groups={self.groups}, channels={channels}"
            )
        self._window = self.alpha * band(channels, self.depth_radius, self.groups)[None, None]
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the normalized activations."""
        inputs = tf.convert_to_tensor(inputs)
        if inputs.dtype == tf.float16:  # its largest number, 65504, is 256 squared
            wide = self.call(tf.cast(inputs, tf.float32), training=training)
            return tf.cast(wide, tf.float16)
        if uses_native_kernels() and self._fits_cudnn(inputs):
            return self._by_cudnn(inputs)
        if training:
            return self._with_gradient(inputs)
        if uses_training_kernels():
            return self._output(inputs)
        window = tf.constant(self._window, inputs.dtype)
        biases = tf.constant(self.bias, inputs.dtype, [self._window.shape[-1]])
        # bias_add rather than a scalar addition: converters fuse it into the convolution.
        sums = tf.nn.conv2d(tf.square(inputs), window, 1, "VALID")
        return inputs * inverse_power(tf.nn.bias_add(sums, biases), self.beta)

    def _fits_cudnn(self, inputs: tf.Tensor) -> bool:
        """Returns whether cuDNN can normalize the inputs without losing precision."""
        return (
            inputs.dtype != tf.float64
            and self.depth_radius <= _CUDNN_MAX_RADIUS
            and self.bias >= _CUDNN_MIN_BIAS
            and self.beta >= _CUDNN_MIN_BETA
        )

    def _by_cudnn(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the normalized activations by TensorFlow's operation.

        Each group of channels becomes a pixel of its own, which moves no data: the operation reads
        the channels of one pixel alone. TensorFlow has a GPU kernel for float32 alone.
        """
        channels = inputs.shape[-1] // self.groups
        rows, columns = tf.shape(inputs)[1], tf.shape(inputs)[2] * self.groups
        pixels = tf.reshape(tf.cast(inputs, tf.float32), [-1, rows, columns, channels])
        normalized = tf.nn.local_response_normalization(
            pixels, self.depth_radius, self.bias, self.alpha, self.beta
        )
        return tf.cast(tf.reshape(normalized, tf.shape(inputs)), inputs.dtype)

    def _sum_over_window(self, values: tf.Tensor) -> tf.Tensor:
        """Returns alpha times the sum over each channel's window, within its group."""
        shape, channels = tf.shape(values), values.shape[-1] // self.groups
        values = tf.reshape(values, tf.concat([shape[:-1], [self.groups, channels]], axis=0))
        values = tf.pad(values, [[0, 0]] * 4 + [[self.depth_radius, self.depth_radius]])
        sums = self.alpha * values[..., :channels]
        for first in range(1, 2 * self.depth_radius + 1):
            sums = self.alpha * values[..., first : first + channels] + sums
        return tf.reshape(sums, shape)

    def _with_gradient(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the normalized activations, with the gradient written by hand.

        With s the sums, d = bias + s the denominator and b = a * d ** -beta,

            da = db * d ** -beta - 2 * beta * a * sum_over_window(db * b / d)

        since j is in the window around i if i is in the one around j. Each function is one pass
        over memory, which takes the time on a CPU.
        """

        @tf.custom_gradient
        def normalize(a: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            sums = self._sums(a)

            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                return self._outer(a, sums, upstream, self._inner(a, sums, upstream))

            return self._normalized(a, sums), gradient

        return normalize(inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "depth_radius": self.depth_radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
            "groups": self.groups,
        }


def band(channels: int, depth_radius: int, groups: int = 1) -> np.ndarray:
    """Returns the banded matrix that sums over the window.

    Returns:
      float64 [channels, channels]: 1 where channel j is in the window around channel i, else 0.
    """
    index = np.arange(channels)
    is_near = np.abs(index[:, None] - index) <= depth_radius
    group = index // (channels // groups)
    return (is_near & (group[:, None] == group)).astype(np.float64)


def inverse_power(x: tf.Tensor, beta: float) -> tf.Tensor:
    """Returns `x ** -beta` for x > 0; the paper's 0.75 by square roots, much faster than pow."""
    if beta == 0.75:
        return tf.math.rsqrt(tf.sqrt(x) * x)
    if beta == 0.5:
        return tf.math.rsqrt(x)
    return tf.pow(x, tf.cast(-beta, x.dtype))
