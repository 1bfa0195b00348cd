"""Labeled images with random access by index, whatever they are stored in."""

import abc
import copy
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from alexnet_tf.data.graph_decode import decode_content
from alexnet_tf.data.images import to_channels
from alexnet_tf.data.squares import copy_squares

Indices = np.ndarray


def fingerprint_of(*parts: str | np.ndarray) -> str:
    """Return a checksum of texts and arrays, in 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, str):  # may be a file name, which need not be UTF-8
            digest.update(part.encode(errors="surrogateescape"))
        else:
            digest.update(np.ascontiguousarray(part).data)
        digest.update(b"\0")
    return digest.hexdigest()


class Examples(abc.ABC):
    """Labeled images, numbered from 0.

    Attributes:
      labels: int64 [n], class numbers.
      channels: 3 (RGB) or 1 (gray), of the images that `load` returns.
      stored_statistics: A file with the statistics of exactly these examples, or None.
      stored_shape: [height, width, channels] of all images, if their pixels lie in memory or in a
        memory-mapped file; None if images are decoded.
    """

    labels: np.ndarray
    channels: int
    stored_statistics: Path | None = None
    stored_shape: tuple[int, int, int] | None = None

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.labels)

    @abc.abstractmethod
    def name(self, index: int) -> str:
        """Return the example's name for messages: a file's path, or a number in a split."""

    @abc.abstractmethod
    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Read one image; usable inside `Dataset.map`.

        Args:
          index: int64 scalar.

        Returns:
          uint8 [height, width, channels].

        Raises:
          tf.errors.OpError: When run, for an image that cannot be read or decoded.
        """

    def content(self, index: int) -> bytes | None:
        """Return the bytes of the example's own file; None if it has no file of its own.

        Raises:
          OSError: The file cannot be read.
        """
        return None

    def stored_images(self, indices: Indices) -> Iterator[np.ndarray]:
        """Yield images as they lie in memory: uint8 of `stored_shape`, which must not be None.

        Args:
          indices: int64 [n].
        """
        raise NotImplementedError

    def load_crops(
        self, indices: tf.Tensor, tops: tf.Tensor, lefts: tf.Tensor, flips: tf.Tensor, pixels: int
    ) -> tf.Tensor:
        """Crop images that lie in memory (`stored_shape` must not be None).

        Args:
          indices: int64 [n].
          tops: int32 [n], first row of each crop.
          lefts: int32 [n], first column of each crop.
          flips: bool [n], whether a crop is flipped horizontally.
          pixels: Side of the crops.

        Returns:
          uint8 [n, pixels, pixels, channels].
        """
        assert self.stored_shape is not None
        shape = (pixels, pixels, self.stored_shape[-1])

        def copy(
            indices: np.ndarray, tops: np.ndarray, lefts: np.ndarray, flips: np.ndarray
        ) -> np.ndarray:
            return copy_squares(self.stored_images(indices), tops, lefts, flips, shape)

        crops = tf.numpy_function(copy, (indices, tops, lefts, flips), tf.uint8)
        return to_channels(tf.ensure_shape(crops, (*indices.shape, *shape)), self.channels)

    @abc.abstractmethod
    def subset(self, indices: Indices) -> "Examples":
        """Return the examples at these indices, in this order."""

    def relabeled(self, numbers: np.ndarray) -> "Examples":
        """Return these examples with other class numbers.

        Args:
          numbers: int64 [classes], the new number of each class.
        """
        relabeled = copy.copy(self)
        relabeled.labels = numbers[self.labels]
        return relabeled

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Return a checksum that changes when the images or their order may have changed."""


class ArrayExamples(Examples):
    """Images of one size, in memory."""

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        origin: str = "image",
        numbers: np.ndarray | None = None,
    ) -> None:
        """Hold the arrays, without a copy where they are contiguous.

        Args:
          images: uint8 [n, height, width, 1 or 3].
          labels: Whole numbers [n].
          origin: Name of the split, for `name`.
          numbers: Numbers of the images in the split, for `name`; None counts from 0.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or len(images) != len(labels):
            raise ValueError(
                "images must be uint8 [n, height, width, channels] with n labels. Received: "
                f"{images.dtype} {images.shape} and {len(labels)} labels"
            )
        self.images = np.ascontiguousarray(images)
        self.labels = np.asarray(labels, np.int64)
        self.channels = images.shape[-1]
        self.stored_shape = images.shape[1:]
        self._origin = origin
        self._numbers = np.arange(len(images)) if numbers is None else numbers
        self._tensor: tf.Tensor | None = None

    @property
    def tensor(self) -> tf.Tensor:
        """The images as a tensor, uint8 [n, height, width, channels]; converted once."""
        if self._tensor is None:
            # Eager even inside a trace, and in main memory: input pipelines run there.
            with tf.init_scope(), tf.device("/CPU:0"):
                self._tensor = tf.convert_to_tensor(self.images)
        return self._tensor

    def name(self, index: int) -> str:
        """Return the origin and the number in it."""
        return f"{self._origin} {self._numbers[index]}"

    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Read one image; see `Examples.load`."""
        return self.load_batch(index)

    def load_batch(self, indices: tf.Tensor) -> tf.Tensor:
        """Read images at once: uint8 [..., height, width, channels] for int64 [...]."""
        return tf.gather(self.tensor, indices)

    def stored_images(self, indices: Indices) -> Iterator[np.ndarray]:
        """Yield the images; see `Examples.stored_images`."""
        return map(self.images.__getitem__, indices.tolist())

    def subset(self, indices: Indices) -> "ArrayExamples":
        """Return a copy of the examples at these indices."""
        return ArrayExamples(
            self.images[indices],
            self.labels[indices],
            origin=self._origin,
            numbers=self._numbers[indices],
        )

    def fingerprint(self) -> str:
        """Return a checksum of the pixels and labels."""
        return fingerprint_of(str(self.images.shape), self.images, self.labels)


class FileExamples(Examples):
    """Image files: JPEG, PNG, WebP, GIF or BMP, decoded as `decode_content` does."""

    def __init__(
        self, paths: Sequence[str | os.PathLike[str]], labels: np.ndarray, *, channels: int = 3
    ) -> None:
        """Hold paths and labels; read nothing yet.

        Args:
          paths: One file per example.
          labels: Whole numbers, one per file.
          channels: 3 (RGB) or 1 (gray): `load` converts to it.
        """
        if len(paths) != len(labels):
            raise ValueError(f"{len(paths)} paths, {len(labels)} labels")
        self.paths = [str(path) for path in paths]
        self.labels = np.asarray(labels, np.int64)
        self.channels = channels
        self._tensor: tf.Tensor | None = None

    def name(self, index: int) -> str:
        """Return the file's path."""
        return self.paths[index]

    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Read one image; see `Examples.load`."""
        return decode_content(tf.io.read_file(self._files()[index]), self.channels)

    def content(self, index: int) -> bytes:
        """Return the file's bytes; see `Examples.content`."""
        return Path(self.paths[index]).read_bytes()

    @tf.autograph.experimental.do_not_convert  # AutoGraph warns that it cannot convert os.fsencode
    def _files(self) -> tf.Tensor:
        """Return the paths as a tensor, string [n]; converted once."""
        if self._tensor is None:
            with tf.init_scope(), tf.device("/CPU:0"):
                self._tensor = tf.constant([os.fsencode(path) for path in self.paths])
        return self._tensor

    def subset(self, indices: Indices) -> "FileExamples":
        """Return the examples at these indices."""
        paths = [self.paths[i] for i in indices]
        return FileExamples(paths, self.labels[indices], channels=self.channels)

    def fingerprint(self) -> str:
        """Return a checksum of paths, sizes and modification times."""
        parts = [str(self.channels)]
        for path in self.paths:
            try:
                stat = Path(path).stat()
                parts.append(f"{Path(path).absolute()} {stat.st_size} {stat.st_mtime_ns}")
            except OSError:  # deleted, or a link to itself: reading it reports that
                parts.append(f"{path} missing")
        return fingerprint_of(*parts)
