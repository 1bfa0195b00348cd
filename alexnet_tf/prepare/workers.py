"""Prepare images in parallel processes, in order and in constant memory.

The processes do not import TensorFlow: they are small and start fast.
"""

import collections
import concurrent.futures
import contextlib
import hashlib
import io
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import numpy as np
from PIL import Image

from alexnet_tf.data.decode import UnusableImageError
from alexnet_tf.errors import InputError
from alexnet_tf.prepare.repair import repair
from alexnet_tf.prepare.source import SKIPPED, Item, read_item

JPEG_QUALITY = 90
_CHUNKS_PER_PROCESS = 2  # in work, or finished and not yet fetched
_Pool = concurrent.futures.ProcessPoolExecutor
_Future = concurrent.futures.Future["Chunk"]


class Outcome(NamedTuple):
    """A prepared or skipped item."""

    item: Item
    encoded: bytes | None  # JPEG, or uint8 [size, size, 3]; None if the item was skipped
    digest: bytes  # 16 bytes that are equal for equal prepared images
    size: tuple[int, int]  # width and height of the source image in pixels
    kind: str  # file format and color model, such as "JPEG RGB"
    problems: tuple[tuple[str, str], ...]  # what was wrong and what was done


class PixelSums(NamedTuple):
    """Sums over images. They are whole numbers, exact in any order."""

    pixels: np.ndarray  # uint32 or int64 [size, size, 3]
    products: np.ndarray  # float64 [3, 3], sums of R*R, R*G ... over all pixels

    @classmethod
    def zeros(cls, size: int, dtype: type[np.integer] = np.int64) -> "PixelSums":
        """Returns the sums over no images of `size` pixels."""
        return cls(np.zeros((size, size, 3), dtype), np.zeros((3, 3), np.float64))

    def plus(self, other: "PixelSums") -> "PixelSums":
        """Returns the sums over the images of both."""
        return PixelSums(self.pixels + other.pixels, self.products + other.products)


class Chunk(NamedTuple):
    """The outcomes of a task in the order of its items, and the sums over their pixels."""

    outcomes: list[Outcome]
    sums: PixelSums


class Task(NamedTuple):
    """Images that one process prepares."""

    root: str  # the source's folder
    items: tuple[Item, ...]
    size: int  # side of the prepared images in pixels
    format: str  # "jpeg" or "raw"


def do_task(task: Task) -> Chunk:
    """Prepares the images of a task."""
    sums = PixelSums.zeros(task.size, np.uint32)
    outcomes = []
    for item in task.items:
        try:
            # The names of TFDS's examples have no extension to compare with the content.
            name = "" if item.container and "@" in item.name else item.name
            image = repair(read_item(task.root, item), name, task.size)
        except UnusableImageError as error:
            outcomes.append(_skipped(item, str(error)))
            continue
        planes = image.pixels.reshape(-1, 3).T.astype(np.float64)
        sums.pixels[...] += image.pixels
        # Not a matrix product: its library would start threads in every process.
        sums.products[...] += np.einsum("in,jn->ij", planes, planes)
        encoded = _encode(image.pixels, task.format)
        digest = hashlib.blake2b(encoded, digest_size=16).digest()
        outcomes.append(Outcome(item, encoded, digest, image.size, image.kind, image.repairs))
    return Chunk(outcomes, sums)


def do_tasks(tasks: Iterable[Task], processes: int) -> Generator[Chunk, None, None]:
    """Does tasks in parallel processes.

    Tasks are consumed as needed. If a decoder crashes its process, the images in work are prepared
    again one by one, and only the image that crashes it is skipped.

    Yields:
      The chunk of each task, in order.

    Raises:
      InputError: Processes cannot start, such as in a script without a `__main__` guard.
    """
    source = iter(tasks)
    pending: collections.deque[tuple[Task, _Future]] = collections.deque()
    pool = _start_pool(processes)
    try:
        while True:
            while len(pending) < processes * _CHUNKS_PER_PROCESS and (task := next(source, None)):
                pending.append((task, _submit(pool, task)))
            if not pending:
                return
            task, future = pending.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:
                pool.shutdown(wait=True, cancel_futures=True)
                _check_processes_start(task)
                yield _do_one_by_one(task)
                pool = _start_pool(processes)
                pending = collections.deque((t, _submit(pool, t)) for t, _ in pending)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _do_one_by_one(task: Task) -> Chunk:
    """Does a task image by image and skips those that crash the process."""
    outcomes: list[Outcome] = []
    sums = PixelSums.zeros(task.size)
    pool = _start_pool(1)
    try:
        for item in task.items:
            try:
                chunk = _submit(pool, task._replace(items=(item,))).result()
            except BrokenProcessPool:
                pool.shutdown(wait=True)
                pool = _start_pool(1)
                outcomes.append(_skipped(item, "the decoder crashed on it"))
            else:
                outcomes += chunk.outcomes
                sums = sums.plus(chunk.sums)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return Chunk(outcomes, sums)


def _start_pool(processes: int) -> _Pool:
    """Returns a pool of processes that end when this process ends."""
    context = multiprocessing.get_context("spawn")
    return _Pool(processes, mp_context=context, initializer=_end_with_parent)


def _submit(pool: _Pool, task: Task) -> _Future:
    """Submits a task; if the pool is broken, the future's result raises BrokenProcessPool."""
    try:
        with _interrupts_blocked():
            return pool.submit(do_task, task)
    except BrokenProcessPool as error:
        future = _Future()
        future.set_exception(error)
        return future


def _check_processes_start(task: Task) -> None:
    """Raises InputError if a process without images ends early: then no image is the cause."""
    with _start_pool(1) as pool:
        try:
            _submit(pool, task._replace(items=())).result()
        except BrokenProcessPool:
            raise InputError(
                "the processes that prepare images end as they start: a script must call prepare() "
                "below `if __name__ == '__main__':`"
            ) from None


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Blocks Ctrl-C, which reaches all processes of a terminal, in processes that start here.

    They inherit the block, so that Ctrl-C cannot end them while they start. This process receives
    it at the end of the block and stops the others.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """Makes this process end with its parent, which cannot stop it if it is killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _encode(pixels: np.ndarray, image_format: str) -> bytes:
    """Returns uint8 [size, size, 3] as JPEG or raw bytes."""
    if image_format == "raw":
        return pixels.tobytes()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _skipped(item: Item, reason: str) -> Outcome:
    """Returns the outcome of an item that cannot be used."""
    return Outcome(item, None, b"", (0, 0), "", ((reason, SKIPPED),))
