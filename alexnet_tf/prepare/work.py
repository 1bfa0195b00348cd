"""Preparing images in as many processes as there are cores, in order, in constant memory.

The processes import no TensorFlow: they are small and start at once.
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
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import numpy as np
from PIL import Image

from alexnet_tf.data.decode import UnusableImageError
from alexnet_tf.data.repair import repair
from alexnet_tf.errors import InputError
from alexnet_tf.prepare.items import Item, read_item

JPEG_QUALITY = 90
_AHEAD = 2  # chunks per process that are under way or wait to be fetched


class Outcome(NamedTuple):
    """What became of an item.

    Attributes:
      item: The item.
      encoded: JPEG bytes, or the pixels' own bytes (rows, columns, RGB); None if it was skipped.
      digest: 16 bytes that are equal for equal pictures.
      width: Of the source image in pixels.
      height: Likewise.
      mode: Its color model.
      format: Its file format.
      problems: Pairs of what was wrong and what was done.
    """

    item: Item
    encoded: bytes | None
    digest: bytes
    width: int
    height: int
    mode: str
    format: str
    problems: tuple[tuple[str, str], ...]


class Chunk(NamedTuple):
    """Some outcomes, and the sums over their pixels.

    Attributes:
      outcomes: In the order of the items.
      pixel_sum: uint32 or int64 [size, size, 3].
      products: float64 [3, 3], sums of R*R, R*G ... over all pixels; whole numbers, exact.
    """

    outcomes: list[Outcome]
    pixel_sum: np.ndarray
    products: np.ndarray


class Task(NamedTuple):
    """What a process is to do.

    Attributes:
      root: The source's folder.
      items: The images.
      size: Side of the square.
      format: "jpeg" or "raw".
    """

    root: str
    items: tuple[Item, ...]
    size: int
    format: str


def do_task(task: Task) -> Chunk:
    """Prepares a chunk of images."""
    pixel_sum = np.zeros((task.size, task.size, 3), np.uint32)
    products = np.zeros((3, 3), np.float64)
    outcomes = []
    for item in task.items:
        try:
            # Examples of TFDS have no file names that could be wrong.
            name = "" if item.container and "@" in item.name else item.name
            repaired = repair(_read(task.root, item), name, task.size)
        except UnusableImageError as error:
            outcomes.append(skipped(item, str(error)))
            continue
        pixels = repaired.pixels
        pixel_sum += pixels
        planes = pixels.reshape(-1, 3).T.astype(np.float64)
        # Not a matrix product: its library would start threads in every process.
        products += np.einsum("in,jn->ij", planes, planes)
        encoded = _encode(pixels, task.format)
        outcomes.append(
            Outcome(
                item,
                encoded,
                hashlib.blake2b(encoded, digest_size=16).digest(),
                repaired.width,
                repaired.height,
                repaired.mode,
                repaired.format,
                repaired.repairs,
            )
        )
    return Chunk(outcomes, pixel_sum, products)


def skipped(item: Item, why: str) -> Outcome:
    """Returns the outcome of an item that cannot be used."""
    return Outcome(item, None, b"", 0, 0, "", "", ((why, "skipped"),))


def do_tasks(tasks: Iterable[Task], processes: int) -> Generator[Chunk, None, None]:
    """Does tasks in processes and yields their results in order.

    A decoder that takes its process down takes no run down: the images that were under way are
    done again one by one, and the one that does it is skipped.

    Args:
      tasks: Taken as they are needed.
      processes: How many.

    Yields:
      A chunk for each task.

    Raises:
      InputError: No process starts, as in a script that does not keep its own processes from
        running it again.
    """
    waiting: collections.deque[tuple[Task, concurrent.futures.Future[Chunk] | None]]
    waiting = collections.deque()
    source = iter(tasks)
    pool = _pool(processes)
    try:
        while True:
            while len(waiting) < processes * _AHEAD:
                task = next(source, None)
                if task is None:
                    break
                waiting.append((task, _submit(pool, task)))
            if not waiting:
                return
            task, future = waiting.popleft()
            try:
                if future is None:
                    raise BrokenProcessPool
                yield future.result()
            except BrokenProcessPool:
                pool.shutdown(wait=True, cancel_futures=True)
                _check_that_processes_start()
                yield _one_by_one(task)
                pool = _pool(processes)
                waiting = collections.deque((t, _submit(pool, t)) for t, _ in waiting)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _check_that_processes_start() -> None:
    """Raises InputError if a process ends before it does anything: no image is to blame then."""
    with _pool(1) as pool:
        try:
            with _interrupts_held():
                starting = pool.submit(os.getpid)
            starting.result()
        except BrokenProcessPool:
            raise InputError(
                "the processes that prepare images end as they start: a script that calls "
                "prepare() must do so below `if __name__ == '__main__':`"
            ) from None


def _submit(
    pool: concurrent.futures.ProcessPoolExecutor, task: Task
) -> "concurrent.futures.Future[Chunk] | None":
    """Submits a task; None if the pool is broken, which is found out when its turn comes."""
    try:
        with _interrupts_held():
            return pool.submit(do_task, task)
    except BrokenProcessPool:
        return None


def _one_by_one(task: Task) -> Chunk:
    """Does a task with a process for each image, so that a crash costs that image alone."""
    outcomes: list[Outcome] = []
    pixel_sum = np.zeros((task.size, task.size, 3), np.int64)
    products = np.zeros((3, 3), np.float64)
    pool = _pool(1)
    try:
        for item in task.items:
            try:
                future = _submit(pool, task._replace(items=(item,)))
                if future is None:
                    raise BrokenProcessPool
                chunk = future.result()
            except BrokenProcessPool:
                pool.shutdown(wait=True)
                pool = _pool(1)
                outcomes.append(skipped(item, "the decoder crashed on it"))
            else:
                outcomes += chunk.outcomes
                pixel_sum += chunk.pixel_sum
                products += chunk.products
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return Chunk(outcomes, pixel_sum, products)


def _pool(processes: int) -> concurrent.futures.ProcessPoolExecutor:
    """Starts processes that end when this one does, however it does."""
    return concurrent.futures.ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_end_with_parent,
    )


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keeps Ctrl-C from the processes that start here: it reaches every process of a terminal.

    What it means is for this one to say, which gets it when the block is over. A process inherits
    what it does not get, and so has no moment at its start when Ctrl-C would end it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """Ends this process when its parent is gone: a killed parent closes nothing itself."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _read(root: str, item: Item) -> bytes:
    """Reads an item, or raises UnusableImageError."""
    try:
        content = read_item(root, item)
    except PermissionError:
        raise UnusableImageError("no permission to read it") from None
    except FileNotFoundError:
        raise UnusableImageError("missing") from None
    except OSError as error:
        raise UnusableImageError(f"cannot be read: {error.strerror or error}") from None
    if item.container and len(content) < item.size:
        raise UnusableImageError("its archive is cut short")
    return content


def _encode(pixels: np.ndarray, kind: str) -> bytes:
    """Returns what is written for uint8 [size, size, 3]."""
    if kind == "raw":
        return pixels.tobytes()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def cut(items: Sequence[Item], length: int) -> list[tuple[Item, ...]]:
    """Cuts a sequence into pieces of that length; the last may be shorter."""
    return [tuple(items[at : at + length]) for at in range(0, len(items), length)]
