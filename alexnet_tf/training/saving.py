"""Putting a run away: models, checkpoints, history, curves, TensorBoard."""

import contextlib
import dataclasses
import time
from typing import Any

from alexnet_tf import runs
from alexnet_tf.errors import InputError
from alexnet_tf.files import sha256
from alexnet_tf.model.persistence import save_model
from alexnet_tf.pictures.curves import draw_curves
from alexnet_tf.pictures.figure import save_picture
from alexnet_tf.training import checkpoints
from alexnet_tf.training.folder import RunFolder
from alexnet_tf.training.loop import Trainer
from alexnet_tf.training.tensorboard import TensorBoardWriter

# What a kill may cost. An epoch on ImageNet, or of a large network on a CPU, takes far longer.
_DEFAULT_EVERY = "10m"
_DRAW_SECONDS = 20
_SHOWN_INPUTS = 8


@dataclasses.dataclass(frozen=True)
class CheckpointEvery:
    """How often to save inside an epoch; after each epoch it is done anyway.

    Attributes:
      steps: After so many updates, or None.
      seconds: After so much time, or None.
    """

    steps: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str | None) -> "CheckpointEvery":
        """Reads "500" (updates) or "10m" (minutes, the default).

        Raises:
          InputError: It is neither, or not above 0.
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
                f"--checkpoint-every takes updates (500) or minutes (10m). Received: {text!r}"
            )
        return every


class Saver:
    """Writes a run into its folder; what is in the checkpoint is what a resume goes on from.

    Of several workers only the chief has a folder to write to.

    Args:
      trainer: The run.
      folder: Its folder, or None: write nothing.
      record: run.json.
      every: How often to save inside an epoch.
      tensorboard: Whether to write for TensorBoard.
    """

    def __init__(
        self,
        trainer: Trainer,
        folder: RunFolder | None,
        record: dict[str, Any],
        every: CheckpointEvery,
        tensorboard: bool,
    ) -> None:
        self._trainer = trainer
        self._folder = folder
        self._record = record
        self._every = every
        self._saved_at = time.monotonic()
        self._board = None
        if folder is not None:
            folder.write_run(record)
        if folder is not None and tensorboard:
            self._board = TensorBoardWriter(folder.path, len(trainer.history))
            if not trainer.history:
                self._board.begin(trainer.model, trainer.preview(_SHOWN_INPUTS))

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

    def watching(self) -> contextlib.AbstractContextManager[None]:
        """Returns what is to stand around a call into the graph."""
        return contextlib.nullcontext() if self._board is None else self._board.profiling()

    def checkpoint(self) -> None:
        """Saves the state as it is, inside an epoch."""
        if self._folder is not None:
            state = {**self._trainer.state(), "run": self._record["id"]}
            checkpoints.write(self._folder.checkpoints, self._trainer.tensors(), state)
        self._saved_at = time.monotonic()

    def epoch(self, improved: bool) -> None:
        """Puts an epoch away. What stands before the checkpoint is done again if it is not there.

        Args:
          improved: Whether the epoch is the best so far.
        """
        if self._folder is None:
            return
        save_model(self._trainer.model, self._folder.path / runs.LAST)
        if improved:
            self._folder.last_becomes_best()
        self.checkpoint()
        self._folder.write_history(self._trainer.history)
        if self._board is not None:
            self._board.write(self._trainer.history, self._trainer.model)
        # Drawing takes as long as an epoch of a small network, so it is not done at each.
        curves = self._folder.path / runs.CURVES
        if not curves.exists() or time.time() - curves.stat().st_mtime > _DRAW_SECONDS:
            self._draw(self._folder)

    def finish(self) -> dict[str, Any]:
        """Writes the results into run.json and returns the record of the best epoch."""
        trainer = self._trainer
        last = trainer.history[-1]
        best = trainer.history[trainer.best["epoch"] - 1] if trainer.best else last
        if self._folder is None:
            return best
        self._draw(self._folder)
        self._record["seconds"] = trainer.seconds
        self._record["results"] = {"best": best, "last": last, "stalled": trainer.stalled}
        self._record["history_sha256"] = sha256(runs.history_text(trainer.history).encode())
        self._record["finished"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._folder.write_run(self._record)
        return best

    def _draw(self, folder: RunFolder) -> None:
        """Draws the curves as they are now."""
        title = f"{self._record['recipe_name']} on {self._record['dataset']['name']}"
        save_picture(draw_curves(self._trainer.history, title), folder.path / runs.CURVES)
