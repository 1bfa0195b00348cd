"""Max pooling whose gradient is the same, and as fast, each time a step is compiled."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="alexnet_tf")
class MaxPooling2D(keras.layers.MaxPooling2D):
    """Keras's max pooling of whole windows, which may overlap (section 3.4).

    Args:
      pool_size: Side of the window in pixels.
      strides: From window to window; less than `pool_size` if they overlap.
      **kwargs: Of `keras.layers.Layer`.

    Input and output: [batch, height, width, maps], any float dtype.

    Raises:
      ValueError: `padding` is not "valid", or `data_format` not "channels_last".
    """

    def __init__(
        self, pool_size: int | tuple[int, int], strides: int | tuple[int, int], **kwargs: Any
    ) -> None:
        kwargs.setdefault("data_format", "channels_last")  # Keras's is the user's setting
        super().__init__(pool_size, strides, **kwargs)
        if self.padding != "valid" or self.data_format != "channels_last":
            raise ValueError(
                "MaxPooling2D takes whole windows and the maps last. "
                f"Received: padding={self.padding!r}, data_format={self.data_format!r}"
            )

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the largest activation in each window."""
        inputs = tf.convert_to_tensor(inputs)
        return self._with_gradient(inputs) if training else self._pooled(inputs)

    def _pooled(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.max_pool2d(inputs, self.pool_size, self.strides, "VALID")

    def _with_gradient(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the largest activation in each window, with the gradient apart from the rest.

        On CPUs TensorFlow gives the gradient to oneDNN only where it has met the pooling before.
        In the loop over the updates it meets them in either order, another at each compilation:
        without oneDNN the gradient takes 4.5 to 18 times as long in the paper's layers, and what
        overlapping windows send to a pixel is added up in another order. A function that stays one
        has no loop around it. Pooling once more there costs a fraction of the gradient.
        """

        @tf.function(experimental_attributes={"_noinline": True})
        def gradient(values: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(values)
                pooled = self._pooled(values)
            return tape.gradient(pooled, values, upstream)

        @tf.custom_gradient
        def pool(values: tf.Tensor) -> tuple[tf.Tensor, Any]:
            return self._pooled(values), lambda upstream: gradient(values, upstream)

        return pool(inputs)
