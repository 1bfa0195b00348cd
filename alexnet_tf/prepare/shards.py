"""Write shards so that an interrupted preparation resumes and ends in the same bytes.

The plan determines everything. Shards are written one after another; after each, `state.npz` is
replaced, with the number of finished shards and the sums so far. A later shard is written again.
"""

import contextlib
import dataclasses
import errno
import itertools
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from alexnet_tf.data.augment import permutation
from alexnet_tf.data.prepared_set import WORK
from alexnet_tf.data.records import FOOTER_BYTES, HEADER_BYTES
from alexnet_tf.data.scan import OnProgress
from alexnet_tf.errors import InputError
from alexnet_tf.files import atomic_path, printable
from alexnet_tf.prepare.source import Item, Source
from alexnet_tf.prepare.workers import Chunk, Outcome, PixelSums, Task, do_tasks

_MAX_SHARD_IMAGES, _MIN_SHARD_IMAGES, _TARGET_SHARDS = 512, 32, 16
_CHUNK_IMAGES = 16
_STREAM_ORDER = 24


@dataclasses.dataclass(frozen=True)
class Plan:
    """What determines every byte of a prepared set."""

    version: int  # of the algorithm
    source: str  # fingerprint of the source
    size: int  # side of the prepared images in pixels
    format: str  # "jpeg" or "raw"
    name: str  # the source's


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard to write."""

    split: str
    file: str
    items: tuple[Item, ...]  # in order
    index_file: str  # in the work folder


def plan_shards(source: Source) -> list[Shard]:
    """Divides the splits into shards, each a random sample of its split."""
    shards = []
    for split, items in source.splits.items():
        order = permutation(0, 0, len(items), _STREAM_ORDER)
        length = min(max(-(-len(items) // _TARGET_SHARDS), _MIN_SHARD_IMAGES), _MAX_SHARD_IMAGES)
        batches = _batches([items[i] for i in order], length)
        for number, batch in enumerate(batches):
            file = f"{source.name}-{split}.tfrecord-{number:05d}-of-{len(batches):05d}"
            shards.append(Shard(split, file, batch, f"{split}-{number:05d}.npz"))
    return shards


def write_shards(
    shards: list[Shard],
    plan: Plan,
    root: Path,
    folder: Path,
    processes: int,
    on_progress: OnProgress | None,
) -> PixelSums:
    """Writes the shards that are not finished, and returns the sums over all training images.

    `root` is the source's folder, and `folder` the one to write to, with a work folder.
    `on_progress` is called with the numbers of finished and of all images.
    """
    work = folder / WORK
    total = sum(len(shard.items) for shard in shards)
    done, sums = _read_state(work, plan.size)
    images = sum(len(shard.items) for shard in shards[:done])
    report = on_progress or (lambda images, total: None)
    tasks = (
        Task(str(root), items, plan.size, plan.format)
        for shard in shards[done:]
        for items in _batches(shard.items, _CHUNK_IMAGES)
    )
    with contextlib.closing(do_tasks(tasks, processes)) as chunks:
        for number, shard in enumerate(shards[done:], done + 1):
            report(images, total)
            with atomic_path(folder / shard.file) as temporary, _disk_errors():
                writer = _ShardWriter(temporary, plan.size)
                for chunk in itertools.islice(chunks, -(-len(shard.items) // _CHUNK_IMAGES)):
                    writer.add(chunk)
                    images += len(chunk.outcomes)
                    report(images, total)
                writer.close()
            writer.write_index(work / shard.index_file)
            if shard.split == "train":
                sums = sums.plus(writer.sums)
            with atomic_path(work / "state.npz") as temporary:
                np.savez(temporary, shards=number, pixel_sum=sums.pixels, products=sums.products)
    return sums


class _ShardWriter:
    """Writes one shard and collects its index."""

    def __init__(self, path: Path, size: int) -> None:
        self.sums = PixelSums.zeros(size)
        self._writer = tf.io.TFRecordWriter(str(path))
        self._end = 0
        self._rows: list[tuple[int, ...]] = []
        self._digests: list[bytes] = []
        self._kinds: list[str] = []
        self._problems: list[tuple[str, str, str]] = []

    def add(self, chunk: Chunk) -> None:
        self.sums = self.sums.plus(chunk.sums)
        for outcome in chunk.outcomes:
            name = printable(outcome.item.name)
            self._problems += [(name, problem, action) for problem, action in outcome.problems]
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
        start = self._end + HEADER_BYTES
        record = (start, len(content), start + content.index(image), len(image))
        self._rows.append((*record, outcome.item.label, *outcome.size))
        self._end = start + len(content) + FOOTER_BYTES
        self._digests.append(outcome.digest)
        self._kinds.append(outcome.kind)

    def close(self) -> None:
        self._writer.close()

    def write_index(self, path: Path) -> None:
        """Writes the position and the properties of each image in the shard."""
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


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """Raises TensorFlow's errors of a full disk as Python's OSError."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:  # no space left on the disk or in the quota
        number = errno.ENOSPC
    except tf.errors.OutOfRangeError:
        number = errno.EFBIG
    else:
        return
    raise OSError(number, os.strerror(number))


def _batches(items: Sequence[Item], length: int) -> list[tuple[Item, ...]]:
    """Returns the items in tuples of that length; the last may be shorter."""
    return [tuple(items[start : start + length]) for start in range(0, len(items), length)]


def _read_state(work: Path, size: int) -> tuple[int, PixelSums]:
    """Returns the number of finished shards, and the sums over their training images."""
    if not (work / "state.npz").exists():
        return 0, PixelSums.zeros(size)
    state = read_arrays(work / "state.npz")
    return int(state["shards"]), PixelSums(state["pixel_sum"], state["products"])


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads a file of the work folder, or raises InputError if it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        raise InputError(f"{path} is damaged: remove {path.parents[1]} and prepare again") from None
