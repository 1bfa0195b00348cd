"""Going through a split's images, with those that cannot be read."""

import concurrent.futures
import itertools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from alexnet_tf.data.examples import ArrayExamples, Examples
from alexnet_tf.data.images import resize_and_crop
from alexnet_tf.errors import InputError
from alexnet_tf.system import available_cores

MAX_BAD_SHARE = 0.01
_NAMED = 5
_CHUNK = 64  # images between two reports of progress

# What TensorFlow raises in training for an image that cannot be read.
UNREADABLE = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.DataLossError,
    tf.errors.UnknownError,
)
Chunk = tuple[list[int], np.ndarray, list[tuple[int, str]]]


def read_squares(examples: Examples, pixels: int) -> Iterator[Chunk]:
    """Reads a split's images, with all cores.

    Args:
      examples: The split.
      pixels: Side that images are resized to.

    Yields:
      In order: indices, their images uint8 [n, pixels, pixels, c], and for those that cannot be
      read the index and why.
    """
    starts = range(0, len(examples), _CHUNK)
    numbers = [list(range(s, min(s + _CHUNK, len(examples)))) for s in starts]
    if isinstance(examples, ArrayExamples):
        for chunk in numbers:
            batch = examples.images[chunk[0] : chunk[-1] + 1]
            with tf.device("/CPU:0"):
                resized = np.asarray(resize_and_crop(batch, pixels))
            yield chunk, resized, []
        return

    @tf.function(input_signature=[tf.TensorSpec((), tf.int64)])
    def load(index: tf.Tensor) -> tf.Tensor:
        with tf.device("/CPU:0"):
            return resize_and_crop(examples.load(index), pixels)

    def load_or_reason(index: int) -> np.ndarray | str:
        refusal = examples.refusal(index)
        if refusal is not None:
            return refusal
        try:
            return load(tf.constant(index, tf.int64)).numpy()
        except tf.errors.OpError as error:
            return _reason(error)

    with concurrent.futures.ThreadPoolExecutor(available_cores()) as pool:
        for chunk in numbers:
            loaded = list(zip(chunk, pool.map(load_or_reason, chunk), strict=True))
            images = [(i, image) for i, image in loaded if not isinstance(image, str)]
            failures = [(i, reason) for i, reason in loaded if isinstance(reason, str)]
            shape = (0, pixels, pixels, examples.channels)
            stacked = np.stack([image for _, image in images]) if images else np.zeros(shape)
            yield [i for i, _ in images], stacked.astype(np.uint8, copy=False), failures


def first_unreadable(*splits: Examples | None) -> str | None:
    """Returns what the first image that cannot be read is called, and why; None: all can be."""
    for examples in splits:
        if examples is None or examples.stored_shape is not None:
            continue
        for _, _, failures in read_squares(examples, 1):
            for index, reason in failures:
                return f"{examples.name(index)} ({reason})"
    return None


def refuse_bad(bad: list[tuple[str, str]], size: int, what: str) -> None:
    """Checks that few images are bad enough to be left out.

    Args:
      bad: Their names, and what is wrong with them.
      size: The number of all.
      what: What a message calls the split.

    Raises:
      InputError: More than 1% are, or all.
    """
    if len(bad) <= MAX_BAD_SHARE * size and len(bad) < size:
        return
    named = ", ".join(f"{name} ({reason})" for name, reason in itertools.islice(bad, _NAMED))
    more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    raise InputError(
        f"{len(bad)} of {size} {what} images cannot be read, more than "
        f"{MAX_BAD_SHARE:.0%}: {named}{more}"
    )


def _reason(error: tf.errors.OpError) -> str:
    """Returns why an image could not be read, in a few words."""
    if isinstance(error, tf.errors.NotFoundError):
        return "missing"
    if isinstance(error, tf.errors.PermissionDeniedError):
        return "no permission to read it"
    return "damaged, or no JPEG, PNG, WebP, GIF or BMP"
