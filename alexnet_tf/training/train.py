"""`train`: from the user's options to a finished run folder."""

import contextlib
import dataclasses
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf import runs
from alexnet_tf.data.scan import UNREADABLE, first_unreadable
from alexnet_tf.errors import TrainingError, TrainingStopped
from alexnet_tf.run_record import EpochRecord
from alexnet_tf.settings import Recipe
from alexnet_tf.system import command_name, signals_noticed
from alexnet_tf.train_options import TrainOptions
from alexnet_tf.training.checkpoints import CheckpointEvery
from alexnet_tf.training.cluster import Cluster, describe_failure, failure_cause
from alexnet_tf.training.devices import FAILED_WORKER_ERRORS
from alexnet_tf.training.open_run import Run, open_run
from alexnet_tf.training.reporting import (
    TrainingReporter,
    pretrained_hint,
    result_line,
    settings_rows,
)
from alexnet_tf.training.run_folder import RunFolder, Saver, create_run_folder
from alexnet_tf.training.tensorboard import TensorBoardWriter, check_tensorboard
from alexnet_tf.training.trainer import StoppedError, StopRequested, Trainer

OnEpoch = Callable[[EpochRecord], bool]
_PREVIEWED_IMAGES = 8  # augmented images that TensorBoard shows


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """The result of a run.

    Attributes:
      run_dir: The run folder.
      history: One record per epoch, as in history.jsonl.
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
    every = CheckpointEvery.parse(given.checkpoint_every)
    if given.tensorboard:
        check_tensorboard()
    run = open_run(given, run_dir, resume, TrainingReporter(given.quiet))
    trainer, reporter = run.build_trainer(), run.reporter
    with _errors_explained(run), _run_folder(run, named=run_dir is not None) as folder:
        reporter.settings(settings_rows(run, trainer.model))
        hint = pretrained_hint(run, trainer.model)
        if hint is not None:
            reporter.message(hint)
        if resume:
            run.restore(trainer)
            if folder is not None and (damage := folder.repair_history(trainer.state.history)):
                reporter.warn(damage)
        board = _tensorboard(given, folder, trainer)
        record = run.new_record(trainer.model)
        saver = Saver(folder, record, every, board, given.keep_checkpoints)
        if folder is not None:
            run.statistics.save(run.path / runs.STATISTICS)
        classes = len(run.data.class_names)
        reporter.history(trainer.state.history, run.settings.epochs, classes)
        stopping = "stopping: finishing the step, saving"
        with stop_on_signals(lambda: reporter.message(stopping)) as stop:
            for _ in trainer.epochs():
                trainer.train_epoch(saver, stop)
                epoch, improved = trainer.validate(saver, stop)
                with reporter.status("saving"):
                    saver.epoch(trainer.model, trainer.state.history, improved)
                reporter.epoch(epoch, run.settings.epochs)
                if on_epoch is not None and on_epoch(epoch):
                    break
                trainer.check_stop(stop)
        with reporter.status("saving"):
            finished = saver.finish(trainer.tensors(), trainer.state)
    reporter.finished(run.path, result_line(finished, run.splits.selects_best))
    best = finished.best
    assert best is not None
    return TrainingResult(run.path, trainer.state.history, best.epoch, finished.stalled)


def dry_run(
    dataset: str | None = None,
    *,
    recipe: str | Recipe | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    **options: Any,
) -> tuple[dict[str, str], keras.Model]:
    """Checks the options and the data as `train` does, without starting the run.

    No run folder and no cache is written; a TFDS data set that is not prepared yet is prepared.
    Arguments are as in `train`.

    Returns:
      The rows of the settings table, and the network before training.

    Raises:
      InputError: An option or the data cannot be used.
    """
    given = TrainOptions(dataset=dataset, recipe=recipe, **options)
    CheckpointEvery.parse(given.checkpoint_every)
    run = open_run(given, run_dir, resume, TrainingReporter(given.quiet), cache=False)
    model = run.build_model()
    return settings_rows(run, model), model


@contextlib.contextmanager
def stop_on_signals(on_request: Callable[[], None]) -> Iterator[StopRequested]:
    """Handles SIGINT and SIGTERM while the block runs; a second signal raises KeyboardInterrupt.

    Yields a function that returns whether a signal was received, and calls `on_request` at the
    first one. In a thread other than the main one, signals are not handled.
    """
    requested = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if requested:
            raise KeyboardInterrupt
        requested = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, on_signal) for number in numbers]
    try:
        with signals_noticed(numbers, on_request):
            yield lambda: requested
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def _run_folder(run: Run, named: bool) -> Iterator[RunFolder | None]:
    """Yields the locked run folder; None for workers other than the chief, which write nothing."""
    if run.devices.worker != 0:
        yield None
        return
    resumes = run.recorded is not None
    folder = RunFolder(run.path) if resumes else create_run_folder(run.path, named)
    run.path = folder.path
    try:
        yield folder
    except Exception:
        folder.check_exists()  # names the cause, if it is that
        raise
    finally:
        folder.close()


def _tensorboard(
    given: TrainOptions, folder: RunFolder | None, trainer: Trainer
) -> TensorBoardWriter | None:
    """Returns the TensorBoard writer if --tensorboard was given."""
    if folder is None or not given.tensorboard:
        return None
    board = TensorBoardWriter(folder.path, len(trainer.state.history))
    if not trainer.state.history:
        mean = trainer.model.get_layer("mean").mean
        board.begin(trainer.model, trainer.input.preview(_PREVIEWED_IMAGES, mean))
    return board


@contextlib.contextmanager
def _errors_explained(run: Run) -> Iterator[None]:
    """Adds the cause and the command that resumes to errors that end a run."""

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
    except (tf.errors.ResourceExhaustedError, *FAILED_WORKER_ERRORS) as error:
        if run.devices.workers == 1 and not isinstance(error, tf.errors.ResourceExhaustedError):
            raise
        raise _device_failure(run, error, command()) from None
    except UNREADABLE:
        # Prepared images, and images read by an earlier run, are not all read beforehand.
        image = first_unreadable(run.splits.train, run.splits.validation)
        if image is None:
            raise
        raise TrainingError(
            f"{image} cannot be read: restore it, or prepare the data set again, and resume with: "
            f"{command()}"
        ) from None


def _device_failure(run: Run, error: tf.errors.OpError, resume: str) -> TrainingError:
    """Returns the error that ends a run whose worker or device failed, in one line."""
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return TrainingError(
            f"out of memory ({failure_cause(error.message)}): start a new run with a --batch-size "
            f"below {run.settings.recipe.batch_size}"
        )
    failure = describe_failure(error.message, Cluster(run.devices.devices, run.devices.worker))
    return TrainingError(f"{failure}: start all workers again with: {resume}")
