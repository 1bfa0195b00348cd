"""Prepared sets: what `prepare` wrote, read by random access without a look at the shards first."""

import dataclasses
import functools
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

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
    """Where each example of a split is: the sidecar `index-<split>.npz`.

    Attributes:
      shard: int32 [n], number of its shard.
      record_offset: int64 [n], where its serialized example begins in the shard, in bytes.
      record_bytes: int32 [n].
      image_offset: int64 [n], where the encoded image, or its pixels, begin in the shard.
      image_bytes: int32 [n].
      label: int64 [n].
    """

    shard: np.ndarray
    record_offset: np.ndarray
    record_bytes: np.ndarray
    image_offset: np.ndarray
    image_bytes: np.ndarray
    label: np.ndarray

    def take(self, indices: Indices) -> "Index":
        """Returns the rows of these numbers."""
        return Index(**{name: getattr(self, name)[indices] for name in INDEX_COLUMNS})


class PreparedExamples(StoredExamples):
    """A split of a prepared set: square images of one size, as JPEG or as pixels.

    Attributes:
      size: Side of the images in pixels.
      is_raw: Whether pixels are stored, not JPEG.
      stored_statistics: The file with the statistics of just these examples, or None.
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
        """Takes what `open_prepared` read."""
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
        except (InputError, UnicodeDecodeError, OSError):  # damaged, or gone
            return f"{shard} at byte {offset}"

    def decode(self, content: tf.Tensor) -> tf.Tensor:
        """Decodes a stored image; see `StoredExamples.decode`."""
        shape = (self.size, self.size)
        if self.is_raw:
            pixels = tf.reshape(tf.io.decode_raw(content, tf.uint8), (*shape, 3))
            return to_channels(pixels, self.channels)
        image = tf.io.decode_jpeg(content, channels=self.channels, dct_method="INTEGER_ACCURATE")
        return tf.ensure_shape(image, (*shape, self.channels))

    def stored_images(self, indices: Indices) -> Iterator[np.ndarray]:
        """Yields the pixels, which are mapped into memory (`is_raw` only)."""
        length = self.size * self.size * 3
        places = (self._index.shard[indices], self._index.image_offset[indices])
        for shard, offset in zip(*(values.tolist() for values in places), strict=True):
            yield self._mapped(shard)[offset : offset + length].reshape(self.size, self.size, 3)

    def _read_many(self, indices: np.ndarray) -> np.ndarray:
        """Returns the stored bytes: object [n]."""
        index = self._index.take(indices)
        places = np.stack([index.shard, index.image_offset, index.image_bytes], axis=1)
        return read_ranges(self._shards, places)

    def _mapped(self, shard: int) -> np.ndarray:
        """Returns a shard's bytes, mapped into memory when first asked for: uint8 [bytes]."""
        if shard not in self._maps:
            # A plain array on top: slices of np.memmap cost several times those of an array.
            self._maps[shard] = np.asarray(np.memmap(self._shards[shard], np.uint8, "r"))
        return self._maps[shard]

    def subset(self, indices: Indices) -> "PreparedExamples":
        """Returns the examples of these indices."""
        return PreparedExamples(
            self._shards,
            self._index.take(indices),
            size=self.size,
            is_raw=self.is_raw,
            channels=self.channels,
            origin=self._origin,
        )

    def fingerprint(self) -> str:
        """Returns a hash of the preparation and of the places in it."""
        return fingerprint_of(
            self._origin, str(self.channels), self._index.shard, self._index.image_offset
        )


def recorded_name(shard: Path, offset: int, length: int) -> str:
    """Returns what a record says its file was called.

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
    """Returns whether a folder holds a whole prepared set."""
    return (folder / MARKER).is_file()


def read_marker(folder: Path) -> dict[str, Any]:
    """Returns what a prepared set says about itself.

    Raises:
      InputError: It is damaged, or of another version.
    """
    marker = folder / MARKER
    try:
        values = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{marker} is damaged ({error}): prepare the data set again") from None
    if not isinstance(values, dict) or values.get("version") != VERSION:
        raise InputError(f"{marker} is of another version: prepare the data set again")
    return values


def open_prepared(name: str, *, channels: int = 3) -> DataSet:
    """Opens what `prepare` wrote.

    Args:
      name: The folder.
      channels: 3 or 1: what images are converted to.

    Returns:
      The data set. No shard is read until an image is asked for.

    Raises:
      InputError: The set is damaged or not all there.
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
    """Reads a split's index and looks whether its shards are there, and whole."""
    said = marker["splits"][split]
    path = folder / f"index-{split}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            index = Index(**{column: file[column] for column in INDEX_COLUMNS})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is missing or damaged ({error}): prepare it again") from None
    shards = [folder / file for file in said["shards"]]
    for shard, size in zip(shards, said["shard_bytes"], strict=True):
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
