"""The input normalization that every model carries: pixels 0..255 in, what conv1 sees out."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable(package="alexnet_tf")
class MeanSubtraction(keras.layers.Layer):
    """Subtracts the training set's mean image (paper, section 2), then scales.

    The mean is a weight that training does not change: it is set once, by `set_mean`, from the
    training set. It is subtracted in float32 whatever the precision of the network (in float64 if
    that is the network's), since bfloat16 has too few digits for it.

    Args:
      scale: Factor after the subtraction, one per channel (in RGB order) or one for all.
      channel_order: "rgb", or "bgr" to reverse the channels after that.
      resize_pixels: Shorter side, in pixels, that photos are resized to before the network's crop
        is taken. Only carried along: what prepares images for the model reads it here.
      mean: Start of the weight, anything that broadcasts to the input's shape; None: zeros.
      **kwargs: Of `keras.layers.Layer`.

    Input: [batch, height, width, 1 or 3], gray or RGB, 0..255, any dtype. Output: the same shape,
    in the compute dtype.

    Raises:
      ValueError: The channel order is unknown, or the scale or the mean does not fit the input.
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
            raise ValueError(f"channel_order must be 'rgb' or 'bgr'. Received: {channel_order=}")
        self.scale = tuple(float(factor) for factor in scale)
        self.channel_order = channel_order
        self.resize_pixels = resize_pixels
        # Not in the config: a saved model has it among its weights.
        self._initial_mean = None if mean is None else np.asarray(mean, np.float32)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weight, as large as the input."""
        channels = input_shape[-1]
        if len(self.scale) not in (1, channels):
            raise ValueError(
                "scale must have one factor, or one per channel. "
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
        """Sets what is subtracted.

        Args:
          mean: On the 0..255 scale, RGB or gray; broadcasts to the input's
            (height, width, channels).

        Raises:
          ValueError: It does not.
        """
        shape = tuple(self.mean.shape)
        try:
            full = np.broadcast_to(np.asarray(mean, self._precision), shape)
        except ValueError:
            raise ValueError(
                f"the mean does not fit the input. Received: shape={np.shape(mean)}, input={shape}"
            ) from None
        self.mean.assign(full)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns (inputs - mean) * scale; in training compiled into one pass over memory."""
        normalize = tf.function(self._normalize, jit_compile=True) if training else self._normalize
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
        """Returns the arguments, without the mean, which is a weight."""
        return {
            **super().get_config(),
            "scale": list(self.scale),
            "channel_order": self.channel_order,
            "resize_pixels": self.resize_pixels,
        }
