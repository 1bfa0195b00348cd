"""`prepare`: write a source of images as a data set that training reads fast."""

import contextlib
import dataclasses
import errno
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from alexnet_tf.data.prepared_set import STATISTICS, WORK, is_prepared, open_prepared, read_marker
from alexnet_tf.data.scan import OnProgress
from alexnet_tf.errors import FolderTakenError, InputError, TrainingStopped, choose
from alexnet_tf.files import check_utf8_path, expanded, write_json
from alexnet_tf.prepare.metadata import REPORT, write_metadata
from alexnet_tf.prepare.shards import Plan, plan_shards, write_shards
from alexnet_tf.prepare.sources import list_source
from alexnet_tf.system import available_cores

FORMATS = ("jpeg", "raw")
_VERSION = 1  # of the algorithm: the same version writes the same bytes
_MAX_SIZE = 1024
_TEMPORARY = ".*.writing*"  # files that a killed process was writing
_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "allow larger files (ulimit -f)",
}


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The result of `prepare`."""

    folder: Path
    was_done: bool  # whether the set was complete before
    report: dict[str, Any]  # the content of report.json


def prepare(
    source: str,
    out: str | os.PathLike[str] | None = None,
    *,
    size: int = 256,
    kind: str = "jpeg",
    data_dir: str | None = None,
    encoding: str | None = None,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> Prepared:
    """Prepares a data set once, as in section 2 of the paper, for any number of trainings.

    Every image is checked, repaired if possible, rescaled so that its shorter side is `size`, and
    its central square is written. The result is a TFDS data set (`tfds.builder_from_directory`)
    with an index of each split, the training set's mean image and RGB principal components, and a
    report. If interrupted at any moment, the same call resumes and ends in the same bytes.

    Args:
      source: A folder (class folders; train/ and val/; or images with a CSV file), ImageNet as
        downloaded, or a TFDS name.
      out: The folder to write; None: `prepared/<name of the source>`.
      size: Side of the prepared images in pixels, 1 to 1024.
      kind: "jpeg"; or "raw", uncompressed: several times larger, and faster to read.
      data_dir: TFDS's data folder, for a TFDS name.
      encoding: The encoding of tables of labels; None: UTF-8, or what their byte order mark says.
      processes: Number of processes; None: one per core.
      on_progress: Called with the numbers of finished and of all images.

    Returns:
      The prepared set.

    Raises:
      InputError: The source cannot be used.
      FolderTakenError: `out` contains something else.
      OSError: The disk is full; the same call resumes.
      TrainingStopped: Ctrl-C was pressed; the same call resumes.
    """
    choose(kind, FORMATS, "--format")
    if not 1 <= size <= _MAX_SIZE:
        raise InputError(f"--size must be 1 to {_MAX_SIZE}. Received: {size}")
    folder = None if out is None else expanded(out, "--out")
    listed = list_source(source, data_dir, encoding)
    folder = folder or Path("prepared") / listed.name
    check_utf8_path(folder, "--out")
    if expanded(source).exists() and folder.resolve().is_relative_to(listed.root.resolve()):
        raise InputError(
            f"{folder} is inside {source}: prepare it with --out and a folder outside it"
        )
    plan = Plan(_VERSION, listed.fingerprint(), size, kind, listed.name)
    if _is_done(folder, plan):
        shutil.rmtree(folder / WORK, ignore_errors=True)
        return Prepared(folder, True, _read_json(folder / REPORT, folder))
    shards = plan_shards(listed)
    # Checked before the folder is made, since its format and size cannot be changed afterwards.
    if kind == "raw" and not (folder / WORK).exists():
        _check_space(sum(len(shard.items) for shard in shards), folder, size)
    with _resume_remedies(folder), _work_folder(folder, plan):
        processes = processes or available_cores()
        sums = write_shards(shards, plan, listed.root, folder, processes, on_progress)
        report = write_metadata(listed, shards, sums, plan, folder)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return Prepared(folder, False, report)


def _is_done(folder: Path, plan: Plan) -> bool:
    """Returns whether a folder contains the complete prepared set of a plan."""
    if not is_prepared(folder):
        return False
    try:
        marker = read_marker(folder)
    except InputError:
        marker = {}
    if marker.get("plan_values") != dataclasses.asdict(plan):
        raise FolderTakenError(
            f"{folder} contains another prepared set, or one of a source that has changed since: "
            "give another --out, or remove it"
        )
    list(open_prepared(str(folder)).splits.values())  # checks the indices and shards
    if not (folder / STATISTICS).is_file():
        raise InputError(f"{folder / STATISTICS} is missing: remove {folder} and prepare again")
    return True


def _read_json(path: Path, folder: Path) -> Any:
    """Reads a file that `prepare` wrote in its folder, or raises InputError if it cannot."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        remedy = f"remove {folder} and prepare again"
        raise InputError(f"{path} is missing or damaged: {remedy}") from None


@contextlib.contextmanager
def _work_folder(folder: Path, plan: Plan) -> Iterator[None]:
    """Creates or resumes the folder to write to, and locks it."""
    work = folder / WORK
    if folder.exists() and not work.is_dir() and (not folder.is_dir() or any(folder.iterdir())):
        raise FolderTakenError(f"{folder} is not empty: give a new folder as --out")
    work.mkdir(parents=True, exist_ok=True)
    try:
        lock = filelock.FileLock(work / "lock").acquire(blocking=False)
    except filelock.Timeout:
        raise InputError(f"another process is preparing {folder}") from None
    with lock:
        stored = work / "plan.json"
        if not stored.exists():
            write_json(stored, dataclasses.asdict(plan))
        elif _read_json(stored, folder) != dataclasses.asdict(plan):
            raise FolderTakenError(
                f"{folder} contains an unfinished preparation of another source or with other "
                "options: give another --out, or remove it"
            )
        for path in itertools.chain(folder.glob(_TEMPORARY), work.glob(_TEMPORARY)):
            path.unlink()
        yield


@contextlib.contextmanager
def _resume_remedies(folder: Path) -> Iterator[None]:
    """Adds "run the same command again to resume" to errors that interrupt `prepare`."""
    remedy = "run the same command again to resume"
    try:
        yield
    except KeyboardInterrupt:
        raise TrainingStopped(f"stopped; finished shards are kept in {folder}: {remedy}") from None
    except OSError as error:
        if error.errno in _REMEDIES:
            error.strerror = f"{error.strerror}: {_REMEDIES[error.errno]}, then {remedy}"
        raise


def _check_space(images: int, folder: Path, size: int) -> None:
    """Raises InputError if uncompressed images will not fit on the disk."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    needed, free = images * size * size * 3, shutil.disk_usage(existing).free
    if needed > free:
        raise InputError(
            f"{folder}: {_bytes_text(needed)} are needed and {_bytes_text(free)} are free: "
            "use --format jpeg, a smaller --size, or another --out"
        )


def _bytes_text(count: int) -> str:
    """Returns a number of bytes with its unit: "1.5 GB"."""
    for unit, length in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= length:
            return f"{count / length:,.1f} {unit}"
    return f"{count} bytes"
