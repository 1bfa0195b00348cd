"""Read every image of a split once: find damaged images, and keep decoded images that fit."""

import collections
import concurrent.futures
import dataclasses
import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from alexnet_tf.data.crop import empty_images
from alexnet_tf.data.decode import DECODING_VERSION, UnusableImageError, decode_image
from alexnet_tf.data.examples import ArrayExamples, Examples
from alexnet_tf.data.images import resize_and_crop
from alexnet_tf.errors import InputError
from alexnet_tf.files import DamagedFileError, read_sealed_json, write_sealed_json
from alexnet_tf.system import available_cores

MAX_DAMAGED_FRACTION = 0.01
IMAGE_CACHE_BYTES = 2**30  # resized images of a split are kept in memory up to this size
_MAX_LISTED = 5
_CHUNK = 64  # images between two reports of progress

OnProgress = Callable[[int, int], None]
_LOG = logging.getLogger(__name__)

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
    """An image that cannot be used."""

    index: int  # in the split
    reason: str  # in a few words
    # True: decoding failed, so the file must change before it can be used. False: reading failed (a
    # permission, a network file system), which may succeed next time.
    is_damage: bool


@dataclasses.dataclass(frozen=True)
class Scan:
    """The usable images of a split."""

    # The split without damaged images; resized and in memory if they were decoded or resized and
    # fit there.
    examples: Examples
    indices: np.ndarray  # int64 [n], indices of `examples` in the split
    damaged: tuple[tuple[str, str], ...] = ()  # names of the skipped images, with the reason
    # False if an image could not be read for a reason that may pass (a permission, a network file
    # system). Such results are not cached.
    is_final: bool = True


def scan_images(
    examples: Examples,
    pixels: int,
    on_progress: OnProgress | None = None,
    *,
    split: str = "training",
    cache: bool = True,
    on_images: Callable[[np.ndarray], None] | None = None,
) -> Scan:
    """Decodes all images of a split once and finds those that cannot be used.

    Images that are stored as pixels are not read unless `on_images` needs them.

    Args:
      examples: The split.
      pixels: Side that images are resized to.
      on_progress: Called after every chunk with the images done and the number of images.
      split: Name of the split for messages.
      cache: Whether the list of damaged images may be read from and written to the user's cache
        folder, if the images do not fit in memory.
      on_images: Called with the usable images of every chunk, uint8 [n, pixels, pixels, channels].

    Raises:
      InputError: More than 1% of the images cannot be used, or none can.
    """
    if on_images is None and examples.stored_shape is not None:
        return unscanned(examples)
    keeps_images = fits_in_memory(examples, pixels)
    path = None
    if cache and not keeps_images:
        path = cache_folder() / "scans" / f"{examples.fingerprint()}-{DECODING_VERSION}.json"
    failures = None if path is None or on_images is not None else _cached_failures(path, examples)
    images = None
    if failures is None:
        shape = (len(examples), pixels, pixels, examples.channels)
        images = empty_images(shape) if keeps_images else None
        failures = _read_all(examples, pixels, images, on_progress, on_images)
        _check_damaged(examples, failures, split)
        if path is not None and all(failure.is_damage for failure in failures):
            _write_failures(path, failures)
    indices = np.delete(np.arange(len(examples)), [failure.index for failure in failures])
    usable = examples.subset(indices) if failures and images is None else examples
    if images is not None:
        usable = ArrayExamples(images[: len(indices)], examples.labels[indices], numbers=indices)
    damaged = tuple((examples.name(failure.index), failure.reason) for failure in failures)
    return Scan(usable, indices, damaged, all(failure.is_damage for failure in failures))


def unscanned(examples: Examples) -> Scan:
    """Returns the scan of examples that are known to be undamaged."""
    return Scan(examples, np.arange(len(examples)))


def fits_in_memory(examples: Examples, pixels: int) -> bool:
    """Returns whether a scan keeps images: those decoded or resized, up to IMAGE_CACHE_BYTES."""
    if examples.stored_shape is not None and examples.stored_shape[:2] == (pixels, pixels):
        return False
    return len(examples) * pixels * pixels * examples.channels <= IMAGE_CACHE_BYTES


