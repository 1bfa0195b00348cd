"""Prepared sets, which `prepare` writes: read by random access, without a pass over the shards."""

import functools
import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf

from alexnet_tf.data.examples import Indices, fingerprint_of
from alexnet_tf.data.images import to_channels
from alexnet_tf.data.records import StoredExamples, damaged, features_in
from alexnet_tf.data.splits import DataSet, Splits
from alexnet_tf.errors import InputError
from alexnet_tf.files import expanded

MARKER = "prepared.json"  # written last: a folder that has it is a complete prepared set
WORK = ".preparing"  # where an interrupted preparation keeps its progress
STATISTICS = "statistics.npz"
VERSION = 1
INDEX_COLUMNS = ("shard", "record_offset", "record_bytes", "image_offset", "image_bytes", "label")


class PreparedExamples(StoredExamples):
    """A split of a prepared set: square images of one size, as JPEG or as pixels."""

    def __init__(
        self,
        shards: Sequence[Path],
        index: Mapping[str, np.ndarray],
        *,
        size: int,
        is_raw: bool,
        channels: int,
        origin: str,
        stored_statistics: Path | None,
    ) -> None:
        """Holds what `open_prepared` read.

        Args:
          shards: The files.
          index: INDEX_COLUMNS of `index-<split>.npz`, integers [n]: the shard; offsets and lengths
            in bytes of the serialized example and, inside it, of the image; the label.
          size: Side of the images in pixels.
          is_raw: Whether pixels are stored, not JPEG.
          channels: 3 or 1, to which `load` converts.
          origin: Name of the preparation and the split.
          stored_statistics: See `Examples`.
        """
        ranges = [index[column] for column in ("shard", "image_offset", "image_bytes")]
        super().__init__(
            shards, np.stack(ranges, axis=1), index["label"], channels=channels, origin=origin
        )
        self.stored_shape = (size, size, 3) if is_raw else None
        self.stored_statistics = stored_statistics
        self._size = size
        self._records = np.stack([index["record_offset"], index["record_bytes"]], axis=1)
        self._mapped_shards: dict[int, np.ndarray] = {}

    def name(self, index: int) -> str:
        """Returns the name of the file that the image was prepared from."""
        shard = self._shards[self._ranges[index, 0]]
        offset, length = self._records[index].tolist()
        try:
            return recorded_name(shard, offset, length)
        except (InputError, UnicodeDecodeError, OSError):  # damaged or removed
            return f"{shard} at byte {offset}"

    def decode(self, content: tf.Tensor) -> tf.Tensor:
        """Decodes a stored image; see `StoredExamples.decode`."""
        if self.stored_shape is not None:
            pixels = tf.reshape(tf.io.decode_raw(content, tf.uint8), self.stored_shape)
            return to_channels(pixels, self.channels)
        image = tf.io.decode_jpeg(content, channels=self.channels, dct_method="INTEGER_ACCURATE")
        return tf.ensure_shape(image, (self._size, self._size, self.channels))

    def stored_images(self, indices: Indices) -> Iterator[np.ndarray]:
        """Yields memory-mapped pixels; see `Examples.stored_images`."""
        assert self.stored_shape is not None
        length = math.prod(self.stored_shape)
        for shard, offset in self._ranges[indices, :2].tolist():
            yield self._mapped(shard)[offset : offset + length].reshape(self.stored_shape)

    def _mapped(self, shard: int) -> np.ndarray:
        """Returns a shard's memory-mapped bytes, uint8 [bytes], opened at the first use."""
        if shard not in self._mapped_shards:
            # A plain array on top: slices of np.memmap cost several times those of an array.
            memory = np.memmap(self._shards[shard], np.uint8, "r")
            self._mapped_shards[shard] = np.asarray(memory)
        return self._mapped_shards[shard]

    def subset(self, indices: Indices) -> Self:
        """Returns the examples at these indices, of which no statistics are stored."""
        subset = super().subset(indices)
        subset._records = self._records[indices]
        subset.stored_statistics = None
        return subset

    def fingerprint(self) -> str:
        """Returns a checksum of the preparation and of the ranges in its shards."""
        shards, offsets = self._ranges[:, 0].astype(np.int32), self._ranges[:, 1]
        return fingerprint_of(self._origin, str(self.channels), shards, offsets)


def recorded_name(shard: Path, offset: int, length: int) -> str:
    """Returns the name of a record's source file; raises InputError if the record is damaged."""
    with shard.open("rb") as file:
        file.seek(offset)
        content = file.read(length)
    name = features_in(content, shard)["file"].bytes_list.value
    if not name:
        raise InputError(damaged(shard))
    return str(name[0], "utf-8")


def is_prepared(folder: Path) -> bool:
    """Returns whether a folder holds a complete prepared set."""
    return (folder / MARKER).is_file()


def read_marker(folder: Path) -> dict[str, Any]:
    """Returns the description of a prepared set; raises InputError if it is damaged or unknown."""
    marker = folder / MARKER
    try:
        values = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{marker} is damaged ({error}): prepare the data set again") from None
    if not isinstance(values, dict) or values.get("version") != VERSION:
        raise InputError(f"{marker} was written by another version: prepare the data set again")
    return values


def open_prepared(name: str, *, channels: int = 3) -> DataSet:
    """Opens what `prepare` wrote; raises InputError if it is incomplete. Reads no shard yet."""
    folder = expanded(name)
    marker = read_marker(folder)
    readers = {
        split: functools.partial(_read_split, folder, marker, split, channels)
        for split in marker["splits"]
    }
    class_names = tuple(marker["class_names"])
    return DataSet(name, class_names, Splits(readers), str(folder.absolute()), channels)


def _read_split(
    folder: Path, marker: dict[str, Any], split: str, channels: int
) -> PreparedExamples:
    """Reads a split's index; checks that its shards exist and have their sizes."""
    entry = marker["splits"][split]
    path = folder / f"index-{split}.npz"
    remedy = f"remove {folder} and prepare again"
    try:
        with np.load(path, allow_pickle=False) as file:
            index = {column: file[column] for column in INDEX_COLUMNS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is missing or damaged ({error}): {remedy}") from None
    shards = [folder / file for file in entry["shards"]]
    for shard, size in zip(shards, entry["shard_bytes"], strict=True):
        if not shard.is_file() or shard.stat().st_size != size:
            raise InputError(f"{shard} is missing or cut short: {remedy}")
    statistics = folder / STATISTICS if split == "train" and channels == 3 else None
    return PreparedExamples(
        shards,
        index,
        size=marker["size"],
        is_raw=marker["format"] == "raw",
        channels=channels,
        origin=f"{marker['plan']} {split}",
        stored_statistics=statistics,
    )
