"""Response normalization inside each map: the layer of the 2012 run that the paper leaves out."""

from typing import Any

import keras
import tensorflow as tf

from alexnet_tf import paper
from alexnet_tf.model.local_response_normalization import inverse_power


@keras.saving.register_keras_serializable(package="alexnet_tf")
class SpatialResponseNormalization(keras.layers.Layer):
    """Divides each activation by the activity around it in its own map (2012 run, block 2).

        b[y, x] = a[y, x] / (bias + alpha * sum over the size x size window of a^2) ** beta

    The window is clipped at the map's edges, that is, outside it there are zeros. `alpha`
    multiplies the plain sum; the run's files give it before it is divided by the window's
    `size ** 2` pixels.

    Args:
      size: Side of the window in pixels, odd.
      bias: Added to the scaled sum.
      alpha: Factor of the sum.
      beta: Exponent.
      **kwargs: Of `keras.layers.Layer`.

    Input and output: [batch, height, width, maps], any float dtype.

    Raises:
      ValueError: An argument is out of range.
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
            raise ValueError(f"size must be odd and at least 1. Received: {size=}")
        if not bias > 0:
            raise ValueError(f"bias must be above 0, or zeros divide by zero. Received: {bias=}")
        self.size = size
        self.bias = bias
        self.alpha = alpha
        self.beta = beta
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Checks the rank and notes the number of maps."""
        if len(input_shape) != 4 or input_shape[-1] is None:
            raise ValueError(
                "SpatialResponseNormalization takes [batch, height, width, maps]. "
                f"Received: input_shape={input_shape}"
            )
        self._maps = input_shape[-1]
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the normalized activations."""
        inputs = tf.convert_to_tensor(inputs)
        if inputs.dtype == tf.float16:  # whose largest number, 65504, is no large square
            return tf.cast(self.call(tf.cast(inputs, tf.float32)), tf.float16)
        window = tf.constant(self.alpha, inputs.dtype, [self.size, self.size, self._maps, 1])
        scaled = tf.nn.depthwise_conv2d(tf.square(inputs), window, [1, 1, 1, 1], "SAME")
        biases = tf.constant(self.bias, inputs.dtype, [self._maps])
        return inputs * inverse_power(tf.nn.bias_add(scaled, biases), self.beta)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {
            **super().get_config(),
            "size": self.size,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
        }
