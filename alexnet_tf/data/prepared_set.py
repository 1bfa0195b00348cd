"""Prepared sets, which `prepare` writes: read by random access, without a pass over the shards."""

import dataclasses
import functools
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_tf.data.augment import CropPlan
from alexnet_tf.data.dataset import DataSet, Splits
from alexnet_tf.data.examples import Indices, fingerprint_of
from alexnet_tf.data.images import to_channels
from alexnet_tf.data.records import StoredExamples, damaged, features_in, read_ranges
from alexnet_tf.errors import InputError
from alexnet_tf.files import expanded

MARKER = "prepared.json"  # written last: a folder that has it is a complete prepared set
WORK = ".preparing"  # where an interrupted preparation keeps its progress
STATISTICS = "statistics.npz"
VERSION = 1
INDEX_COLUMNS = ("shard", "record_offset", "record_bytes", "image_offset", "image_bytes", "label")


@dataclasses.dataclass(frozen=True)
class Index:
    """The byte ranges of a split's examples: the file `index-<split>.npz` beside the shards.

    Attributes:
      shard: int32 [n], index of the shard.
      record_offset: int64 [n], offset of the serialized example in the shard, in bytes.
      record_bytes: int32 [n], its length.
      image_offset: int64 [n], offset of the encoded image, or of its pixels, in the shard.
      image_bytes: int32 [n], its length.
      label: int64 [n].
    """

    shard: np.ndarray
    record_offset: np.ndarray
    record_bytes: np.ndarray
    image_offset: np.ndarray
    image_bytes: np.ndarray
    label: np.ndarray

    def take(self, indices: Indices) -> "Index":
        """Returns these rows."""
        return Index(**{name: getattr(self, name)[indices] for name in INDEX_COLUMNS})


class PreparedExamples(StoredExamples):
    """A split of a prepared set: square images of one size, as JPEG or as pixels.

    Attributes:
      size: Side of the images in pixels.
      is_raw: Whether pixels are stored, not JPEG.
      stored_statistics: The file with the statistics of exactly these examples, or None.
    """

    def __init__(
        self,
        shards: Sequence[Path],
        index: Index,
        *,
        size: int,
        is_raw: bool,
        channels: int,
        origin: str,
        stored_statistics: Path | None = None,
    ) -> None:
        """Holds what `open_prepared` read."""
        self.labels = index.label
        self.channels = channels
        self.size = size
        self.is_raw = is_raw
        self.stored_shape = (size, size, 3) if is_raw else None
        self.stored_statistics = stored_statistics
        self._shards = list(shards)
        self._index = index
        self._origin = origin
        self._maps: dict[int, np.ndarray] = {}

    def name(self, index: int) -> str:
        """Returns the name of the file that the image was prepared from."""
        shard = self._shards[self._index.shard[index]]
        offset = int(self._index.record_offset[index])
        try:
            return recorded_name(shard, offset, int(self._index.record_bytes[index]))
        except (InputError, UnicodeDecodeError, OSError):  # damaged or removed
            return f"{shard} at byte {offset}"

    def decode(self, content: tf.Tensor) -> tf.Tensor:
        """Decodes a stored image; see `StoredExamples.decode`."""
        shape = (self.size, self.size)
        if self.is_raw:
            pixels = tf.reshape(tf.io.decode_raw(content, tf.uint8), (*shape, 3))
            return to_channels(pixels, self.channels)
        image = tf.io.decode_jpeg(content, channels=self.channels, dct_method="INTEGER_ACCURATE")
        return tf.ensure_shape(image, (*shape, self.channels))

    def crops(self, plan: CropPlan) -> tf.data.Dataset:
        """Delivers crops; they are copied from memory-mapped pixels if they only have to be cut."""
        if plan.only_copies(self.stored_shape):
            return self._copied_crops(plan)
        return super().crops(plan)

    def stored_images(self, indices: Indices) -> Iterator[np.ndarray]:
        """Yields memory-mapped pixels (`is_raw` only); see `Examples.stored_images`."""
        length = self.size * self.size * 3
        ranges = (self._index.shard[indices], self._index.image_offset[indices])
        for shard, offset in zip(*(values.tolist() for values in ranges), strict=True):
            yield self._mapped(shard)[offset : offset + length].reshape(self.size, self.size, 3)

    def _read_many(self, indices: np.ndarray) -> np.ndarray:
        """Returns the stored bytes: object [n]."""
        index = self._index.take(indices)
        ranges = np.stack([index.shard, index.image_offset, index.image_bytes], axis=1)
        return read_ranges(self._shards, ranges)

    def _mapped(self, shard: int) -> np.ndarray:
        """Returns a shard's memory-mapped bytes, uint8 [bytes]; map them at the first use."""
        if shard not in self._maps:
            # A plain array on top: slices of np.memmap cost several times those of an array.
            self._maps[shard] = np.asarray(np.memmap(self._shards[shard], np.uint8, "r"))
        return self._maps[shard]

    def subset(self, indices: Indices) -> "PreparedExamples":
        """Returns the examples at these indices."""
        return PreparedExamples(
            self._shards,
            self._index.take(indices),
            size=self.size,
            is_raw=self.is_raw,
            channels=self.channels,
            origin=self._origin,
        )

    def fingerprint(self) -> str:
        """Returns a checksum of the preparation and of the ranges in its shards."""
        return fingerprint_of(
            self._origin, str(self.channels), self._index.shard, self._index.image_offset
        )


def recorded_name(shard: Path, offset: int, length: int) -> str:
    """Returns the name of a record's source file, as recorded.

    Raises:
      InputError: The record is damaged.
    """
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
    """Returns the description of a prepared set.

    Raises:
      InputError: It is damaged, or was written by another version.
    """
    marker = folder / MARKER
    try:
        values = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{marker} is damaged ({error}): prepare the data set again") from None
    if not isinstance(values, dict) or values.get("version") != VERSION:
        raise InputError(f"{marker} was written by another version: prepare the data set again")
    return values


def open_prepared(name: str, *, channels: int = 3) -> DataSet:
    """Opens what `prepare` wrote.

    Args:
      name: The folder.
      channels: 3 or 1, to which images are converted.

    Returns:
      The data set. No shard is read before its first image is.

    Raises:
      InputError: The set is damaged or incomplete.
    """
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
    try:
        with np.load(path, allow_pickle=False) as file:
            index = Index(**{column: file[column] for column in INDEX_COLUMNS})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is missing or damaged ({error}): prepare it again") from None
    shards = [folder / file for file in entry["shards"]]
    for shard, size in zip(shards, entry["shard_bytes"], strict=True):
        if not shard.is_file() or shard.stat().st_size != size:
            raise InputError(f"{shard} is missing or cut short: prepare the data set again")
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
