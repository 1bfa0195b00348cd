"""A run's folder: made, locked, and kept in order while the run writes to it."""

import datetime
import errno
import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import IO, Any

from alexnet_tf import runs
from alexnet_tf.errors import InputError
from alexnet_tf.files import atomic_path, write_json, write_text
from alexnet_tf.training.cluster import worker_index


class RunFolder:
    """The folder of a run that is being trained. Only one process may have it.

    The lock is the system's, on an open file: a process that dies leaves none behind.

    Args:
      path: The folder; made if it is not there.

    Raises:
      InputError: Another process trains in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(path / ".lock")
        for leftover in [*path.glob(".*.writing*"), *path.glob(f"{runs.CHECKPOINTS}/.*.writing*")]:
            leftover.unlink(missing_ok=True)

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.path / runs.CHECKPOINTS

    def write_run(self, record: dict[str, Any]) -> None:
        """Writes run.json."""
        write_json(self.path / runs.RUN, record)

    def write_history(self, history: list[dict[str, Any]]) -> None:
        """Writes history.jsonl, a line an epoch."""
        text = "".join(json.dumps(record) + "\n" for record in history)
        write_text(self.path / runs.HISTORY, text)

    def last_becomes_best(self) -> None:
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
        path = Path(runs.SAVED_MODELS) / f"{recipe_name}-{stamp}"
        number = 1
        while path.exists():
            number += 1
            path = path.with_name(f"{recipe_name}-{stamp}-{number}")
    else:
        path = Path(run_dir)
    if worker_index() != 0:
        return path  # the chief looks at the folder, and may have begun to write
    if path.exists() and not path.is_dir():
        raise InputError(f"--run-dir {path} is a file: name a folder")
    if path.is_dir() and any(path.iterdir()):
        raise InputError(
            f"--run-dir {path} is not empty: add --resume to go on with it, or name another"
        )
    existing = next(p for p in [path, *path.absolute().parents] if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise InputError(f"cannot write to {existing}: choose another --run-dir")
    return path


def _lock(path: Path) -> IO[str]:
    """Returns the locked file, which must stay open."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise InputError(f"another process is training in {path.parent}: wait for it") from None
    return file
