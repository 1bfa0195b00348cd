"""Writing shards so that a killed run goes on where it was, and ends in the same bytes.

Everything is a function of the plan. Shards are written one after another; after each, `state.npz`
says how many are done and holds the sums so far. What was begun after that is begun anew.
"""

import contextlib
import dataclasses
import errno
import itertools
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_tf.data.augment import permutation
from alexnet_tf.data.prepared_set import WORK
from alexnet_tf.errors import InputError
from alexnet_tf.files import atomic_path, printable
from alexnet_tf.prepare.items import Item, Source
from alexnet_tf.prepare.work import Chunk, Outcome, Task, cut, do_tasks

_MOST_IN_SHARD, _LEAST_IN_SHARD, _SHARDS_WANTED = 512, 32, 16
_CHUNK = 16
_STREAM_ORDER = 24
_HEADER_BYTES, _FOOTER_BYTES = 12, 4  # of a TFRecord: length and checksum; checksum

OnProgress = Callable[[int, int], None]
Sums = tuple[np.ndarray, np.ndarray]  # of pixels, and of their products


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard to be written.

    Attributes:
      split: Its split.
      file: Its file's name.
      items: What goes into it, in order.
      part: The name of the file that says what went into it.
    """

    split: str
    file: str
    items: tuple[Item, ...]
    part: str


def plan(source: Source) -> list[Shard]:
    """Cuts the splits into shards, each a random sample of its split."""
    shards = []
    for split, items in source.splits.items():
        order = permutation(0, 0, len(items), _STREAM_ORDER)
        length = min(max(-(-len(items) // _SHARDS_WANTED), _LEAST_IN_SHARD), _MOST_IN_SHARD)
        pieces = cut([items[i] for i in order], length)
        for number, piece in enumerate(pieces):
            file = f"{source.name}-{split}.tfrecord-{number:05d}-of-{len(pieces):05d}"
            shards.append(Shard(split, file, piece, f"{split}-{number:05d}.npz"))
    return shards


def write_shards(
    shards: list[Shard],
    root: Path,
    out: Path,
    *,
    size: int,
    kind: str,
    processes: int,
    on_progress: OnProgress | None,
) -> None:
    """Writes what is not written yet.

    Args:
      shards: From `plan`.
      root: The source's folder.
      out: The folder to write to; it has a folder WORK.
      size: Side of the squares.
      kind: "jpeg" or "raw".
      processes: How many work.
      on_progress: Called with the images done and all.
    """
    total = sum(len(shard.items) for shard in shards)
    done, sums = _read_state(out / WORK, size)
    count = sum(len(shard.items) for shard in shards[:done])
    tasks = (
        Task(str(root), items, size, kind)
        for shard in shards[done:]
        for items in cut(shard.items, _CHUNK)
    )
    with contextlib.closing(do_tasks(tasks, processes)) as chunks:
        for number, shard in enumerate(shards[done:], done):
            if on_progress is not None:
                on_progress(count, total)
            with atomic_path(out / shard.file) as temporary, _disk_errors():
                written = _Written(temporary, size)
                for chunk in itertools.islice(chunks, len(cut(shard.items, _CHUNK))):
                    written.add(chunk)
                    count += len(chunk.outcomes)
                    if on_progress is not None:
                        on_progress(count, total)
                written.close()
            written.describe(out / WORK / shard.part)
            if shard.split == "train":
                sums = _added(sums, written.sums)
            with atomic_path(out / WORK / "state.npz") as temporary:
                np.savez(temporary, shards=number + 1, pixel_sum=sums[0], products=sums[1])


def training_sums(work: Path, size: int) -> Sums:
    """Returns the sums over the training images: int64 [size, size, 3], float64 [3, 3]."""
    return _read_state(work, size)[1]


def parts(shards: list[Shard], out: Path) -> Iterator[tuple[Shard, dict[str, Any]]]:
    """Yields what was written, shard by shard: the arrays of `_Written`, and `problems`."""
    for shard in shards:
        part: dict[str, Any] = _read_arrays(out / WORK / shard.part)
        part["problems"] = json.loads(part["problems"].tobytes())
        yield shard, part


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """Raises what TensorFlow says of a full disk as the OSError that Python has for it."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:  # no space left, or none within the quota
        number = errno.ENOSPC
    except tf.errors.OutOfRangeError:
        number = errno.EFBIG
    else:
        return
    raise OSError(number, os.strerror(number))


