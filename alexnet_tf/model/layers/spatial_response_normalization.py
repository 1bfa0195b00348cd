"""Spatial (within-channel) response normalization: a layer of the 2012 run, not of the paper."""

from typing import Any

import keras
import tensorflow as tf

from alexnet_tf import paper
from alexnet_tf.model.layers.local_response_normalization import inverse_power


@keras.saving.register_keras_serializable(package="alexnet_tf")
class SpatialResponseNormalization(keras.layers.Layer):
    """Normalizes each activation by the squared activations around it in its own channel.

    With `a` the input, `b` the output and the sum over the `size` x `size` pixels around (y, x):

        b[y, x] = a[y, x] / (bias + alpha * sum(a[v, u] ** 2)) ** beta

    The window is clipped at the borders. `alpha` multiplies the sum itself; the 2012 run's files
    give alpha before it is divided by the window's `size ** 2` pixels.

    Args:
      size: Integer, odd. Side of the window in pixels.
      bias: Float above 0.
      alpha: Float.
      beta: Float.
      **kwargs: Keyword arguments of `keras.layers.Layer`.

    Input shape: `(batch, height, width, channels)`, any float dtype.
    Output shape: The input's.

    Raises:
      ValueError: An argument is out of range, or the input does not have rank 4.

    Examples:
      >>> layer = an.SpatialResponseNormalization(size=3, bias=1.0, alpha=1.0, beta=1.0)
      >>> output = layer(np.ones((1, 3, 3, 1))).numpy().squeeze()
      >>> print(output[:2, :2].round(2).diagonal())  # 1 / 5 in the corner, 1 / 10 in the center
      [0.2 0.1]
    """

    def __init__(
        self,
        size: int = paper.RUN_SPATIAL_SIZE,
        bias: float = paper.RUN_SPATIAL_K,
        alpha: float = paper.RUN_SPATIAL_ALPHA,
        beta: float = paper.RUN_SPATIAL_BETA,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"`size` must be odd and at least 1. Received: {size=}")
        if not bias > 0:
            raise ValueError(
                f"`bias` must be above 0 to avoid a division by zero. Received: {bias=}"
            )
        self.size = size
        self.bias = bias
        self.alpha = alpha
        self.beta = beta
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Stores the number of channels."""
        if len(input_shape) != 4 or input_shape[-1] is None:
            raise ValueError(
                "SpatialResponseNormalization expects inputs of shape "
                f"(batch, height, width, channels). Received: input_shape={input_shape}"
            )
        self._channels = input_shape[-1]
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the normalized activations."""
        inputs = tf.convert_to_tensor(inputs)
        if inputs.dtype == tf.float16:  # its largest number, 65504, is 256 squared
            return tf.cast(self.call(tf.cast(inputs, tf.float32)), tf.float16)
        window = tf.constant(self.alpha, inputs.dtype, [self.size, self.size, self._channels, 1])
        sums = tf.nn.depthwise_conv2d(tf.square(inputs), window, [1, 1, 1, 1], "SAME")
        biases = tf.constant(self.bias, inputs.dtype, [self._channels])
        return inputs * inverse_power(tf.nn.bias_add(sums, biases), self.beta)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "size": self.size,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
        }
