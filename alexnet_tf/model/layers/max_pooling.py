"""Max pooling whose gradient is equally fast, and the same, each time a step is compiled."""

from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.model.layers.compiled import CompiledFunction, uses_native_kernels


@keras.saving.register_keras_serializable(package="alexnet_tf")
class MaxPooling2D(keras.layers.MaxPooling2D):
    """Takes the maximum over windows, which overlap if `strides < pool_size` (section 3.4).

    With `s` the strides and windows that lie completely inside the input:

        output[y, x, c] = max(input[s * y + i, s * x + j, c] for 0 <= i, j < pool_size)

    Args:
      pool_size: Integer, or (height, width): the window in pixels.
      strides: Integer, or (vertical, horizontal): the step between windows in pixels.
      **kwargs: Keyword arguments of `keras.layers.MaxPooling2D`. `padding` must be "valid" and
        `data_format` "channels_last", which are the defaults whatever Keras' own setting is.

    Input shape: `(batch, height, width, channels)`, any float dtype.
    Output shape: `(batch, (height - pool_size) // strides + 1, (width - pool_size) // strides + 1,
      channels)`.

    Raises:
      ValueError: `padding` or `data_format` has another value.

    Examples:
      >>> pixels = np.arange(25.0).reshape(1, 5, 5, 1)
      >>> an.MaxPooling2D(pool_size=3, strides=2)(pixels).numpy().squeeze().tolist()
      [[12.0, 14.0], [22.0, 24.0]]
    """

    def __init__(
        self, pool_size: int | tuple[int, int], strides: int | tuple[int, int], **kwargs: Any
    ) -> None:
        kwargs.setdefault("data_format", "channels_last")  # else the user's keras.json decides
        super().__init__(pool_size, strides, **kwargs)
        if self.padding != "valid" or self.data_format != "channels_last":
            raise ValueError(
                "MaxPooling2D supports only padding='valid' and data_format='channels_last'. "
                f"Received: padding={self.padding!r}, data_format={self.data_format!r}"
            )
        self._gradient = CompiledFunction(
            self._pooling_gradient, experimental_attributes={"_noinline": True}
        )

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the maximum of each window."""
        inputs = tf.convert_to_tensor(inputs)
        if training and not uses_native_kernels():
            return self._with_gradient(inputs)
        return self._pooled(inputs)

    def _pooled(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.max_pool2d(inputs, self.pool_size, self.strides, "VALID")

    def _with_gradient(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the maximum of each window; its gradient is a function that is not inlined.

        On CPUs TensorFlow gives the gradient to oneDNN only if it has seen the pooling before. In
        the loop over the updates it sees the two in either order, and the order may change with
        each compilation. Without oneDNN the gradient takes 4.5 to 18 times as long in the paper's
        layers, and the gradients of overlapping windows are added in another order. A function
        that is not inlined has no loop around it. Pooling once more there costs a fraction of the
        gradient.
        """

        @tf.custom_gradient
        def pool(values: tf.Tensor) -> tuple[tf.Tensor, Any]:
            return self._pooled(values), lambda upstream: self._gradient(values, upstream)

        return pool(inputs)

    def _pooling_gradient(self, values: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(values)
            pooled = self._pooled(values)
        return tape.gradient(pooled, values, upstream)