def _read_all(
    examples: Examples,
    pixels: int,
    images: np.ndarray | None,
    on_progress: OnProgress | None,
    on_images: Callable[[np.ndarray], None] | None,
) -> list[Failure]:
    """Reads all images; writes the usable ones to the beginning of `images` if it is an array."""
    failures: list[Failure] = []
    usable = 0
    needs_images = images is not None or on_images is not None
    for chunk in read_images(examples, pixels if needs_images else None):
        failures += [image for image in chunk if isinstance(image, Failure)]
        loaded = [image for image in chunk if not isinstance(image, Failure)]
        if loaded and images is not None:
            images[usable : usable + len(loaded)] = loaded
        if loaded and on_images is not None:
            on_images(np.stack(loaded))
        usable += len(loaded)
        if on_progress is not None:
            on_progress(usable + len(failures), len(examples))
    return failures


def read_images(examples: Examples, pixels: int | None) -> Iterator[list[np.ndarray | Failure]]:
    """Reads and decodes all images of a split in order, with all cores.

    Args:
      examples: The split.
      pixels: Side that images are resized to; None only decodes them, and yields no pixels.

    Yields:
      Consecutive images, uint8 [pixels, pixels, channels], or why one cannot be used.
    """
    starts = range(0, len(examples), _CHUNK)
    chunks = (range(start, min(start + _CHUNK, len(examples))) for start in starts)
    if isinstance(examples, ArrayExamples):
        for chunk in chunks:
            batch = examples.images[chunk.start : chunk.stop]
            if pixels is not None:
                with tf.device("/CPU:0"):
                    batch = np.asarray(resize_and_crop(batch, pixels))
            yield list(batch)
        return

    @tf.function(input_signature=[tf.TensorSpec((), tf.int64)])
    def load(index: tf.Tensor) -> tf.Tensor:
        with tf.device("/CPU:0"):
            image = examples.load(index)
            return image[0, 0] if pixels is None else resize_and_crop(image, pixels)

    def load_or_fail(index: int) -> np.ndarray | Failure:
        try:
            return load(tf.constant(index, tf.int64)).numpy()
        except tf.errors.OpError as error:
            return _failure(examples, index, error)

    with concurrent.futures.ThreadPoolExecutor(available_cores()) as pool:
        # The next chunk is decoded while the caller uses this one.
        pending: collections.deque[Iterator[np.ndarray | Failure]] = collections.deque()
        for chunk in chunks:
            pending.append(pool.map(load_or_fail, chunk))
            if len(pending) > 1:
                yield list(pending.popleft())
        yield from map(list, pending)


def first_unreadable(*splits: Examples | None) -> str | None:
    """Returns the name of the first image that cannot be read, and the reason; None: all can."""
    for examples in splits:
        if examples is None or examples.stored_shape is not None:
            continue
        for image in itertools.chain.from_iterable(read_images(examples, None)):
            if isinstance(image, Failure):
                return f"{examples.name(image.index)} ({image.reason})"
    return None


def _check_damaged(examples: Examples, failures: Sequence[Failure], split: str) -> None:
    """Raises InputError if more than 1% of the images are unusable, or all."""
    count, size = len(failures), len(examples)
    if count <= MAX_DAMAGED_FRACTION * size and count < size:
        return
    listed = ", ".join(
        f"{examples.name(failure.index)} ({failure.reason})" for failure in failures[:_MAX_LISTED]
    )
    more = f" and {count - _MAX_LISTED} more" if count > _MAX_LISTED else ""
    raise InputError(
        f"{count} of {size} {split} images cannot be read, more than "
        f"{MAX_DAMAGED_FRACTION:.0%}: {listed}{more}"
    )


def _failure(examples: Examples, index: int, error: tf.errors.OpError) -> Failure:
    """Returns why an image failed to load: TensorFlow's error does not say it in a few words."""
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


def cache_folder() -> Path:
    """Returns this package's folder in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alexnet_tf"


def _cached_failures(path: Path, examples: Examples) -> list[Failure] | None:
    """Returns the cached list of damaged images; None if the file is missing or damaged."""
    try:
        entries = read_sealed_json(path)["damaged"]
        failures = [Failure(int(index), str(reason), True) for index, reason in entries]
    except (OSError, DamagedFileError, KeyError, TypeError, ValueError):
        return None  # replaced by a new scan
    return failures if all(0 <= f.index < len(examples) for f in failures) else None


def _write_failures(path: Path, failures: Sequence[Failure]) -> None:
    """Caches the list of damaged images; warns if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        entries = [[failure.index, failure.reason] for failure in failures]
        write_sealed_json(path, {"damaged": entries})
    except OSError as error:
        _LOG.warning("the list of damaged images is not cached: %s", error)
