"""A run's folder: made, locked, and kept in order while the run writes to it."""

import datetime
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from alexnet_tf import runs
from alexnet_tf.errors import FolderTakenError, InputError
from alexnet_tf.files import atomic_path, check_local_path, write_text
from alexnet_tf.run_record import EpochRecord, RunRecord, history_text
from alexnet_tf.system import try_lock
from alexnet_tf.training.cluster import worker_index


class RunFolder:
    """The folder of a run that is being trained. Only one process may have it.

    The lock is the system's, on an open file: a process that dies leaves none behind.

    Args:
      path: The folder; made if it is not there.
      new: Whether a run is to begin in it, which needs it empty.

    Raises:
      FolderTakenError: Another process trains in it, or has begun a run in it.
    """

    def __init__(self, path: Path, new: bool = False) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(path / runs.LOCK)
        if new and not runs.is_free(path):
            self.close()
            raise FolderTakenError(f"another run has begun in {path}: name another --run-dir")
        for leftover in [*path.glob(".*.writing*"), *path.glob(f"{runs.CHECKPOINTS}/.*.writing*")]:
            leftover.unlink(missing_ok=True)

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.path / runs.CHECKPOINTS

    def write_run(self, record: RunRecord) -> None:
        """Writes run.json; from then on the folder is this run's, by its "id"."""
        self._lock.seek(0)
        if self._lock.read() != record.id:
            self._lock.truncate(0)
            self._lock.write(record.id)
            self._lock.flush()
            os.fsync(self._lock.fileno())
        runs.write_run(self.path, record)

    def write_history(self, history: list[EpochRecord]) -> None:
        """Writes history.jsonl, a line an epoch."""
        write_text(self.path / runs.HISTORY, history_text(history))

    def repair_history(self, history: list[EpochRecord]) -> str | None:
        """Makes history.jsonl what the checkpoint says, and returns what was wrong with it, if any.

        A run killed after a checkpoint lacks its last line, and one that takes an older checkpoint
        has lines too many: both are in order.
        """
        path = self.path / runs.HISTORY
        found = path.read_bytes() if path.is_file() else b""
        expected = history_text(history).encode()
        if found == expected:
            return None
        self.write_history(history)
        without_last = history_text(history[:-1]).encode()
        if found == without_last or found.startswith(expected):
            return None
        return f"{path} is damaged: it is not what the checkpoint says; written again from that"

    def copy_last_to_best(self) -> None:
        """Makes best.keras what last.keras is, without writing it twice where links work."""
        last = self.path / runs.LAST
        with atomic_path(self.path / runs.BEST) as temporary:
            try:
                os.link(last, temporary)
            except OSError:
                shutil.copyfile(last, temporary)

    def close(self) -> None:
        """Gives the lock back."""
        self._lock.close()


def begin(path: Path, named: bool) -> RunFolder:
    """Makes the folder of a new run, which may have been taken since `new_run_path` chose it.

    Args:
      path: From `new_run_path`.
      named: Whether the user named it; else the next free one will do.

    Raises:
      FolderTakenError: It is taken, and named.
    """
    for candidate in _numbered(path):
        try:
            return RunFolder(candidate, new=True)
        except FolderTakenError:
            if named:
                raise
    raise AssertionError("the numbers do not end")


def _numbered(path: Path) -> Iterator[Path]:
    """Returns the path, and then with -2, -3, ... at its end."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.name}-{number}")


def new_run_path(run_dir: str | Path | None, recipe_name: str) -> Path:
    """Returns where a new run goes, without making it.

    Args:
      run_dir: The folder itself, or None for `saved_models/<recipe>-<time>`.
      recipe_name: For the name.

    Raises:
      InputError: The folder has something in it, is a file, or cannot be written to.
    """
    if run_dir is None:
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        stamped = Path(runs.SAVED_MODELS) / f"{recipe_name}-{stamp}"
        path = next(path for path in _numbered(stamped) if not path.exists())
    else:
        check_local_path(run_dir, "--run-dir")
        path = Path(run_dir)
    if worker_index() != 0:
        return path  # the chief looks at the folder, and may have begun to write
    if path.exists() and not path.is_dir():
        raise InputError(f"--run-dir {path} is a file: name a folder")
    if not runs.is_free(path):
        raise InputError(
            f"--run-dir {path} is not empty: add --resume to go on with it, or name another"
        )
    existing = next(p for p in [path, *path.absolute().parents] if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise InputError(f"cannot write to {existing}: choose another --run-dir")
    return path


def _lock(path: Path) -> IO[str]:
    """Returns the locked file, which must stay open."""
    file = path.open("a+", encoding="ascii", errors="replace")
    try:
        is_locked = try_lock(file)
    except OSError:
        file.close()
        raise
    if not is_locked:
        file.close()
        raise FolderTakenError(f"another process is training in {path.parent}: wait for it")
    return file
