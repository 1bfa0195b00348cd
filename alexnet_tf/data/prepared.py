"""Prepared sets: what `prepare` wrote, read by random access without a look at the shards first."""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_tf.data.dataset import DataSet, Splits
from alexnet_tf.data.examples import Examples, Indices, fingerprint_of
from alexnet_tf.data.images import crop_and_flip, to_channels
from alexnet_tf.data.prepare.items import MARKER
from alexnet_tf.errors import InputError

STATISTICS = "statistics.npz"
VERSION = 1
INDEX_COLUMNS = ("shard", "record_offset", "record_bytes", "image_offset", "image_bytes", "label")


@dataclasses.dataclass(frozen=True)
class Index:
    """Where each example of a split is: the sidecar `index-<split>.npz`.

    Attributes:
      shard: int32 [n], number of its shard.
      record_offset: int64 [n], where its serialised example begins in the shard, in bytes.
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


class PreparedExamples(Examples):
    """A split of a prepared set: square images of one size, as JPEG or as pixels.

    Attributes:
      size: Side of the images in pixels.
      is_raw: Whether pixels are stored, not JPEG.
      is_fast: Likewise: there is nothing to decode.
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
        self.is_raw = self.is_fast = is_raw
        self.stored_statistics = stored_statistics
        self._shards = list(shards)
        self._index = index
        self._origin = origin

    def name(self, index: int) -> str:
        """Returns the name of the file that the image was prepared from."""
        row = self._index.take(np.array([index]))
        return recorded_name(
            self._shards[row.shard[0]], int(row.record_offset[0]), int(row.record_bytes[0])
        )

    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Reads one image; see `Examples.load`."""
        content = self.read_batch(tf.reshape(index, [1]))[0]
        if self.is_raw:
            pixels = tf.reshape(tf.io.decode_raw(content, tf.uint8), (self.size, self.size, 3))
            return to_channels(pixels, self.channels)
        return tf.ensure_shape(
            tf.io.decode_jpeg(content, channels=self.channels),
            (self.size, self.size, self.channels),
        )

    def read_batch(self, indices: tf.Tensor) -> tf.Tensor:
        """Reads the images' stored bytes at once: string [n] for int64 [n]."""
        contents = tf.numpy_function(self._read_many, [indices], tf.string)
        return tf.ensure_shape(contents, indices.shape)

    def load_crops(
        self, indices: tf.Tensor, tops: tf.Tensor, lefts: tf.Tensor, flips: tf.Tensor, pixels: int
    ) -> tf.Tensor:
        """Reads squares out of stored pixels, and no more than these (`is_raw` sets only).

        Args:
          indices: int64 [n].
          tops: int32 [n], the crop's first row.
          lefts: int32 [n], the crop's first column.
          flips: bool [n], whether the crop is reflected left to right.
          pixels: Side of the crops.

        Returns:
          uint8 [n, pixels, pixels, channels].
        """
        crops = tf.numpy_function(
            functools.partial(self._crop_many, pixels), [indices, tops, lefts], tf.uint8
        )
        crops = tf.ensure_shape(crops, (indices.shape[0], pixels, pixels, 3))
        nowhere = tf.zeros_like(tops)
        return to_channels(crop_and_flip(crops, nowhere, nowhere, flips, pixels), self.channels)

    def _read_many(self, indices: np.ndarray) -> np.ndarray:
        """Returns object [n]: the stored bytes."""
        contents = np.empty(len(indices), object)
        for row, i in enumerate(indices):
            # Opened anew: that costs next to nothing, and a thousand open files are too many.
            with self._shards[self._index.shard[i]].open("rb", buffering=0) as file:
                file.seek(int(self._index.image_offset[i]))
                contents[row] = file.read(int(self._index.image_bytes[i]))
        return contents

    def _crop_many(
        self, pixels: int, indices: np.ndarray, tops: np.ndarray, lefts: np.ndarray
    ) -> np.ndarray:
        """Returns uint8 [n, pixels, pixels, 3]."""
        crops = np.empty((len(indices), pixels, pixels, 3), np.uint8)
        width = self.size * 3
        for row, (i, top, left) in enumerate(zip(indices, tops, lefts, strict=True)):
            # Only the rows of the crop are read; what lies beside it is left in the buffer.
            with self._shards[self._index.shard[i]].open("rb", buffering=0) as file:
                file.seek(int(self._index.image_offset[i]) + int(top) * width)
                rows = np.frombuffer(file.read(pixels * width), np.uint8)
            crops[row] = rows.reshape(pixels, self.size, 3)[:, left : left + pixels]
        return crops

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
    """Returns what a record says its file was called."""
    with shard.open("rb") as file:
        file.seek(offset)
        example = tf.train.Example.FromString(file.read(length))
    return example.features.feature["file"].bytes_list.value[0].decode()


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
    folder = Path(name).expanduser()
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
    except (OSError, ValueError, KeyError, EOFError) as error:
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
