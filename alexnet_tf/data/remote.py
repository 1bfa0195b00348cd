"""TFDS data sets that are not on this machine: hosts to download from, and cloud storage.

Prepared data sets in gs:// and s3:// are copied once, then read locally: training reads examples
in random order, and each epoch reads all of them, where every read is a request that takes tens of
milliseconds.
"""

import contextlib
import os
import queue
import re
import shutil
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
from etils import epath

from alexnet_tf.console import ProgressReporter
from alexnet_tf.data.scan import cache_folder
from alexnet_tf.errors import InputError
from alexnet_tf.files import STORAGE, atomic_path, format_megabytes, is_address, sha256
from alexnet_tf.system import import_optional

_INFO = "dataset_info.json"
_CHUNK_BYTES = 2**24
_PROBE_SECONDS = 4.0
_MAX_PROBES = 8


def storage_address(data_dir: str | os.PathLike[str] | None) -> str | None:
    """Returns TFDS's data folder if it is in cloud storage, and makes it readable; None if local.

    Call this before TFDS is used: the first use fixes which library reads s3://. Without `data_dir`
    it is TFDS_DATA_DIR, or TFDS's default.

    Raises:
      InputError: It is another address than gs:// or s3://, or reading it needs a missing library.
    """
    option = "--data-dir" if data_dir is not None else "TFDS_DATA_DIR"
    address = os.fspath(data_dir if data_dir is not None else os.environ.get(option, ""))
    if not is_address(address):
        return None
    if not address.startswith(STORAGE):
        raise InputError(f"{option} {address}: give a local folder, gs:// or s3://")
    if address.startswith("s3://"):
        import_optional("s3fs", "reading s3://", "s3")
        # TensorFlow reads gs:// itself; its wheels have no s3://, which epath reads by s3fs.
        os.environ.setdefault("EPATH_USE_TF", "0")
    return address


@contextlib.contextmanager
def storage_errors(address: str | None) -> Iterator[None]:
    """Turns errors of reading cloud storage into an InputError; None: changes nothing.

    The libraries raise errors of many kinds: of TensorFlow, botocore, aiohttp and the system.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if address is None:
            raise
        raise InputError(
            f"{address} cannot be read ({first_line(error)}): check the address, the network and "
            "the credentials"
        ) from None


def local_copy(builder: Any, address: str, reporter: ProgressReporter) -> Path:
    """Returns a local copy of a data set in cloud storage; copies it unless that is done.

    An interrupted copy is resumed by the next call. Two processes do not copy the same data set:
    the second one waits. `builder` is TFDS's, of the data set in storage, and `address` its data
    folder.

    Raises:
      InputError: The data set is not prepared there, storage cannot be read, or the disk has too
        little space.
    """
    name, source = builder.info.full_name, epath.Path(builder.data_dir)
    with storage_errors(address):
        if not builder.is_prepared():
            raise InputError(
                f"{name} is not prepared under {address}: prepare it in a local --data-dir, and "
                "copy that there"
            )
        info = (source / _INFO).read_bytes()
    folder = cache_folder() / "data_sets" / sha256(str(source).encode())[:16]
    target = folder / name
    with locked(folder / ".lock", name, reporter):
        if not target.is_dir() or (target / _INFO).read_bytes() != info:
            _copy(source, target, builder.info.dataset_size, address, reporter)
    return target


def _copy(
    source: epath.Path, target: Path, total: int, address: str, reporter: ProgressReporter
) -> None:
    """Copies the files of a data set; `target` appears when all are complete."""
    partial = target.with_name(f".{target.name}.copying")
    partial.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(partial).free
    done = sum(file.stat().st_size for file in partial.iterdir())
    if total - done > free:
        raise InputError(
            f"copying {source} needs {format_megabytes(total - done)}, and {target.parent} has "
            f"{format_megabytes(free)} free: set XDG_CACHE_HOME to a folder on a larger disk"
        )
    reporter.message(f"copying {source} ({format_megabytes(total)}) to {target}")
    with reporter.progress("copying", unit="MB") as bar:
        done = 0
        with storage_errors(address):
            files = sorted(source.iterdir())
        for file in files:
            for size in _copy_file(file, partial / file.name, address):
                done += size
                bar(done // 10**6, max(total, done) // 10**6)
    if target.is_dir():  # of other content
        shutil.rmtree(target)
    partial.rename(target)


def _copy_file(file: epath.Path, to: Path, address: str) -> Iterator[int]:
    """Copies a file unless it is complete, and yields the bytes as they are copied."""
    with storage_errors(address):
        size = file.stat().length
    if to.is_file() and to.stat().st_size == size:
        yield size
        return
    with atomic_path(to) as temporary, temporary.open("wb") as copy:
        for chunk in _chunks(file, address):
            copy.write(chunk)
            yield len(chunk)


def _chunks(file: epath.Path, address: str) -> Iterator[bytes]:
    """Yields the content of a file in storage."""
    with storage_errors(address), file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


@contextlib.contextmanager
def locked(path: Path, name: str, reporter: ProgressReporter) -> Iterator[None]:
    """Holds a lock, the file `path`, while the block runs; reports if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The mode lets all users who may write to the folder take the lock.
    lock = filelock.FileLock(path, mode=0o666)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        reporter.message(f"waiting for another process that prepares {name}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def any_reachable(urls: tuple[str, ...], seconds: float = _PROBE_SECONDS) -> bool:
    """Returns whether a host of `urls` responds in time; TFDS itself would try for minutes.

    One request per host, all in parallel, in threads that nothing waits for: a name server that
    does not respond has no time limit of its own.
    """
    hosts = {urllib.parse.urlparse(url).netloc: url for url in urls}
    deadline = time.monotonic() + seconds + 0.5
    results: queue.Queue[bool] = queue.Queue()

    def probe(url: str) -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=seconds).close()
        except urllib.error.HTTPError:
            results.put(True)  # the host responds: some hosts do not support HEAD
        except (OSError, ValueError):
            results.put(False)
        else:
            results.put(True)

    probed = list(hosts.values())[:_MAX_PROBES]
    for url in probed:
        threading.Thread(target=probe, args=(url,), daemon=True).start()
    try:
        return any(results.get(timeout=max(deadline - time.monotonic(), 0)) for _ in probed)
    except queue.Empty:
        return False


def first_line(error: BaseException) -> str:
    """Returns the first line of TFDS's message, without the call that it repeats."""
    message = re.sub(r'^(\w+: )?Failed to construct dataset .*?\}": ', "", str(error))
    message = message.split(" Here are")[0]  # a list over several lines
    return next((line.strip() for line in message.splitlines() if line.strip()), repr(error))
