"""The folder of a run: creating and locking it, saving checkpoints, models and results."""

import contextlib
import dataclasses
import datetime
import itertools
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import filelock
import keras
import numpy as np

from alexnet_tf import runs
from alexnet_tf.errors import FolderTakenError, InputError, TrainingError
from alexnet_tf.figures.canvas import save_figure
from alexnet_tf.figures.curves import draw_curves
from alexnet_tf.files import atomic_path, check_local_path, sha256, write_text
from alexnet_tf.model.persistence import save_model
from alexnet_tf.run_record import EpochRecord, RunRecord, history_text
from alexnet_tf.training import checkpoints
from alexnet_tf.training.cluster import worker_index
from alexnet_tf.training.state import TrainState
from alexnet_tf.training.tensorboard import TensorBoardWriter

_DRAW_SECONDS = 20


class RunFolder:
    """The folder of a run that is training, locked so that only one process trains in it.

    The lock is the operating system's, on an open file: it ends with the process. A new run needs
    an empty folder, or one that does not exist. Raises FolderTakenError if another process trains
    in it, or has started a run in it.
    """

    def __init__(self, path: Path, new: bool = False) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(path / runs.LOCK, blocking=False, thread_local=False)
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise FolderTakenError(f"another process is training in {path}: wait for it") from None
        self._id = runs.folder_id(path)
        if new and not runs.is_free(path):
            self.close()
            raise FolderTakenError(f"another run has started in {path}: name another --run-dir")
        for leftover in [*path.glob(".*.writing*"), *path.glob(f"{runs.CHECKPOINTS}/.*.writing*")]:
            leftover.unlink(missing_ok=True)

    def check_exists(self) -> None:
        """Raises TrainingError if the folder was deleted, renamed or replaced since the start."""
        if not self.path.is_dir() or runs.folder_id(self.path) != self._id:
            raise TrainingError(
                f"{self.path} was deleted or renamed during training, so nothing can be saved in "
                "it: resume a renamed run, or start a new one"
            )

    def write_run(self, record: RunRecord) -> None:
        """Writes run.json; from then on the folder belongs to this run, by its id."""
        self._id = record.id
        if runs.folder_id(self.path) != record.id:
            write_text(self.path / runs.RUN_ID, record.id)
        runs.write_run(self.path, record)

    def write_history(self, history: list[EpochRecord]) -> None:
        """Writes history.jsonl, one line per epoch."""
        write_text(self.path / runs.HISTORY, history_text(history))

    def repair_history(self, history: list[EpochRecord]) -> str | None:
        """Makes history.jsonl agree with the checkpoint; returns a warning if it was damaged.

        It is not damaged if the last line is missing (killed after a checkpoint), or if it has more
        lines than an older checkpoint.
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
        return f"{path} is damaged: it differs from the checkpoint; restored from the checkpoint"

    def close(self) -> None:
        """Releases the lock."""
        self._lock.release()


def create_run_folder(path: Path, named: bool) -> RunFolder:
    """Creates the folder that `new_run_path` chose; another run may have taken it since then.

    Then a name that the user chose (`named`) raises FolderTakenError; others get a number.
    """
    for candidate in _numbered(path):
        try:
            return RunFolder(candidate, new=True)
        except FolderTakenError:
            if named:
                raise
    raise AssertionError("the numbers do not end")


def new_run_path(run_dir: str | Path | None, recipe_name: str) -> Path:
    """Returns the folder of a new run, not created: `saved_models/<recipe>-<time>` by default.

    Raises:
      InputError: The folder is not empty, is a file, or cannot be written to.
    """
    if run_dir is None:
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        stamped = Path(runs.SAVED_MODELS) / f"{recipe_name}-{stamp}"
        path = next(path for path in _numbered(stamped) if not path.exists())
    else:
        check_local_path(run_dir, "--run-dir")
        path = Path(run_dir)
    if worker_index() != 0:
        return path  # the chief checks the folder, and may have started to write
    if path.exists() and not path.is_dir():
        raise InputError(f"--run-dir {path} is a file: name a folder")
    if not runs.is_free(path):
        raise InputError(
            f"--run-dir {path} is not empty: add --resume to resume its run, or name another"
        )
    existing = next(p for p in [path, *path.absolute().parents] if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise InputError(f"cannot write to {existing}: choose another --run-dir")
    return path


def _numbered(path: Path) -> Iterator[Path]:
    """Yields the path, and then the path with -2, -3, ... at its end."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.name}-{number}")


