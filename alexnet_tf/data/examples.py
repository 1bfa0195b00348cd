"""A split: labeled images with random access by index, whatever they are stored in."""

import abc
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from alexnet_tf.data.image_size import refusal
from alexnet_tf.data.images import to_channels
from alexnet_tf.data.squares import copy_squares

Indices = np.ndarray


def fingerprint_of(*parts: str | np.ndarray) -> str:
    """Returns a short name for what texts and arrays hold."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, str):  # perhaps a file's name, which need not be UTF-8
            digest.update(part.encode(errors="surrogateescape"))
        else:
            digest.update(np.ascontiguousarray(part).data)
        digest.update(b"\0")
    return digest.hexdigest()


class Examples(abc.ABC):
    """Labelled images, numbered from 0.

    Attributes:
      labels: int64 [n], class numbers.
      channels: 3 (RGB) or 1 (gray): what `load` gives.
      stored_statistics: A file with the statistics of just these examples, or None.
      is_fast: Whether images are read as fast as from memory: there is no need to keep them there.
      stored_shape: [height, width, channels] of all images, if their pixels lie in memory or are
        mapped into it; None if they are decoded.
    """

    labels: np.ndarray
    channels: int
    stored_statistics: Path | None = None
    is_fast: bool = False
    stored_shape: tuple[int, int, int] | None = None

    def __len__(self) -> int:
        """Returns the number of examples."""
        return len(self.labels)

    @abc.abstractmethod
    def name(self, index: int) -> str:
        """Returns what a message calls the example: a file's path, or a number in a split."""

    @abc.abstractmethod
    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Reads one image; usable inside `Dataset.map`.

        Args:
          index: int64 scalar.

        Returns:
          uint8 [height, width, channels].

        Raises:
          tf.errors.OpError: When run, for an image that cannot be read or decoded.
        """

    def refusal(self, index: int) -> str | None:
        """Returns why an image is not even to be decoded; None: it may be."""
        return None

    def stored_images(self, indices: Indices) -> Iterator[np.ndarray]:
        """Yields the images as they lie in memory: uint8 of `stored_shape`, which must not be None.

        Args:
          indices: int64 [n].
        """
        raise NotImplementedError

    def load_crops(
        self, indices: tf.Tensor, tops: tf.Tensor, lefts: tf.Tensor, flips: tf.Tensor, pixels: int
    ) -> tf.Tensor:
        """Copies squares out of images that lie in memory (`stored_shape` must not be None).

        Args:
          indices: int64 [n].
          tops: int32 [n], the crop's first row.
          lefts: int32 [n], the crop's first column.
          flips: bool [n], whether the crop is reflected left to right.
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
        """Returns the examples of these indices, in their order."""

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Returns a name that changes when the images or their order may have changed."""


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
        """Takes the arrays as they are.

        Args:
          images: uint8 [n, height, width, 1 or 3].
          labels: Whole numbers [n].
          origin: What they are part of, for `name`.
          numbers: Their numbers in it, for `name`; None counts from 0.
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
        """uint8 [n, height, width, channels]: the images, made a tensor once."""
        if self._tensor is None:
            # Eager whatever the caller traces, and in main memory: input pipelines run there.
            with tf.init_scope(), tf.device("/CPU:0"):
                self._tensor = tf.convert_to_tensor(self.images)
        return self._tensor

    def name(self, index: int) -> str:
        """Returns the origin and the number in it."""
        return f"{self._origin} {self._numbers[index]}"

    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Reads one image; see `Examples.load`."""
        return self.load_batch(index)

    def load_batch(self, indices: tf.Tensor) -> tf.Tensor:
        """Reads images at once: uint8 [..., height, width, channels] for int64 [...]."""
        return tf.gather(self.tensor, indices)

    def stored_images(self, indices: Indices) -> Iterator[np.ndarray]:
        """Yields the images; see `Examples.stored_images`."""
        return map(self.images.__getitem__, indices.tolist())

    def subset(self, indices: Indices) -> "ArrayExamples":
        """Returns a copy of the examples of these indices."""
        return ArrayExamples(
            self.images[indices],
            self.labels[indices],
            origin=self._origin,
            numbers=self._numbers[indices],
        )

    def fingerprint(self) -> str:
        """Returns a hash of the pixels and labels."""
        return fingerprint_of(str(self.images.shape), self.images, self.labels)


class FileExamples(Examples):
    """Image files: JPEG, PNG, WebP, GIF (the first frame) or BMP."""

    def __init__(
        self, paths: Sequence[str | os.PathLike[str]], labels: np.ndarray, *, channels: int = 3
    ) -> None:
        """Takes the files' paths and labels; nothing is read yet.

        Args:
          paths: One file per example.
          labels: Whole numbers, one per file.
          channels: 3 or 1: what `load` converts to.
        """
        if len(paths) != len(labels):
            raise ValueError(f"{len(paths)} paths, {len(labels)} labels")
        self.paths = [str(path) for path in paths]
        self.labels = np.asarray(labels, np.int64)
        self.channels = channels
        self._tensor: tf.Tensor | None = None

    def name(self, index: int) -> str:
        """Returns the file's path."""
        return self.paths[index]

    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Reads one image; see `Examples.load`."""
        return decode(tf.io.read_file(self._files()[index]), self.channels)

    def refusal(self, index: int) -> str | None:
        """Returns why an image is not even to be decoded: it has too many pixels."""
        return refusal(self.paths[index])

    @tf.autograph.experimental.do_not_convert  # it warns that it cannot read os.fsencode
    def _files(self) -> tf.Tensor:
        """Returns string [n]: the paths, made a tensor once."""
        if self._tensor is None:
            with tf.init_scope(), tf.device("/CPU:0"):
                self._tensor = tf.constant([os.fsencode(path) for path in self.paths])
        return self._tensor

    def subset(self, indices: Indices) -> "FileExamples":
        """Returns the examples of these indices."""
        paths = [self.paths[i] for i in indices]
        return FileExamples(paths, self.labels[indices], channels=self.channels)

    def fingerprint(self) -> str:
        """Returns a hash of paths, sizes and times of change, or of "missing" in their place."""
        parts = [str(self.channels)]
        for path in self.paths:
            try:
                stat = Path(path).stat()
                parts.append(f"{Path(path).absolute()} {stat.st_size} {stat.st_mtime_ns}")
            except OSError:  # gone, or a link to itself; whoever reads it is told
                parts.append(f"{path} missing")
        return fingerprint_of(*parts)


def decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a JPEG, PNG, WebP (no animation), GIF (first frame) or BMP file's content.

    Args:
      encoded: string scalar.
      channels: 3 (RGB) or 1 (gray).

    Returns:
      uint8 [height, width, channels]. Transparency is dropped; an orientation in the file's
      metadata is not looked at.
    """

    def decode_bitmap() -> tf.Tensor:
        # TensorFlow converts no channels of a BMP: gray, color and transparent ones are told here.
        bitmap = tf.io.decode_bmp(encoded, channels=0)
        return tf.cond(
            tf.equal(tf.shape(bitmap)[-1], 1),
            lambda: tf.repeat(bitmap[..., :1], 3, axis=-1),
            lambda: bitmap[..., :3],
        )

    image = tf.cond(
        tf.equal(tf.strings.substr(encoded, 0, 2), b"BM"),
        decode_bitmap,
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    return to_channels(tf.ensure_shape(image, (None, None, 3)), channels)
