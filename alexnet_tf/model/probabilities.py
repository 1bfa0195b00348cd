"""The last layer: scores to probabilities, with the names of the classes."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="alexnet_tf")
class Probabilities(keras.layers.Layer):
    """Softmax over the classes (paper, section 3.5), in float32 at least, and the classes' names.

    Args:
      class_names: One name per class in the order of the scores, or None.
      **kwargs: Of `keras.layers.Layer`.

    Input: [batch, classes], any float dtype. Output: [batch, classes], float32 (float64 where that
    is the compute dtype), each row summing to 1.

    Raises:
      ValueError: The names are not as many as the classes.
    """

    def __init__(self, class_names: Sequence[str] | None = None, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.class_names = None if class_names is None else [str(name) for name in class_names]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Checks that there is a name for every class."""
        if self.class_names is not None and len(self.class_names) != input_shape[-1]:
            raise ValueError(
                "there must be one class name per class. "
                f"Received: class_names={len(self.class_names)}, classes={input_shape[-1]}"
            )
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the softmax."""
        wide = "float64" if self.compute_dtype == "float64" else "float32"
        return tf.nn.softmax(tf.cast(inputs, wide))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "class_names": self.class_names}


def class_names(model: keras.Model) -> list[str] | None:
    """Returns the names of a model's classes in the order of its outputs, None if it has none."""
    return getattr(model.layers[-1], "class_names", None)


def with_logits(model: keras.Model) -> keras.Model:
    """Returns the same network, sharing every weight, whose output is the scores before softmax.

    A cross-entropy computed from these, cast to float32, keeps its digits where one computed from
    probabilities loses them.
    """
    return keras.Model(model.input, model.layers[-1].input, name=model.name)
