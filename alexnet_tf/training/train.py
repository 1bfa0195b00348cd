"""`train`: from the user's options to a finished run folder."""

import contextlib
import dataclasses
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alexnet_tf import runs
from alexnet_tf.data.scan import UNREADABLE, first_unreadable
from alexnet_tf.errors import TrainingError, TrainingStopped
from alexnet_tf.run_record import EpochRecord
from alexnet_tf.settings import Recipe
from alexnet_tf.system import command_name
from alexnet_tf.train_options import TrainOptions
from alexnet_tf.training.devices import (
    FAILED_WORKER_ERRORS,
)
from alexnet_tf.training.open_run import Run, build_trainer, open_run
from alexnet_tf.training.record import new_record, result_line
from alexnet_tf.training.reporting import TrainingReporter
from alexnet_tf.training.resume import restore
from alexnet_tf.training.run_folder import RunFolder, begin
from alexnet_tf.training.saver import PREVIEW_INPUTS, CheckpointEvery, Saver
from alexnet_tf.training.stopping import StoppedError, StopRequest, stop_on_signals
from alexnet_tf.training.tensorboard import TensorBoardWriter, check_tensorboard
from alexnet_tf.training.trainer import Trainer

OnEpoch = Callable[[EpochRecord], bool]


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """The result of a run.

    Attributes:
      run_dir: The run folder.
      history: A record per epoch, as in history.jsonl.
      best_epoch: Number of the best epoch, from 1; the last one without validation.
      stalled: The warning that the loss plateaued at chance level, or None.
    """

    run_dir: Path
    history: list[EpochRecord]
    best_epoch: int
    stalled: str | None


def train(
    dataset: str | None = None,
    *,
    recipe: str | Recipe | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
    **options: Any,
) -> TrainingResult:
    """Trains a network, or resumes a run.

    Args:
      dataset: "shapes" (the default, built in), a TFDS name, or a folder of class folders.
      recipe: A name or a `Recipe`; None: the data set's own.
      run_dir: The run folder; None: `saved_models/<recipe>-<time>`.
      resume: Resume the run in `run_dir`, or the newest run.
      on_epoch: Called with each epoch's record, once it is saved; True ends the run there.
      **options: Any field of `alexnet_tf.TrainOptions`, such as `epochs=3`.

    Returns:
      The result. The run folder holds the models, the history, the curves and the record.

    Raises:
      InputError: An option cannot be used; nothing was written.
      DivergedError: The loss or a weight became NaN, infinite or huge; the last good checkpoint is
        kept.
      TrainingError: Training cannot continue, for example because an image cannot be read; the
        last checkpoint is kept.
      TrainingStopped: SIGINT or SIGTERM was received; the state is saved.
    """
    given = TrainOptions(dataset=dataset, recipe=recipe, **options)
    reporter = TrainingReporter(given.quiet)
    every = CheckpointEvery.parse(given.checkpoint_every)
    if given.tensorboard:
        check_tensorboard()
    run = open_run(given, run_dir, resume, reporter)
    trainer = build_trainer(run)
    with _errors_explained(run), _run_folder(run, named=run_dir is not None) as folder:
        run.reporter.settings(run.settings_rows(trainer))
        if resume:
            _restore(run, trainer, folder)
        record = new_record(
            run.identity, run.settings, run.data, run.splits, run.devices, trainer.model
        )
        saver = Saver(folder, record, every, _board(given, folder, trainer))
        if folder is not None:
            run.statistics.save(run.path / runs.STATISTICS)
        run.reporter.header()
        for past in trainer.state.history:
            run.reporter.epoch(past, run.settings.epochs)
        with stop_on_signals(run.reporter.stopping) as stop:
            _train_epochs(run, trainer, saver, stop, on_epoch)
        record = saver.finish(trainer.tensors(), trainer.state)
    run.reporter.finished(run.path, result_line(record, run.splits.selects_best))
    best = record.best
    assert best is not None
    return TrainingResult(run.path, trainer.state.history, best.epoch, record.stalled)


def _train_epochs(
    run: Run, trainer: Trainer, saver: Saver, stop: StopRequest, on_epoch: OnEpoch | None
) -> None:
    """Trains, validates, saves and reports each epoch that is left."""
    for _ in trainer.epochs():
        trainer.train_epoch(saver, stop)
        record, improved = trainer.validate(saver, stop)
        saver.epoch(trainer.model, trainer.state.history, improved)
        run.reporter.epoch(record, run.settings.epochs)
        trainer.check_learning(record)
        if on_epoch is not None and on_epoch(record):
            return
        trainer.check_stop(stop)


@contextlib.contextmanager
def _run_folder(run: Run, named: bool) -> Iterator[RunFolder | None]:
    """Gives the locked run folder; None for workers other than the chief, which write nothing."""
    if run.devices.worker != 0:
        yield None
        return
    folder = RunFolder(run.path) if run.recorded is not None else begin(run.path, named)
    run.path = folder.path
    try:
        yield folder
    finally:
        folder.close()


def _restore(run: Run, trainer: Trainer, folder: RunFolder | None) -> None:
    """Restores the newest checkpoint and makes history.jsonl agree with it."""
    assert run.recorded is not None
    restore(trainer, run.path, run.recorded, run.devices, run.reporter)
    complaint = folder.repair_history(trainer.state.history) if folder is not None else None
    if complaint is not None:
        run.reporter.warn(complaint)


def _board(
    given: TrainOptions, folder: RunFolder | None, trainer: Trainer
) -> TensorBoardWriter | None:
    """Returns the TensorBoard writer, if one was asked for."""
    if folder is None or not given.tensorboard:
        return None
    board = TensorBoardWriter(folder.path, len(trainer.state.history))
    if not trainer.state.history:
        board.begin(trainer.model, trainer.preview(PREVIEW_INPUTS))
    return board


@contextlib.contextmanager
def _errors_explained(run: Run) -> Iterator[None]:
    """Turns errors that end a run into ones that name the cause and the command that resumes."""

    def command() -> str:
        return f"{command_name()} train --resume --run-dir {shlex.quote(str(run.path))}"

    try:
        yield
    except StoppedError as stopped:
        raise TrainingStopped(f"{stopped}. Resume with: {command()}") from None
    except KeyboardInterrupt:  # before the first epoch, while saving, or a second Ctrl-C
        if not runs.is_run(run.path):
            raise  # nothing was written
        raise TrainingStopped(f"interrupted. Resume with: {command()}") from None
    except FAILED_WORKER_ERRORS as error:
        if run.devices.workers == 1:
            raise
        cause = str(error).strip().partition("\n")[0]
        raise TrainingError(
            f"a worker failed ({cause}): start all workers again with: {command()}"
        ) from None
    except UNREADABLE:
        # Prepared images, and images read by an earlier run, are not all read beforehand.
        image = first_unreadable(run.splits.train, run.splits.validation)
        if image is None:
            raise
        raise TrainingError(
            f"{image} cannot be read: restore it, or prepare the data set again, and resume with: "
            f"{command()}"
        ) from None
