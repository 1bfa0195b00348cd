"""Local response normalization across maps, section 3.3 of the paper."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf import paper

_compiled = contextvars.ContextVar("compiled", default=False)


@contextlib.contextmanager
def compiled_normalization() -> Iterator[None]:
    """Computes the layers called inside as in training: in fewer passes over memory.

    For graphs that stay in this process: they hold functions compiled by XLA, which servers and
    converters do not take.

    Yields:
      Nothing.
    """
    token = _compiled.set(True)
    try:
        yield
    finally:
        _compiled.reset(token)


@keras.saving.register_keras_serializable(package="alexnet_tf")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each activation by the activity of the maps beside it (paper, section 3.3).

        b[i] = a[i] / (bias + alpha * sum over |j - i| <= depth_radius of a[j]^2) ** beta

    The window is clipped at the first and the last map. `alpha` multiplies the plain sum, as in the
    paper and in `tf.nn.local_response_normalization`. The 2012 code, Caffe and PyTorch divide their
    alpha by the number of maps in the window: give `alpha / (2 * depth_radius + 1)` for theirs.

    It is computed as a 1x1 convolution of the squares with a constant banded matrix, which runs in
    bfloat16 on the CPU and converts to other formats, where the TensorFlow op does neither. In
    training, and inside `compiled_normalization`, its gradient is written by hand and costs one
    more such convolution; otherwise TensorFlow derives it, so that exported graphs hold no custom
    gradient.

    Args:
      depth_radius: Maps on each side of the window; the paper's n is `2 * depth_radius + 1`.
      bias: k of the paper.
      alpha: alpha of the paper.
      beta: beta of the paper.
      groups: Towers. The window never crosses the border between two of them.
      **kwargs: Of `keras.layers.Layer`.

    Input and output: [batch, height, width, maps], any float dtype.

    Raises:
      ValueError: An argument is out of range, or the maps cannot be cut into `groups`.
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
            raise ValueError(f"depth_radius must not be negative. Received: {depth_radius=}")
        if groups < 1:
            raise ValueError(f"groups must be at least 1. Received: {groups=}")
        if not bias > 0:
            raise ValueError(f"bias must be above 0, or zeros divide by zero. Received: {bias=}")
        self.depth_radius = depth_radius
        self.bias = bias
        self.alpha = alpha
        self.beta = beta
        self.groups = groups
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the banded matrix for the input's number of maps."""
        maps = input_shape[-1]
        if len(input_shape) != 4 or maps is None:
            raise ValueError(
                "LocalResponseNormalization takes [batch, height, width, maps]. "
                f"Received: input_shape={input_shape}"
            )
        if maps % self.groups:
            raise ValueError(
                "the number of maps must be divisible by groups. "
                f"Received: groups={self.groups}, maps={maps}"
            )
        self._window = self.alpha * band(maps, self.depth_radius, self.groups)[None, None]
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the normalized activations."""
        inputs = tf.convert_to_tensor(inputs)
        if inputs.dtype == tf.float16:  # whose largest number, 65504, is no large square
            wide = self.call(tf.cast(inputs, tf.float32), training=training)
            return tf.cast(wide, tf.float16)
        window = tf.constant(self._window, inputs.dtype)
        if training or _compiled.get():
            return self._with_gradient(inputs, window)
        biases = tf.constant(self.bias, inputs.dtype, [self._window.shape[-1]])
        # bias_add, since converters fuse it into the convolution.
        sums = tf.nn.conv2d(tf.square(inputs), window, 1, "VALID")
        return inputs * inverse_power(tf.nn.bias_add(sums, biases), self.beta)

    def _with_gradient(self, inputs: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
        """Returns the normalized activations, with the gradient written by hand.

        With d the denominator and p = d ** -beta, b = a * p, and since the band is symmetric
        da = db * p - 2 * alpha * beta * a * band(db * b / d).

        What is done to each number alone is compiled into one pass over memory a line, in at least
        float32: on a CPU these passes, not the convolutions, take the time. The sums over the
        window are convolutions in the dtype of the activations.
        """
        dtype = inputs.dtype
        wide = tf.float32 if dtype.size < 4 else dtype
        bias, beta = self.bias, self.beta

        def in_one_pass(function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
            @tf.function(jit_compile=True)
            def compiled(*tensors: tf.Tensor) -> tf.Tensor:
                return tf.cast(function(*(tf.cast(t, wide) for t in tensors)), dtype)

            return compiled

        def sum_over_window(values: tf.Tensor) -> tf.Tensor:
            return tf.nn.conv2d(values, window, 1, "VALID")

        squared = in_one_pass(tf.square)
        normalized = in_one_pass(lambda a, s: a * inverse_power(bias + s, beta))
        inner = in_one_pass(lambda a, s, db: db * a * inverse_power(bias + s, beta) / (bias + s))
        outer = in_one_pass(
            lambda a, s, db, spread: db * inverse_power(bias + s, beta) - 2 * beta * a * spread
        )

        @tf.custom_gradient
        def normalize(a: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            sums = sum_over_window(squared(a))

            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                spread = sum_over_window(inner(a, sums, upstream))
                return outer(a, sums, upstream, spread)

            return normalized(a, sums), gradient

        return normalize(inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {
            **super().get_config(),
            "depth_radius": self.depth_radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
            "groups": self.groups,
        }


def band(maps: int, depth_radius: int, groups: int = 1) -> np.ndarray:
    """Returns the [maps, maps] float64 matrix with 1 where map j is in the window around map i."""
    index = np.arange(maps)
    near = np.abs(index[:, None] - index) <= depth_radius
    tower = index // (maps // groups)
    return (near & (tower[:, None] == tower)).astype(np.float64)


def inverse_power(x: tf.Tensor, beta: float) -> tf.Tensor:
    """Returns x ** -beta for x > 0; for the paper's .75 by square roots, much faster than pow."""
    if beta == 0.75:
        return tf.math.rsqrt(tf.sqrt(x) * x)
    if beta == 0.5:
        return tf.math.rsqrt(x)
    return tf.pow(x, tf.cast(-beta, x.dtype))
