"""The input normalization that every model contains: 0..255 pixels in, conv1's input out."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.model.layers.compiled import CompiledFunction


@keras.saving.register_keras_serializable(package="alexnet_tf")
class MeanSubtraction(keras.layers.Layer):
    """Subtracts the training set's mean image from the pixels (paper, section 2), then scales.

        output = (pixels - mean) * scale

    The mean is a non-trainable weight. It is set once, by the constructor or by `set_mean`, from
    the training set. It is subtracted in float32 even if the network computes in half precision,
    since bfloat16 has too few digits for it, and in float64 if that is the network's dtype.

    Args:
      scale: Sequence of floats: one factor, or one per channel in RGB order.
      channel_order: "rgb", or "bgr" to reverse the channels of the output.
      resize_pixels: Integer: the length in pixels to which the shorter side of a photo is resized
        before the network's crop is cut, or None. The layer does not use it: code that
        prepares images for the model reads it.
      mean: The initial mean: anything that broadcasts to `(height, width, channels)`, on the
        0..255 scale in RGB order, or None for zeros.
      **kwargs: Keyword arguments of `keras.layers.Layer`.

    Input shape: `(batch, height, width, channels)`, 1 (gray) or 3 (RGB) channels, 0..255, any
      dtype.
    Output shape: The input's, in the layer's compute dtype.

    Raises:
      ValueError: `channel_order` is not supported, or `scale` or `mean` does not fit the input.

    Examples:
      >>> layer = an.MeanSubtraction(mean=[120.0, 110.0, 100.0])
      >>> layer(np.full((1, 1, 1, 3), 130.0)).numpy().ravel().tolist()
      [10.0, 20.0, 30.0]
    """

    def __init__(
        self,
        scale: Sequence[float] = (1.0,),
        channel_order: str = "rgb",
        resize_pixels: int | None = None,
        mean: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if channel_order not in ("rgb", "bgr"):
            raise ValueError(f"`channel_order` must be 'rgb' or 'bgr'. Received: {channel_order=}")
        self.scale = tuple(float(factor) for factor in scale)
        self.channel_order = channel_order
        self.resize_pixels = resize_pixels
        # Not in the config: a saved model has it among its weights.
        self._initial_mean = None if mean is None else np.asarray(mean, np.float32)
        self._compiled = CompiledFunction(self._normalize, jit_compile=True)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the mean, with the input's height, width and channels."""
        channels = input_shape[-1]
        if len(self.scale) not in (1, channels):
            raise ValueError(
                "`scale` must contain one factor, or one per channel. "
                f"Received: scale={self.scale}, channels={channels}"
            )
        self.mean = self.add_weight(
            name="mean",
            shape=tuple(input_shape[1:]),
            initializer="zeros",
            dtype=self._precision,
            trainable=False,
            autocast=False,
        )
        if self._initial_mean is not None:
            self.set_mean(self._initial_mean)
        self.built = True

    @property
    def _precision(self) -> str:
        return "float64" if self.compute_dtype == "float64" else "float32"

    def set_mean(self, mean: Any) -> None:
        """Sets the mean that is subtracted.

        Args:
          mean: Array on the 0..255 scale, RGB or gray, that broadcasts to the input's
            `(height, width, channels)`.

        Raises:
          ValueError: It does not broadcast to that shape.
        """
        shape = tuple(self.mean.shape)
        try:
            full = np.broadcast_to(np.asarray(mean, self._precision), shape)
        except ValueError:
            raise ValueError(
                f"The mean does not broadcast to the input. Received: shape={np.shape(mean)}, "
                f"input={shape}"
            ) from None
        self.mean.assign(full)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the normalized pixels; in training, compiled into one pass over memory."""
        normalize = self._compiled if training else self._normalize
        return normalize(inputs, tf.convert_to_tensor(self.mean))

    def _normalize(self, inputs: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
        centered = tf.cast(inputs, self._precision) - mean
        if self.scale != (1.0,):
            centered *= tf.constant(self.scale, centered.dtype)
        if self.channel_order == "bgr":
            centered = tf.reverse(centered, [-1])
        return tf.cast(centered, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, except the mean, which is a weight."""
        return {
            **super().get_config(),
            "scale": list(self.scale),
            "channel_order": self.channel_order,
            "resize_pixels": self.resize_pixels,
        }
