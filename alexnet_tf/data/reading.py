"""Read every image of a split once, and collect those that cannot be read or decoded."""

import concurrent.futures
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from alexnet_tf.data.decode import UnusableImageError, decode_image
from alexnet_tf.data.examples import ArrayExamples, Examples
from alexnet_tf.data.images import resize_and_crop
from alexnet_tf.errors import InputError
from alexnet_tf.system import available_cores

MAX_BAD_FRACTION = 0.01
_MAX_NAMED = 5
_CHUNK = 64  # images between two reports of progress

# What TensorFlow raises in training for an image that cannot be read.
UNREADABLE = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.DataLossError,
    tf.errors.UnknownError,
)


@dataclasses.dataclass(frozen=True)
class Failure:
    """An image that cannot be used.

    Attributes:
      index: Its index in the split.
      reason: Why, in a few words.
      is_damage: True if decoding failed, so that the file must change before it can be used. False
        if reading failed: a permission or a network file system, which may succeed next time.
    """

    index: int
    reason: str
    is_damage: bool


class Chunk(NamedTuple):
    """Consecutive images of a split.

    Attributes:
      indices: Indices of the images that were decoded.
      images: These images, uint8 [n, pixels, pixels, channels].
      failures: The other images.
    """

    indices: list[int]
    images: np.ndarray
    failures: list[Failure]


def read_squares(examples: Examples, pixels: int) -> Iterator[Chunk]:
    """Read and resize all images of a split, with all cores.

    Args:
      examples: The split.
      pixels: Side that images are resized to.

    Yields:
      The split's images, in order.
    """
    starts = range(0, len(examples), _CHUNK)
    numbers = [list(range(s, min(s + _CHUNK, len(examples)))) for s in starts]
    if isinstance(examples, ArrayExamples):
        for chunk in numbers:
            batch = examples.images[chunk[0] : chunk[-1] + 1]
            with tf.device("/CPU:0"):
                resized = np.asarray(resize_and_crop(batch, pixels))
            yield Chunk(chunk, resized, [])
        return

    @tf.function(input_signature=[tf.TensorSpec((), tf.int64)])
    def load(index: tf.Tensor) -> tf.Tensor:
        with tf.device("/CPU:0"):
            return resize_and_crop(examples.load(index), pixels)

    def load_or_fail(index: int) -> np.ndarray | Failure:
        try:
            return load(tf.constant(index, tf.int64)).numpy()
        except tf.errors.OpError as error:
            return _failure(examples, index, error)

    with concurrent.futures.ThreadPoolExecutor(available_cores()) as pool:
        for chunk in numbers:
            loaded = list(zip(chunk, pool.map(load_or_fail, chunk), strict=True))
            images = [(i, image) for i, image in loaded if not isinstance(image, Failure)]
            failures = [failure for _, failure in loaded if isinstance(failure, Failure)]
            shape = (0, pixels, pixels, examples.channels)
            stacked = np.stack([image for _, image in images]) if images else np.zeros(shape)
            yield Chunk([i for i, _ in images], stacked.astype(np.uint8, copy=False), failures)


def first_unreadable(*splits: Examples | None) -> str | None:
    """Return the name of the first image that cannot be read, and the reason; None: all can."""
    for examples in splits:
        if examples is None or examples.stored_shape is not None:
            continue
        for chunk in read_squares(examples, 1):
            for failure in chunk.failures:
                return f"{examples.name(failure.index)} ({failure.reason})"
    return None


def refuse_bad(bad: Sequence[tuple[str, str]], size: int, what: str) -> None:
    """Check that few enough images are unusable to skip them.

    Args:
      bad: Names and reasons of the unusable images.
      size: The number of all images.
      what: Name of the split for the message.

    Raises:
      InputError: More than 1% are unusable, or all.
    """
    if len(bad) <= MAX_BAD_FRACTION * size and len(bad) < size:
        return
    named = ", ".join(f"{name} ({reason})" for name, reason in itertools.islice(bad, _MAX_NAMED))
    more = f" and {len(bad) - _MAX_NAMED} more" if len(bad) > _MAX_NAMED else ""
    raise InputError(
        f"{len(bad)} of {size} {what} images cannot be read, more than "
        f"{MAX_BAD_FRACTION:.0%}: {named}{more}"
    )


def _failure(examples: Examples, index: int, error: tf.errors.OpError) -> Failure:
    """Return why an image failed to load: TensorFlow's error does not say it in a few words."""
    try:
        content = examples.content(index)
        if content is not None:
            decode_image(content)
    except FileNotFoundError:
        return Failure(index, "missing", False)
    except PermissionError:
        return Failure(index, "no permission to read it", False)
    except OSError as reading_error:
        reason = reading_error.strerror or str(reading_error)
        return Failure(index, f"cannot be read: {reason}", False)
    except UnusableImageError as decoding_error:
        return Failure(index, str(decoding_error), True)
    # Decoders raise InvalidArgumentError. After any other error, a second attempt succeeded.
    is_damage = isinstance(error, tf.errors.InvalidArgumentError)
    return Failure(index, "damaged" if is_damage else "cannot be read", is_damage)
