"""Labeled images with random access by index: in any storage, in files and in memory."""

import abc
import copy
import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from alexnet_tf.data.augment import CropPlan
from alexnet_tf.data.crop import (
    ALIGNMENT,
    copy_crops,
    crop_and_flip,
    empty_images,
    resize_crop_flip,
)
from alexnet_tf.data.images import (
    crop_and_flip_one,
    decode_content,
    pad_reflect,
    resize_and_crop,
    to_channels,
)
from alexnet_tf.system import available_cores

Indices = np.ndarray
Rows = dict[str, tf.Tensor]
# Two for each core: one at work, one waiting for a file or for its turn to deliver.
PARALLEL_CALLS = 2 * available_cores()


def fingerprint_of(*parts: str | np.ndarray) -> str:
    """Returns a checksum of texts and arrays, in 32 hexadecimal digits."""
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
      stored_shape: [height, width, channels] of all images, if their pixels are in memory or in a
        memory-mapped file; None if images are decoded.
    """

    labels: np.ndarray
    channels: int
    stored_statistics: Path | None = None
    stored_shape: tuple[int, int, int] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @abc.abstractmethod
    def name(self, index: int) -> str:
        """Returns the example's name for messages: a file's path, or a number in a split."""

    @abc.abstractmethod
    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Reads one image, uint8 [height, width, channels]; usable inside `Dataset.map`.

        Raises:
          tf.errors.OpError: When run, for an image that cannot be read or decoded.
        """

    def content(self, index: int) -> bytes | None:
        """Returns the bytes of the example's own file; None if it has none."""
        return None

    def stored_images(self, indices: Indices) -> Iterator[np.ndarray]:
        """Yields the stored pixels of examples: uint8 of `stored_shape`, which must not be None."""
        raise NotImplementedError

    def crops(self, plan: CropPlan) -> tf.data.Dataset:
        """Delivers the crops of a plan: a data set of uint8 [b, pixels, pixels, channels].

        Each image is decoded, and only its crop is resized, unless the image is padded first.
        Crops of stored pixels are copied if they only have to be cut.
        """
        if plan.only_copies(self.stored_shape):
            return self._copied_crops(plan)

        def crop(row: Rows, image: tf.Tensor) -> tf.Tensor:
            position = (row["top"], row["left"], row["flip"])
            if plan.pad_pixels:
                resized = resize_and_crop(image, plan.resize_pixels)
                image = pad_reflect(resized[tf.newaxis], plan.pad_pixels)[0]
            side = plan.resize_pixels + 2 * plan.pad_pixels
            sizes = (row["height"], row["width"]) if plan.heights is not None else None
            has_size = image.shape[:2] == (side, side)  # known before the image is decoded
            if has_size and sizes is None:
                return crop_and_flip_one(image, *position, plan.crop_pixels)
            pixels = (plan.resize_pixels, plan.crop_pixels)
            return resize_crop_flip(image, *position, *pixels, sizes)

        return self._map_images(plan.rows, crop)

    def resized(self, indices: Indices, pixels: int) -> tf.data.Dataset:
        """Delivers resized images: a data set of uint8 [b, pixels, pixels, channels].

        `indices` are int64 [batches, b]; see `resize_and_crop`.
        """
        return self._map_images({"index": indices}, lambda _, image: resize_and_crop(image, pixels))

    def _map_images(
        self, rows: dict[str, np.ndarray], process: Callable[[Rows, tf.Tensor], tf.Tensor]
    ) -> tf.data.Dataset:
        """Returns batches of images, each processed with its row: [batches, b] of every array."""
        flat = {key: value.ravel() for key, value in rows.items()}
        images = tf.data.Dataset.from_tensor_slices(flat).map(
            lambda row: process(row, self.load(row["index"])), num_parallel_calls=PARALLEL_CALLS
        )
        return images.batch(rows["index"].shape[1], drop_remainder=True)

    def _copied_crops(self, plan: CropPlan) -> tf.data.Dataset:
        """Delivers crops of `stored_images`; see `CropPlan.only_copies`."""
        assert self.stored_shape is not None
        shape = (plan.crop_pixels, plan.crop_pixels, self.stored_shape[-1])

        def copy(indices: np.ndarray, *positions: np.ndarray) -> np.ndarray:
            return copy_crops(self.stored_images(indices), *positions, shape=shape)

        def crop(row: Rows) -> tf.Tensor:
            arguments = (row["index"], row["top"], row["left"], row["flip"])
            crops = tf.numpy_function(copy, arguments, tf.uint8)
            batch_shape = (*row["index"].shape, *shape)
            return to_channels(tf.ensure_shape(crops, batch_shape), self.channels)

        batches = tf.data.Dataset.from_tensor_slices(plan.rows)
        return batches.map(crop, num_parallel_calls=PARALLEL_CALLS)

    @abc.abstractmethod
    def subset(self, indices: Indices) -> "Examples":
        """Returns the examples at these indices, in this order."""

    def relabeled(self, numbers: np.ndarray) -> "Examples":
        """Returns these examples with other class numbers: int64 [classes], by the old number."""
        relabeled = copy.copy(self)
        relabeled.labels = numbers[self.labels]
        return relabeled

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Returns a checksum that changes when the images or their order may have changed."""


class FileExamples(Examples):
    """Image files: JPEG, PNG, WebP, GIF or BMP, decoded by `decode_content`."""

    def __init__(
        self, paths: Sequence[str | os.PathLike[str]], labels: np.ndarray, *, channels: int = 3
    ) -> None:
        """Holds a path and a label per example, and the channels that `load` converts to."""
        if len(paths) != len(labels):
            raise ValueError(f"{len(paths)} paths, {len(labels)} labels")
        self.paths = [str(path) for path in paths]
        self.labels = np.asarray(labels, np.int64)
        self.channels = channels

    def name(self, index: int) -> str:
        """Returns the file's path."""
        return self.paths[index]

    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Reads one image; see `Examples.load`."""
        return decode_content(tf.io.read_file(self._files[index]), self.channels)

    def content(self, index: int) -> bytes:
        """Returns the file's bytes; see `Examples.content`."""
        return Path(self.paths[index]).read_bytes()

    @functools.cached_property
    def _files(self) -> tf.Tensor:
        """The paths as a tensor, string [n]."""
        with tf.init_scope(), tf.device("/CPU:0"):
            return tf.constant([os.fsencode(path) for path in self.paths])

    def subset(self, indices: Indices) -> "FileExamples":
        """Returns the examples at these indices."""
        paths = [self.paths[i] for i in indices]
        return FileExamples(paths, self.labels[indices], channels=self.channels)

    def fingerprint(self) -> str:
        """Returns a checksum of paths, sizes and modification times."""
        parts = [str(self.channels)]
        for path in self.paths:
            try:
                stat = Path(path).stat()
                parts.append(f"{Path(path).absolute()} {stat.st_size} {stat.st_mtime_ns}")
            except OSError:  # deleted, or a link to itself: reading it reports that
                parts.append(f"{path} missing")
        return fingerprint_of(*parts)


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
        """Holds the arrays, in memory that TensorFlow can read without a copy.

        Args:
          images: uint8 [n, height, width, 1 or 3]; copied unless `empty_images` allocated them.
          labels: Integers [n].
          origin: Name of the split, for `name`.
          numbers: Numbers of the images in the split, for `name`; None counts from 0.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or len(images) != len(labels):
            raise ValueError(
                "images must be uint8 [n, height, width, channels] with n labels. Received: "
                f"{images.dtype} {images.shape} and {len(labels)} labels"
            )
        is_readable = images.flags.c_contiguous and images.flags.writeable
        if not is_readable or images.ctypes.data % ALIGNMENT:
            copied = empty_images(images.shape)
            copied[...] = images
            images = copied
        self.images = images
        self.labels = np.asarray(labels, np.int64)
        self.channels = images.shape[-1]
        self.stored_shape = images.shape[1:]
        self._origin = origin
        self._numbers = np.arange(len(images)) if numbers is None else numbers

    @functools.cached_property
    def tensor(self) -> tf.Tensor:
        """The images as a tensor, uint8 [n, height, width, channels]."""
        # Eager even inside a trace, and in main memory: input pipelines run there.
        with tf.init_scope(), tf.device("/CPU:0"):
            # The same memory; `convert_to_tensor` would make two copies.
            return tf.experimental.dlpack.from_dlpack(self.images.__dlpack__())

    def name(self, index: int) -> str:
        """Returns the origin and the number in it."""
        return f"{self._origin} {self._numbers[index]}"

    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Reads one image; see `Examples.load`."""
        return tf.gather(self.tensor, index)

    def crops(self, plan: CropPlan) -> tf.data.Dataset:
        """Delivers crops, mostly a batch at a time; see `Examples.crops`."""
        if plan.only_copies(self.stored_shape) or plan.heights is not None:
            return super().crops(plan)

        def crop(row: Rows) -> tf.Tensor:
            images = resize_and_crop(tf.gather(self.tensor, row["index"]), plan.resize_pixels)
            images = pad_reflect(images, plan.pad_pixels)
            return crop_and_flip(images, row["top"], row["left"], row["flip"], plan.crop_pixels)

        batches = tf.data.Dataset.from_tensor_slices(plan.rows)
        return batches.map(crop, num_parallel_calls=PARALLEL_CALLS)

    def resized(self, indices: Indices, pixels: int) -> tf.data.Dataset:
        """Delivers resized images, a batch at a time; see `Examples.resized`."""
        return tf.data.Dataset.from_tensor_slices(indices).map(
            lambda batch: resize_and_crop(tf.gather(self.tensor, batch), pixels),
            num_parallel_calls=PARALLEL_CALLS,
        )

    def stored_images(self, indices: Indices) -> Iterator[np.ndarray]:
        """Yields the images; see `Examples.stored_images`."""
        return map(self.images.__getitem__, indices.tolist())

    def subset(self, indices: Indices) -> "ArrayExamples":
        """Returns a copy of the examples at these indices."""
        return ArrayExamples(
            self.images[indices],
            self.labels[indices],
            origin=self._origin,
            numbers=self._numbers[indices],
        )

    def fingerprint(self) -> str:
        """Returns a checksum of the pixels and labels."""
        return fingerprint_of(str(self.images.shape), self.images, self.labels)
