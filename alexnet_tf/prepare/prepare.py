"""`prepare`: from a source of images to a folder that training reads fast."""

import contextlib
import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alexnet_tf.data.prepared_set import MARKER, STATISTICS, WORK, read_marker
from alexnet_tf.errors import FolderTakenError, InputError, TrainingStopped, choose
from alexnet_tf.files import check_local_path, check_utf8_path, expanded, write_json
from alexnet_tf.prepare.finish import finish
from alexnet_tf.prepare.report import REPORT
from alexnet_tf.prepare.shards import (
    OnProgress,
    plan,
    remove_leftovers,
    write_shards,
)
from alexnet_tf.prepare.sources import list_source
from alexnet_tf.system import available_cores, try_lock

FORMATS = ("jpeg", "raw")
_VERSION = 1  # of what the same plan is written as
_LARGEST_SIZE = 1024
_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "allow larger files (ulimit -f)",
}


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What `prepare` came to.

    Attributes:
      folder: The prepared set.
      was_done: Whether it was there already.
      report: As in report.json.
    """

    folder: Path
    was_done: bool
    report: dict[str, Any]


def prepare(
    source: str,
    out: str | os.PathLike[str] | None = None,
    *,
    size: int = 256,
    kind: str = "jpeg",
    data_dir: str | None = None,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> Prepared:
    """Prepares a data set once (section 2), for any number of trainings.

    Every image is checked, repaired where that can be done, rescaled so that its shorter side is
    `size`, and its central square is written. The folder is a TFDS data set
    (`tfds.builder_from_directory`) with an index beside each split, the training set's mean image
    and principal components, and a report. Stopped at any moment, the next call goes on and ends in
    the same bytes.

    Args:
      source: A folder (class folders; train/ and val/; or images with a CSV file), ImageNet as
        downloaded, or a TFDS name.
      out: The folder to write; `prepared/<name of the source>` if None.
      size: Side of the squares in pixels.
      kind: "jpeg", or "raw": pixels as they are, several times larger and faster to read.
      data_dir: TFDS's data folder, for a TFDS name.
      processes: How many work; None: one per core.
      on_progress: Called with the images done and all.

    Returns:
      The prepared set.

    Raises:
      InputError: The source cannot be used.
      FolderTakenError: `out` holds something else.
      OSError: The disk is full; the next call goes on.
      TrainingStopped: Stopped by Ctrl-C; the next call goes on.
    """
    choose(kind, FORMATS, "--format")
    if not 1 <= size <= _LARGEST_SIZE:
        raise InputError(f"--size must be 1 to {_LARGEST_SIZE}. Received: {size}")
    check_local_path(out or "", "--out")
    listed = list_source(source, data_dir)
    folder = expanded(out) if out is not None else Path("prepared") / listed.name
    check_utf8_path(folder, "--out")
    if expanded(source).exists() and folder.resolve().is_relative_to(listed.root.resolve()):
        raise InputError(f"{folder} is inside of {source}: prepare it with --out, a folder outside")
    wanted = {
        "version": _VERSION,
        "source": listed.fingerprint(),
        "size": size,
        "format": kind,
        "name": listed.name,
    }
    if _is_done(folder, wanted):
        shutil.rmtree(folder / WORK, ignore_errors=True)
        return Prepared(folder, True, _read_json(folder / REPORT, folder))
    shards = plan(listed)
    # Before the folder is made: once begun, a preparation keeps its format and size.
    if kind == "raw" and not (folder / WORK).exists():
        _check_space(sum(len(shard.items) for shard in shards), folder, size)
    with _going_on(folder), _work_folder(folder, wanted):
        write_shards(
            shards,
            listed.root,
            folder,
            size=size,
            kind=kind,
            processes=processes or available_cores(),
            on_progress=on_progress,
        )
        report = finish(listed, shards, folder, wanted)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return Prepared(folder, False, report)


def _is_done(folder: Path, wanted: dict[str, Any]) -> bool:
    """Returns whether a folder holds just what is wanted, whole.

    Raises:
      FolderTakenError: It holds another prepared set.
      InputError: It holds what is wanted, but not whole.
    """
    marker = folder / MARKER
    if not marker.is_file():
        return False
    try:
        done = json.loads(marker.read_text(encoding="utf-8")).get("plan_values")
    except ValueError:
        done = None
    if done == wanted:
        missing = _missing(folder)
        if missing is not None:
            raise InputError(
                f"{missing} is missing or cut short: remove {folder} and prepare again"
            )
        return True
    raise FolderTakenError(
        f"{folder} holds another prepared set, or one of a source that has changed since: "
        "give another --out, or remove it"
    )


def _missing(folder: Path) -> Path | None:
    """Returns a file that a prepared set lacks, or has not whole; None: all are there."""
    sizes: dict[str, int | None] = {REPORT: None, STATISTICS: None}
    for split, said in read_marker(folder)["splits"].items():
        sizes[f"index-{split}.npz"] = None
        sizes.update(zip(said["shards"], said["shard_bytes"], strict=True))
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file() or size not in (None, path.stat().st_size):
            return path
    return None


def _read_json(path: Path, folder: Path) -> Any:
    """Reads what `prepare` noted in its folder, or raises InputError if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{path} is damaged: remove {folder} and prepare again") from None


@contextlib.contextmanager
def _work_folder(folder: Path, wanted: dict[str, Any]) -> Iterator[None]:
    """Makes, or takes up, the folder to write to; one process at a time.

    Raises:
      FolderTakenError: It holds something else.
      InputError: Another process is at work in it, or it is damaged.
    """
    work = folder / WORK
    if folder.exists() and not work.is_dir() and (not folder.is_dir() or any(folder.iterdir())):
        raise FolderTakenError(f"{folder} is not empty: give a new folder as --out")
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        if not try_lock(lock):
            raise InputError(f"another process is preparing {folder}")
        begun = work / "plan.json"
        if not begun.exists():
            write_json(begun, wanted)
        elif _read_json(begun, folder) != wanted:
            raise FolderTakenError(
                f"{folder} holds a preparation that was begun from another source, or with other "
                "options: give another --out, or remove it"
            )
        remove_leftovers(folder)
        remove_leftovers(work)
        yield


@contextlib.contextmanager
def _going_on(folder: Path) -> Iterator[None]:
    """Says of what stops a preparation that the same command goes on with it.

    Raises:
      OSError: The disk is full.
      TrainingStopped: Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise TrainingStopped(
            f"stopped; what is done is kept in {folder}. The same command goes on"
        ) from None
    except OSError as error:
        if error.errno in _REMEDIES:
            remedy = _REMEDIES[error.errno]
            error.strerror = f"{error.strerror}: {remedy}, and the same command goes on"
        raise


def _check_space(images: int, folder: Path, size: int) -> None:
    """Raises InputError if pixels will not fit on the disk: that can be told beforehand."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    needed, free = images * size * size * 3, shutil.disk_usage(there).free
    if needed > free:
        raise InputError(
            f"{folder}: {_amount(needed)} are needed and {_amount(free)} are free: "
            "use --format jpeg, a smaller --size, or another --out"
        )


def _amount(count: int) -> str:
    """Returns a number of bytes as people read it: "1.5 GB"."""
    for unit, length in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= length:
            return f"{count / length:,.1f} {unit}"
    return f"{count} bytes"
