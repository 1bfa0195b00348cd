"""Saving a run: checkpoints, models, history, curves, TensorBoard."""

import contextlib
import dataclasses
import datetime
import time
from pathlib import Path

import keras
import numpy as np

from alexnet_tf import runs
from alexnet_tf.errors import InputError
from alexnet_tf.figures.canvas import save_figure
from alexnet_tf.figures.curves import draw_curves
from alexnet_tf.files import sha256
from alexnet_tf.model.persistence import save_model
from alexnet_tf.run_record import EpochRecord, RunRecord, history_text
from alexnet_tf.training import checkpoints
from alexnet_tf.training.run_folder import RunFolder
from alexnet_tf.training.state import TrainState
from alexnet_tf.training.tensorboard import TensorBoardWriter

# What a killed process may lose. An epoch of ImageNet, or of a large network on a CPU, takes
# longer.
_DEFAULT_EVERY = "10m"
_DRAW_SECONDS = 20
PREVIEW_INPUTS = 8  # augmented images that TensorBoard shows


@dataclasses.dataclass(frozen=True)
class CheckpointEvery:
    """How often to save inside an epoch; each epoch ends with a checkpoint anyway.

    Attributes:
      steps: Updates between checkpoints, or None.
      seconds: Seconds between checkpoints, or None.
    """

    steps: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str | None) -> "CheckpointEvery":
        """Reads "500" (updates) or "10m" (minutes, the default).

        Raises:
          InputError: The text is neither, or the number is not above 0.
        """
        text = _DEFAULT_EVERY if text is None else text
        try:
            if text.endswith("m"):
                every = cls(seconds=60 * float(text[:-1]))
            else:
                every = cls(steps=int(text))
        except ValueError:
            every = cls(steps=0)
        if not (every.steps or every.seconds or 0) > 0:
            raise InputError(
                f"--checkpoint-every must be updates (500) or minutes (10m). Received: {text!r}"
            )
        return every


class Saver:
    """Writes a run into its folder. A resumed run continues from the newest checkpoint.

    Of several workers only the chief has a folder; for the others every method does nothing.

    Args:
      folder: The run's folder, or None to write nothing.
      record: The run's record, without results.
      every: How often to save inside an epoch.
      board: The TensorBoard writer, or None.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        record: RunRecord,
        every: CheckpointEvery,
        board: TensorBoardWriter | None = None,
    ) -> None:
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
        if self._every.seconds is not None:
            return time.monotonic() - self._saved_at >= self._every.seconds
        return False

    def profiling(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context manager that profiles one call into the graph for TensorBoard."""
        return contextlib.nullcontext() if self._board is None else self._board.profiling()

    def checkpoint(self, tensors: dict[str, np.ndarray], state: TrainState) -> None:
        """Saves a checkpoint.

        Args:
          tensors: Weights and velocities by name, all finite.
          state: Where the run is.
        """
        if self._folder is not None:
            values = {**state.to_json(), "run": self._record.id}
            checkpoints.write(self._folder.checkpoints, tensors, values)
        self._saved_at = time.monotonic()

    def newest_checkpoint(self) -> Path | None:
        """Returns the newest checkpoint, or None if there is none yet."""
        return None if self._folder is None else checkpoints.newest(self._folder.checkpoints)

    def remove_newest_checkpoint(self) -> None:
        """Removes the newest checkpoint: its weights are of no use."""
        path = self.newest_checkpoint()
        if path is not None:
            checkpoints.remove(path)

    def epoch(self, model: keras.Model, history: list[EpochRecord], improved: bool) -> None:
        """Saves the models and the history of an epoch whose checkpoint is saved.

        If interrupted, resuming repeats the epoch's validation.

        Args:
          model: The network as it is after the epoch.
          history: A record per epoch.
          improved: Whether the epoch is the best so far.
        """
        if self._folder is None:
            return
        save_model(model, self._folder.path / runs.LAST)
        if improved:
            self._folder.copy_last_to_best()
        self._folder.write_history(history)
        if self._board is not None:
            self._board.write(history, model)
        # Drawing takes as long as an epoch of a small network, so it is not done after each.
        curves = self._folder.path / runs.CURVES
        if not curves.exists() or time.time() - curves.stat().st_mtime > _DRAW_SECONDS:
            self._draw(self._folder, history)

    def finish(self, tensors: dict[str, np.ndarray], state: TrainState) -> RunRecord:
        """Saves the state after the last validation, and the results.

        Returns:
          The run's record with its results.
        """
        last = state.history[-1]
        best = state.history[state.best.epoch - 1] if state.best else last
        record = self._record.replace(
            seconds=state.seconds,
            best=best,
            last=last,
            stalled=state.stalled,
            history_sha256=sha256(history_text(state.history).encode()),
            finished=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        )
        if self._folder is not None:
            self.checkpoint(tensors, state)
            self._draw(self._folder, state.history)
            self._folder.write_run(record)
        return record

    def _draw(self, folder: RunFolder, history: list[EpochRecord]) -> None:
        """Draws the curves as they are now."""
        classes = len(self._record.class_names)
        title = f"{self._record.recipe.name} on {self._record.dataset.name}"
        save_figure(draw_curves(history, title, num_classes=classes), folder.path / runs.CURVES)
