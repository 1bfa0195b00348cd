"""Dropout as in the paper and as today, with masks that do not depend on how a batch is divided.

Inside `dropout_scope(seed, step, first_row)` the mask of a unit is a function of the seed, the
step, the layer's name, the image's row in the whole batch, and the unit. So two devices that each
take half of a batch drop exactly what one device would have dropped, and a resumed run what the run
that was never stopped would have. Without a scope, as in `Model.fit`, a seed generator is used as
Keras does.
"""

import contextlib
import math
import threading
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf

_PHILOX = 1  # TensorFlow's number for the algorithm; it makes four 32-bit words per counter
_WORDS_PER_COUNTER = 4


class _Position(NamedTuple):
    """Where in the training the masks are drawn."""

    seed: Any
    step: Any
    first_row: Any
    part: int
    parts: int


class _Positions(threading.local):
    """The scopes entered in this thread; a strategy runs each replica in a thread of its own."""

    def __init__(self) -> None:
        self.stack: list[_Position] = []


_positions = _Positions()


@contextlib.contextmanager
def dropout_scope(
    seed: Any, step: Any, first_row: Any = 0, part: int = 0, parts: int = 1
) -> Iterator[None]:
    """Makes the masks of the dropout layers called inside a function of their position alone.

    In a `tf.function`, and under a strategy, enter it inside the traced replica function.

    Args:
      seed: Integer or scalar integer tensor; the run's.
      step: Likewise, from 0 to 2**31 - 1: the update that the batch is for.
      first_row: Likewise: the row in the whole batch of this replica's first image.
      part: Which of the equal parts of a layer's units the layers called inside have, from 0.
      parts: How many parts there are; a tower has one of two.

    Yields:
      Nothing.
    """
    _positions.stack.append(_Position(seed, step, first_row, part, parts))
    try:
        yield
    finally:
        _positions.stack.pop()


class _Dropout(keras.layers.Layer):
    """What both kinds of dropout share: the rate, and which units are kept."""

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be at least 0 and below 1. Received: {rate=}")
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True
        self.built = True

    def _kept(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns a mask of the input's shape and dtype: 1 where a unit is kept, else 0."""
        units = math.prod(inputs.shape[1:])
        place = _positions.stack[-1] if _positions.stack else None
        part, parts = (place.part, place.parts) if place else (0, 1)
        # A row starts at a counter of its own.
        counters_per_row = -(-units * parts // _WORDS_PER_COUNTER)
        if place:
            key = _uint64(place.seed)
            stream = _uint64(place.step) * 2**32 + zlib.crc32(self.name.encode())
            start = _uint64(place.first_row) * counters_per_row
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
        """Returns the arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="alexnet_tf")
class PaperDropout(_Dropout):
    """Dropout as in the paper (section 4.2): units are dropped in training, and nothing is scaled.

    At test every unit is there and its output is multiplied by `1 - rate`: halved, at the paper's
    0.5. Activations in training are half as large as with `InvertedDropout`, which is what the
    paper's learning rates and initialization go with.

    Args:
      rate: Share of units dropped, at least 0 and below 1.
      seed: Of the masks where there is no `dropout_scope`.
      **kwargs: Of `keras.layers.Layer`.

    Input and output: [batch, ...] with fixed sizes after the batch, any float dtype.

    Raises:
      ValueError: The rate is out of range.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the units kept in training, all of them times `1 - rate` otherwise."""
        if training:
            return inputs * self._kept(inputs)
        return inputs * tf.cast(1 - self.rate, inputs.dtype)


@keras.saving.register_keras_serializable(package="alexnet_tf")
class InvertedDropout(_Dropout):
    """Dropout as today: the units kept in training are divided by `1 - rate`, none is at test.

    Args:
      rate: Share of units dropped, at least 0 and below 1.
      seed: Of the masks where there is no `dropout_scope`.
      **kwargs: Of `keras.layers.Layer`.

    Input and output: [batch, ...] with fixed sizes after the batch, any float dtype.

    Raises:
      ValueError: The rate is out of range.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the units kept, scaled up, in training, the input itself otherwise."""
        if training:
            return inputs * self._kept(inputs) * tf.cast(1 / (1 - self.rate), inputs.dtype)
        return inputs


def _uint64(value: Any) -> tf.Tensor:
    """Returns an integer or integer tensor as uint64."""
    if isinstance(value, int):
        return tf.constant(value % 2**64, tf.uint64)
    return tf.cast(value, tf.uint64)