class _Written:
    """What goes into a shard, and what is said about it afterwards."""

    def __init__(self, path: Path, size: int) -> None:
        self.sums = _no_sums(size)
        self._writer = tf.io.TFRecordWriter(str(path))
        self._at = 0
        self._rows: list[tuple[int, ...]] = []
        self._digests: list[bytes] = []
        self._kinds: list[str] = []
        self._problems: list[tuple[str, str, str]] = []

    def add(self, chunk: Chunk) -> None:
        """Writes a chunk's images."""
        self.sums = _added(self.sums, (chunk.pixel_sum, chunk.products))
        for outcome in chunk.outcomes:
            name = printable(outcome.item.name)
            self._problems += [(name, what, action) for what, action in outcome.problems]
            if outcome.encoded is not None:
                self._write(outcome, outcome.encoded, name)

    def _write(self, outcome: Outcome, image: bytes, name: str) -> None:
        """Writes one image as the serialized example that TFDS reads."""
        example = tf.train.Example()
        feature = example.features.feature
        feature["file"].bytes_list.value.append(name.encode())
        feature["image"].bytes_list.value.append(image)
        feature["label"].int64_list.value.append(outcome.item.label)
        content = example.SerializeToString(deterministic=True)
        self._writer.write(content)
        begin = self._at + _HEADER_BYTES
        self._rows.append(
            (
                begin,
                len(content),
                begin + content.index(image),
                len(image),
                outcome.item.label,
                outcome.width,
                outcome.height,
            )
        )
        self._at = begin + len(content) + _FOOTER_BYTES
        self._digests.append(outcome.digest)
        self._kinds.append(f"{outcome.format} {outcome.mode}")

    def close(self) -> None:
        """Writes what is still in memory."""
        self._writer.close()

    def describe(self, path: Path) -> None:
        """Writes the part: where each image is, and what there is to say about it."""
        rows = np.asarray(self._rows, np.int64).reshape(-1, 7)
        with atomic_path(path) as temporary:
            np.savez(
                temporary,
                record_offset=rows[:, 0],
                record_bytes=rows[:, 1],
                image_offset=rows[:, 2],
                image_bytes=rows[:, 3],
                label=rows[:, 4],
                size=rows[:, 5:],
                digest=np.frombuffer(b"".join(self._digests), np.uint8).reshape(-1, 16),
                kind=np.asarray(self._kinds, np.str_),
                problems=np.frombuffer(json.dumps(self._problems).encode(), np.uint8),
            )


def _added(sums: Sums, more: Sums) -> Sums:
    """Adds two pairs of sums."""
    return sums[0] + more[0], sums[1] + more[1]


def _no_sums(size: int) -> Sums:
    """Returns sums over nothing."""
    return np.zeros((size, size, 3), np.int64), np.zeros((3, 3), np.float64)


def _read_state(work: Path, size: int) -> tuple[int, Sums]:
    """Returns how many shards are done, and the sums over their training images."""
    state = work / "state.npz"
    if not state.exists():
        return 0, _no_sums(size)
    values = _read_arrays(state)
    return int(values["shards"]), (values["pixel_sum"], values["products"])


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads a file of WORK.

    Raises:
      InputError: It is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        raise InputError(f"{path} is damaged: remove {path.parents[1]} and prepare again") from None


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed process was writing."""
    for path in folder.glob(".*.writing*"):
        path.unlink()
