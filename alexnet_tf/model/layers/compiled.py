"""The kernels that layers compute with: the fastest on a CPU, or TensorFlow's own kernels."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

# Of this thread alone: a strategy runs each replica in a thread of its own.
_native = contextvars.ContextVar("native", default=False)
_training = contextvars.ContextVar("training", default=False)


@contextlib.contextmanager
def native_kernels(native: bool = True) -> Iterator[None]:
    """Makes the layers and optimizers called inside use TensorFlow's own kernels, without XLA.

    On GPUs these are cuDNN's: local response normalization in one kernel, and grouped convolution
    without splitting the channels. Functions compiled by XLA are reported to hang or fail on
    several GPUs under MirroredStrategy (keras-team/keras#18145, tensorflow/tensorflow#61314).
    On CPUs the compiled functions are faster.

    In a `tf.function`, and under a strategy, enter the scope inside the traced replica function.

    Args:
      native: Whether to use native kernels; False changes nothing.

    Yields:
      Nothing.
    """
    token = _native.set(native or _native.get())
    try:
        yield
    finally:
        _native.reset(token)


def uses_native_kernels() -> bool:
    """Returns whether the caller is inside `native_kernels`."""
    return _native.get()


@contextlib.contextmanager
def training_kernels() -> Iterator[None]:
    """Makes the layers called inside compute as in training: on CPUs, in fewer passes over memory.

    Use it only for graphs that stay in this process: they contain functions compiled by XLA and
    convolutions of several groups, which servers and converters do not accept.

    Yields:
      Nothing.
    """
    token = _training.set(True)
    try:
        yield
    finally:
        _training.reset(token)


def uses_training_kernels(training: bool | None = None) -> bool:
    """Returns whether a layer computes as in training: in training or inside `training_kernels`."""
    return bool(training) or _training.get()


class CompiledFunction:
    """A function of tensors that runs as a `tf.function`, whoever calls the layer.

    In eager calls (a plain `GradientTape` loop, `run_eagerly=True`) one `tf.function` serves all
    calls. It compiles once per combination of shapes and dtypes, so that the time and the memory
    of a call do not grow with the number of calls.

    While an outer function is traced, each call makes a new `tf.function`, which belongs to that
    graph. One function shared by all graphs would be traced again for each device and batch size,
    and TensorFlow warns about that.

    Inside `native_kernels` the function itself runs, as part of the caller's graph.

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
        if uses_native_kernels():
            return self._function(*tensors)
        if tf.executing_eagerly():
            return self._eager(*tensors)
        return tf.function(self._function, **self._options)(*tensors)
