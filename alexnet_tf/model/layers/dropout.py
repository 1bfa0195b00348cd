"""Dropout, the paper's and inverted, with masks that do not depend on how a batch is divided.

Inside `dropout_scope(seed, step, first_row)` the mask of a unit is a function of the seed, the
step, the layer's name, the example's row in the global batch, and the unit's index. Two devices
that each process half of a batch therefore drop exactly the units that one device would drop, and
a resumed run drops those of an uninterrupted run. Without a scope, as in `Model.fit`, the layers
use a seed generator like Keras' own.
"""

import contextlib
import contextvars
import math
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf

_PHILOX = 1  # TensorFlow's number for the algorithm; it generates four 32-bit words per counter
_WORDS_PER_COUNTER = 4


class _Position(NamedTuple):
    """The position in a training run that masks are drawn for."""

    seed: Any
    step: Any
    first_row: Any
    part: int
    parts: int


# Of this thread alone: a strategy runs each replica in a thread of its own.
_position: contextvars.ContextVar[_Position | None] = contextvars.ContextVar(
    "position", default=None
)


@contextlib.contextmanager
def dropout_scope(
    seed: Any, step: Any, first_row: Any = 0, part: int = 0, parts: int = 1
) -> Iterator[None]:
    """Makes the masks of the dropout layers called inside depend on these arguments alone.

    In a `tf.function`, and under a strategy, enter the scope inside the traced replica function.

    Args:
      seed: Integer or scalar integer tensor: the run's seed.
      step: Integer or scalar integer tensor, 0 to 2**31 - 1: the index of the update.
      first_row: Integer or scalar integer tensor: the row in the global batch of the first example
        on this replica.
      part: Index from 0: which of the `parts` equal parts of a layer's units the layers called
        inside hold.
      parts: Number of parts; 2 if each device holds one group of the network, else 1.

    Yields:
      Nothing.
    """
    token = _position.set(_Position(seed, step, first_row, part, parts))
    try:
        yield
    finally:
        _position.reset(token)


class _Dropout(keras.layers.Layer):
    """Base class of both kinds of dropout: the dropout rate and the masks."""

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must be at least 0 and below 1. Received: {rate=}")
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True
        self.built = True

    def _kept(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns a mask of the input's shape and dtype: 1 for units that are kept, else 0."""
        units = math.prod(inputs.shape[1:])
        position = _position.get()
        part, parts = (position.part, position.parts) if position else (0, 1)
        # Each row has counters of its own.
        counters_per_row = -(-units * parts // _WORDS_PER_COUNTER)
        if position:
            key = _uint64(position.seed)
            stream = _uint64(position.step) * 2**32 + zlib.crc32(self.name.encode())
            start = _uint64(position.first_row) * counters_per_row
        else:
            pair = _uint64(self.seed_generator.next())
            key, stream, start = pair[0], pair[1], _uint64(0)
        bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=[tf.shape(inputs)[0], counters_per_row * _WORDS_PER_COUNTER],
            key=key[None],
            counter=tf.stack([start, stream]),
            alg=_PHILOX,
            dtype=tf.uint32,
        )
        bits = bits[:, part * units : (part + 1) * units]
        kept = bits >= tf.constant(round(self.rate * 2**32), tf.uint32)
        return tf.reshape(tf.cast(kept, inputs.dtype), tf.shape(inputs))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="alexnet_tf")
class PaperDropout(_Dropout):
    """Drops units in training without scaling, and scales all units at test (section 4.2).

    With `mask` 1 for a unit that is kept, with probability `1 - rate`, and 0 for the others:

        in training:  output = input * mask
        otherwise:    output = input * (1 - rate)

    Activations in training are `1 - rate` times those of `InvertedDropout`. The paper's learning
    rates and initialization assume this.

    Args:
      rate: Float, at least 0 and below 1. Fraction of units dropped.
      seed: Integer or None. Seed of the masks outside of `dropout_scope`.
      **kwargs: Keyword arguments of `keras.layers.Layer`.

    Input shape: `(batch, ...)`, all sizes after the batch known, any float dtype.
    Output shape: The input's.

    Raises:
      ValueError: `rate` is out of range.

    Examples:
      >>> layer = an.PaperDropout(0.5)
      >>> layer(np.ones((1, 3))).numpy().tolist()
      [[0.5, 0.5, 0.5]]
      >>> sorted(set(layer(np.ones((1, 1000)), training=True).numpy().ravel().tolist()))
      [0.0, 1.0]
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the units that are kept in training, otherwise all units times `1 - rate`."""
        if training:
            return inputs * self._kept(inputs)
        return inputs * tf.cast(1 - self.rate, inputs.dtype)


@keras.saving.register_keras_serializable(package="alexnet_tf")
class InvertedDropout(_Dropout):
    """Drops units in training and scales the others up, as `keras.layers.Dropout` does.

    With `mask` 1 for a unit that is kept, with probability `1 - rate`, and 0 for the others:

        in training:  output = input * mask / (1 - rate)
        otherwise:    output = input

    Args:
      rate: Float, at least 0 and below 1. Fraction of units dropped.
      seed: Integer or None. Seed of the masks outside of `dropout_scope`.
      **kwargs: Keyword arguments of `keras.layers.Layer`.

    Input shape: `(batch, ...)`, all sizes after the batch known, any float dtype.
    Output shape: The input's.

    Raises:
      ValueError: `rate` is out of range.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the units that are kept, scaled up, in training, otherwise the input."""
        if training:
            return inputs * self._kept(inputs) * tf.cast(1 / (1 - self.rate), inputs.dtype)
        return inputs


def _uint64(value: Any) -> tf.Tensor:
    """Returns an integer or integer tensor as uint64."""
    if isinstance(value, int):
        return tf.constant(value % 2**64, tf.uint64)
    return tf.cast(value, tf.uint64)
