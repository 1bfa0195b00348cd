"""Functions that layers compile: once for eager calls, anew in each graph that is traced."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


class CompiledFunction:
    """A function of tensors that runs as a `tf.function`, whoever calls the layer.

    In eager calls (a plain `GradientTape` loop, `run_eagerly=True`) one `tf.function` serves all
    calls. It compiles once per combination of shapes and dtypes, so that the time and the memory
    of a call do not grow with the number of calls.

    While an outer function is traced, each call makes a new `tf.function`, which belongs to that
    graph. One function shared by all graphs would be traced again for each device and batch size,
    and TensorFlow warns about that.

    A layer that keeps an instance in an attribute does not pass the function on to what is saved
    or exported, as it would with a plain `tf.function`.

    Args:
      function: From tensors to a tensor.
      **options: Keyword arguments of `tf.function`, such as `jit_compile=True`.
    """

    def __init__(self, function: Callable[..., tf.Tensor], **options: Any) -> None:
        self._function = function
        self._options = options
        self._eager = tf.function(function, **options)

    def __call__(self, *tensors: tf.Tensor) -> tf.Tensor:
        """Returns the function's result."""
        if tf.executing_eagerly():
            return self._eager(*tensors)
        return tf.function(self._function, **self._options)(*tensors)