class Saver:
    """Saves a run in its folder; raises TrainingError if the folder was deleted.

    Of several workers only the chief has a folder; for the others every method does nothing.

    Args:
      folder: The run's folder, or None.
      record: The run's record, without results.
      every: How often to save inside an epoch.
      board: The TensorBoard writer, or None.
      keep_checkpoints: Whether the last two checkpoints stay when the run has finished, or only
        the newest, from which it can be trained for longer.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        record: RunRecord,
        every: checkpoints.CheckpointEvery,
        board: TensorBoardWriter | None = None,
        keep_checkpoints: bool = False,
    ) -> None:
        self._keep_checkpoints = keep_checkpoints
        self._folder = folder
        self._record = record
        self._every = every
        self._board = board
        self._saved_at = time.monotonic()
        if folder is not None:
            folder.write_run(record)

    def steps_until_due(self, step: int) -> int | None:
        """Returns the updates until a checkpoint is due by count, or None."""
        return None if self._every.steps is None else self._every.steps - step % self._every.steps

    def is_due(self, step: int) -> bool:
        """Returns whether a checkpoint inside the epoch is due after `step` updates."""
        if self._every.steps is not None:
            return step % self._every.steps == 0
        seconds = self._every.seconds
        return seconds is not None and time.monotonic() - self._saved_at >= seconds

    def profiling(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context manager that profiles one call into the graph for TensorBoard."""
        return contextlib.nullcontext() if self._board is None else self._board.profiling()

    def checkpoint(self, tensors: dict[str, np.ndarray], state: TrainState) -> None:
        """Saves a checkpoint of weights and slots, all finite, and the state."""
        if self._folder is not None:
            self._folder.check_exists()
            path, values = self._folder.path / runs.CHECKPOINTS, dataclasses.asdict(state)
            checkpoints.write(path, tensors, values, self._record.id)
        self._saved_at = time.monotonic()

    def newest_checkpoint(self) -> Path | None:
        """Returns the newest checkpoint, or None if there is none yet."""
        if self._folder is None:
            return None
        return checkpoints.newest(self._folder.path / runs.CHECKPOINTS)

    def remove_newest_checkpoint(self) -> None:
        """Removes the newest checkpoint, whose weights are unusable."""
        path = self.newest_checkpoint()
        if path is not None:
            checkpoints.remove(path)

    def epoch(self, model: keras.Model, history: list[EpochRecord], improved: bool) -> None:
        """Saves the models and the history of an epoch; `improved`: it is the best so far.

        Its checkpoint is saved already: if interrupted, resuming repeats the validation.
        """
        if self._folder is None:
            return
        self._folder.check_exists()
        last = self._folder.path / runs.LAST
        save_model(model, last)
        if improved:
            with atomic_path(self._folder.path / runs.BEST) as best:
                try:
                    os.link(last, best)  # written once where links work
                except OSError:
                    shutil.copyfile(last, best)
        self._folder.write_history(history)
        if self._board is not None:
            self._board.write(history, model)
        # Drawing takes as long as an epoch of a small network, so it is not done after each.
        curves = self._folder.path / runs.CURVES
        if not curves.exists() or time.time() - curves.stat().st_mtime > _DRAW_SECONDS:
            self._draw(self._folder, history)

    def finish(self, tensors: dict[str, np.ndarray], state: TrainState) -> RunRecord:
        """Saves the state after the last validation and returns the record with the results."""
        last = state.history[-1]
        record = self._record.replace(
            seconds=state.seconds,
            best=state.history[state.best.epoch - 1] if state.best else last,
            last=last,
            stalled=state.stalled,
            history_sha256=sha256(history_text(state.history).encode()),
            finished=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        )
        if self._folder is not None:
            self.checkpoint(tensors, state)
            self._draw(self._folder, state.history)
            self._folder.write_run(record)
            if not self._keep_checkpoints:
                checkpoints.keep_newest(self._folder.path / runs.CHECKPOINTS, 1)
        return record

    def _draw(self, folder: RunFolder, history: list[EpochRecord]) -> None:
        """Draws the curves of the history."""
        title = f"{self._record.recipe.name} on {self._record.dataset.name}"
        classes = len(self._record.class_names)
        save_figure(draw_curves(history, title, num_classes=classes), folder.path / runs.CURVES)
