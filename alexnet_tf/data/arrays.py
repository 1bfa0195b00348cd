"""Labeled images of one size in memory, which TensorFlow reads without a copy."""

import functools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from alexnet_tf.data.augment import CropPlan
from alexnet_tf.data.crop import ALIGNMENT, crop_and_flip, empty_images
from alexnet_tf.data.examples import PARALLEL_CALLS, Examples, Indices, Rows, fingerprint_of
from alexnet_tf.data.images import pad_reflect, resize_and_crop


def _readable(images: np.ndarray) -> np.ndarray:
    """Returns images that TensorFlow can read without a copy: themselves, or a copy."""
    is_usable = images.flags.c_contiguous and images.flags.writeable
    if is_usable and images.ctypes.data % ALIGNMENT == 0:
        return images
    copied = empty_images(images.shape)
    copied[...] = images
    return copied


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
        """Holds the arrays; images that `empty_images` allocated are not copied.

        Args:
          images: uint8 [n, height, width, 1 or 3].
          labels: Integers [n].
          origin: Name of the split, for `name`.
          numbers: Numbers of the images in the split, for `name`; None counts from 0.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or len(images) != len(labels):
            raise ValueError(
                "images must be uint8 [n, height, width, channels] with n labels. Received: "
                f"{images.dtype} {images.shape} and {len(labels)} labels"
            )
        self.images = _readable(images)
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
