"""The last layer: softmax, with the class names."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="alexnet_tf")
class Probabilities(keras.layers.Layer):
    """Converts logits to class probabilities and carries the class names (paper, section 3.5).

        probability[i] = exp(logit[i]) / sum(exp(logit[j]) for all j)

    The softmax is computed in float32 even if the network computes in half precision, and in
    float64 if that is the network's dtype.

    Args:
      class_names: Sequence of strings, one per class in the order of the logits, or None.
      **kwargs: Keyword arguments of `keras.layers.Layer`.

    Input shape: `(batch, classes)`, any float dtype.
    Output shape: `(batch, classes)`, float32 or float64.

    Raises:
      ValueError: The number of names is not the number of classes.
    """

    def __init__(self, class_names: Sequence[str] | None = None, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.class_names = None if class_names is None else [str(name) for name in class_names]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Checks that every class has a name."""
        if self.class_names is not None and len(self.class_names) != input_shape[-1]:
            raise ValueError(
                "`class_names` must contain one name per class. "
                f"Received: class_names={len(self.class_names)}, classes={input_shape[-1]}"
            )
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the softmax of the logits."""
        wide = "float64" if self.compute_dtype == "float64" else "float32"
        return tf.nn.softmax(tf.cast(inputs, wide))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "class_names": self.class_names}
