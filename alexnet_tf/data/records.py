"""Examples in TFRecord shards, read by random access: for data sets that do not fit in memory."""

import abc
import copy
import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from alexnet_tf.data.examples import PARALLEL_CALLS, Examples, Indices, Rows, fingerprint_of
from alexnet_tf.data.images import to_channels
from alexnet_tf.errors import InputError

# A record is: length (8 bytes), checksum of it (4), content, checksum of that (4).
HEADER_BYTES, FOOTER_BYTES = 12, 4


class StoredExamples(Examples):
    """Examples whose bytes are read from shards a batch at a time, and decoded one by one."""

    def __init__(
        self,
        shards: Sequence[Path],
        ranges: np.ndarray,
        labels: np.ndarray,
        *,
        channels: int,
        origin: str,
    ) -> None:
        """Holds where the examples are.

        Args:
          shards: The files.
          ranges: int64 [n, 3]: index of the shard, offset and length of an example in bytes.
          labels: int64 [n].
          channels: 3 or 1, to which `load` converts.
          origin: Name of the split, for `name` and `fingerprint`.
        """
        self.labels = labels
        self.channels = channels
        self._shards = list(shards)
        self._ranges = ranges
        self._origin = origin

    @abc.abstractmethod
    def decode(self, content: tf.Tensor) -> tf.Tensor:
        """Decodes the bytes of an example, a string scalar: uint8 [height, width, channels]."""

    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Reads one image; see `Examples.load`."""
        return self.decode(self._read_batch(tf.reshape(index, [1]))[0])

    def subset(self, indices: Indices) -> Self:
        """Returns the examples at these indices."""
        subset = copy.copy(self)
        subset.labels = self.labels[indices]
        subset._ranges = self._ranges[indices]
        return subset

    def _read_batch(self, indices: tf.Tensor) -> tf.Tensor:
        """Reads the bytes of examples: string [n] for int64 [n].

        A call into Python costs as much as reading an image, so there is one per batch.
        """
        contents = tf.numpy_function(self._read_ranges, [indices], tf.string)
        return tf.ensure_shape(contents, indices.shape)

    def _read_ranges(self, indices: np.ndarray) -> np.ndarray:
        """Computes `_read_batch`: object [n]."""
        contents = np.empty(len(indices), object)
        for row, (shard, offset, length) in enumerate(self._ranges[indices].tolist()):
            # Opening costs next to nothing, and a thousand open files are too many.
            flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)  # Windows
            descriptor = os.open(self._shards[shard], flags)
            try:
                os.lseek(descriptor, offset, os.SEEK_SET)  # Windows has no pread
                contents[row] = os.read(descriptor, length)
            finally:
                os.close(descriptor)
        return contents

    def _map_images(
        self, rows: dict[str, np.ndarray], process: Callable[[Rows, tf.Tensor], tf.Tensor]
    ) -> tf.data.Dataset:
        """Returns batches of processed images; see `Examples._map_images`."""
        contents = tf.data.Dataset.from_tensor_slices(rows).map(
            lambda row: (row, self._read_batch(row["index"])), num_parallel_calls=PARALLEL_CALLS
        )
        images = contents.unbatch().map(
            lambda row, content: process(row, self.decode(content)),
            num_parallel_calls=PARALLEL_CALLS,
        )
        return images.batch(rows["index"].shape[1], drop_remainder=True)


class RecordExamples(StoredExamples):
    """TFDS examples, found by one pass over the shards that also reads the labels."""

    def __init__(
        self,
        shards: Sequence[Path],
        decode_image: Callable[[tf.Tensor], tf.Tensor],
        label_key: str,
        *,
        channels: int,
        origin: str,
    ) -> None:
        """Finds the examples in the shards.

        Args:
          shards: The files.
          decode_image: From a serialized example (string scalar) to uint8 [h, w, 1 or 3].
          label_key: Name of the label feature.
          channels: 3 or 1, to which `load` converts.
          origin: Name of the split.

        Raises:
          InputError: A shard is cut short or damaged.
        """
        ranges: list[tuple[int, int, int]] = []
        labels: list[int] = []
        for number, shard in enumerate(shards):
            for offset, content in records(shard):
                label = features_in(content, shard)[label_key].int64_list.value
                if not label:
                    raise InputError(damaged(shard))
                ranges.append((number, offset, len(content)))
                labels.append(label[0])
        super().__init__(
            shards,
            np.asarray(ranges, np.int64).reshape(-1, 3),
            np.asarray(labels, np.int64),
            channels=channels,
            origin=origin,
        )
        self._decode_image = decode_image

    def name(self, index: int) -> str:
        """Returns the origin, the shard and the offset."""
        shard, offset, _ = self._ranges[index]
        return f"{self._origin} {self._shards[shard].name} at byte {offset}"

    def decode(self, content: tf.Tensor) -> tf.Tensor:
        """Decodes a serialized example; see `StoredExamples.decode`."""
        return to_channels(self._decode_image(content), self.channels)

    def fingerprint(self) -> str:
        """Returns a checksum of the origin, the shards' sizes and times, and the ranges."""
        stats = [shard.stat() for shard in self._shards]
        shards = " ".join(f"{stat.st_size} {stat.st_mtime_ns}" for stat in stats)
        return fingerprint_of(self._origin, shards, str(self.channels), self._ranges)


def records(shard: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the offset and the bytes of each record; raises InputError if the shard is cut."""
    size = shard.stat().st_size
    with shard.open("rb") as file:
        offset = 0
        while offset < size:
            header = file.read(HEADER_BYTES)
            length = struct.unpack("<Q", header[:8])[0] if len(header) == HEADER_BYTES else size
            content_at = offset + HEADER_BYTES
            offset = content_at + length + FOOTER_BYTES
            if offset > size:
                raise InputError(f"{shard} is cut short: prepare the data set again")
            yield content_at, file.read(length)
            file.seek(FOOTER_BYTES, os.SEEK_CUR)


def features_in(content: bytes, shard: Path) -> Mapping[str, Any]:
    """Returns `tf.train.Feature` by name; raises InputError if a record is not an example.

    Not with a TensorFlow operation: the first one fixes which devices exist.
    """
    try:
        return tf.train.Example.FromString(content).features.feature
    except DecodeError:
        raise InputError(damaged(shard)) from None


def damaged(shard: Path) -> str:
    """Returns the message for a shard that is damaged."""
    return f"{shard} is damaged: prepare the data set again"
