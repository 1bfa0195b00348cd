"""Prepared TFDS data sets in cloud storage, gs:// and s3://: copied once, then read locally.

Training reads examples in random order, and each epoch reads all of them. From storage every read
is a request that takes tens of milliseconds, so the shards are copied into the cache folder first.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epath

from alexnet_tf.console import ProgressReporter
from alexnet_tf.data.scan import cache_folder
from alexnet_tf.data.tfds_download import first_line, locked
from alexnet_tf.errors import InputError
from alexnet_tf.files import STORAGE, atomic_path, format_megabytes, is_address, sha256
from alexnet_tf.system import import_optional

_INFO = "dataset_info.json"
_CHUNK_BYTES = 2**24


def storage_address(data_dir: str | os.PathLike[str] | None) -> str | None:
    """Returns TFDS's data folder if it is in cloud storage, and makes it readable; None if local.

    Call this before TFDS is used: the first use fixes which library reads s3://.

    Args:
      data_dir: TFDS's data folder; None: TFDS_DATA_DIR, or TFDS's default.

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
    the second one waits.

    Args:
      builder: TFDS's builder of the data set in storage.
      address: TFDS's data folder.
      reporter: Where progress is shown.

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
