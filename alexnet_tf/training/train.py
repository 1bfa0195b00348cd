"""`train`: from the user's options to a finished run folder."""

import contextlib
import dataclasses
import datetime
import secrets
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alexnet_tf import runs
from alexnet_tf.data.pipeline import check_batch_size
from alexnet_tf.data.reading import UNREADABLE, first_unreadable
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.splits import TrainingSplits, split_dataset
from alexnet_tf.data.statistics import Statistics, fit_statistics
from alexnet_tf.errors import InputError, TrainingError, TrainingStopped
from alexnet_tf.model.geometry import check_towers
from alexnet_tf.model.networks import build_model
from alexnet_tf.run_record import EpochRecord, RunRecord
from alexnet_tf.settings import Recipe
from alexnet_tf.system import command_name
from alexnet_tf.train_options import TrainOptions
from alexnet_tf.training.devices import (
    FAILED_WORKER_ERRORS,
    DeviceConfiguration,
    configure_devices,
)
from alexnet_tf.training.fine_tuning import StartingWeights
from alexnet_tf.training.record import new_record, result_line, settings_rows
from alexnet_tf.training.reporting import Screen
from alexnet_tf.training.resume import check_data, restore, weights_to_restart_from
from alexnet_tf.training.run_folder import RunFolder, begin, new_run_path
from alexnet_tf.training.run_settings import RunSettings, new_settings, resumed_settings
from alexnet_tf.training.saver import PREVIEW_INPUTS, CheckpointEvery, Saver
from alexnet_tf.training.stopping import StopRequest, stop_on_signals
from alexnet_tf.training.tensorboard import TensorBoardWriter, check_tensorboard
from alexnet_tf.training.trainer import StoppedError, Trainer, TrainingData

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
      DivergedError: The loss or a weight became NaN or infinite; the last checkpoint is kept.
      TrainingError: Training cannot continue, for example because an image cannot be read; the
        last checkpoint is kept.
      TrainingStopped: SIGINT or SIGTERM was received; the state is saved.
    """
    given = TrainOptions(dataset=dataset, recipe=recipe, **options)
    screen = Screen(given.quiet)
    every = CheckpointEvery.parse(given.checkpoint_every)
    if given.tensorboard:
        check_tensorboard()
    run = _open_run(given, run_dir, resume, screen)
    trainer = _build_trainer(run)
    with _errors_explained(run), _run_folder(run, named=run_dir is not None) as folder:
        run.screen.settings(run.settings_rows(trainer))
        if resume:
            _restore(run, trainer, folder)
        record = new_record(
            run.identity, run.settings, run.data, run.splits, run.devices, trainer.model
        )
        saver = Saver(folder, record, every, _board(given, folder, trainer))
        if folder is not None:
            run.statistics.save(run.path / runs.STATISTICS)
        run.screen.header()
        for past in trainer.state.history:
            run.screen.epoch(past, run.settings.epochs)
        with stop_on_signals(run.screen.stopping) as stop:
            _train_epochs(run, trainer, saver, stop, on_epoch)
        record = saver.finish(trainer.tensors(), trainer.state)
    run.screen.finished(run.path, result_line(record, run.splits.decides))
    best = record.best
    assert best is not None
    return TrainingResult(run.path, trainer.state.history, best.epoch, record.stalled)


def _train_epochs(
    run: "_Run", trainer: Trainer, saver: Saver, stop: StopRequest, on_epoch: OnEpoch | None
) -> None:
    """Trains, validates, saves and reports each epoch that is left."""
    for _ in trainer.epochs():
        trainer.train_epoch(saver, stop)
        record, improved = trainer.validate(saver, stop)
        saver.epoch(trainer.model, trainer.state.history, improved)
        run.screen.epoch(record, run.settings.epochs)
        trainer.check_learning(record)
        if on_epoch is not None and on_epoch(record):
            return
        trainer.check_stop(stop)


@dataclasses.dataclass
class _Run:
    """What is known of a run before its network is built.

    Attributes:
      path: The run folder.
      identity: The run's id and when it was started.
      settings: Options and recipe.
      recorded: The record of the run that resumes, or None.
      devices: Where the run computes.
      weights: Trained weights to start from, or None.
      data: The data set.
      splits: Its examples, without damaged ones.
      statistics: Of the training examples.
      screen: Where progress is shown.
    """

    path: Path
    identity: tuple[str, str]
    settings: RunSettings
    recorded: RunRecord | None
    devices: DeviceConfiguration
    weights: StartingWeights | None
    data: Any
    splits: TrainingSplits
    statistics: Statistics
    screen: Screen

    def settings_rows(self, trainer: Trainer) -> dict[str, str]:
        """Returns the rows of the settings table."""
        return settings_rows(
            self.settings, self.data, self.splits, self.devices, trainer.model, str(self.path)
        )


def _open_run(
    given: TrainOptions, run_dir: str | Path | None, resume: bool, screen: Screen
) -> _Run:
    """Checks the options and opens the data of a new run, or of one that resumes.

    Raises:
      InputError: An option or the data cannot be used.
    """
    if given.freeze and given.weights is None:
        raise InputError("--freeze needs --weights: layers without trained weights must be trained")
    if resume and given.weights is not None:
        raise InputError("--weights starts a new run: leave out --weights or --resume")
    recorded = None
    if resume:
        path = Path(run_dir) if run_dir is not None else runs.newest_run()
        recorded = runs.read_run(path)
        settings = resumed_settings(recorded, given)
        identity = (recorded.id, recorded.started)
    else:
        settings = new_settings(given)
        path = new_run_path(run_dir, settings.recipe.name)
        started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        identity = (secrets.token_hex(8), started)
    devices = configure_devices(
        given.strategy or "auto",
        given.devices,
        settings.options.precision or "auto",
        given.parallelism or "data",
    )
    if devices.worker != 0:
        screen = Screen(quiet=True)
    weights = None
    if recorded is not None:
        weights = weights_to_restart_from(path, recorded, settings)
    elif given.weights is not None:
        weights = StartingWeights(given.weights)
        settings = weights.settings(settings)
    if given.parallelism == "towers":
        check_towers(settings.recipe.network)
    data = open_dataset(
        settings.dataset,
        data_dir=settings.options.data_dir,
        channels=settings.recipe.network.channels,
    )
    if weights is not None and recorded is None:
        settings = weights.with_classifier_rate(settings, data.class_names)
        screen.message(weights.classifier_message(data.class_names))
    if data.left_out and devices.worker == 0:
        screen.warn(data.left_out)
    splits = split_dataset(
        data,
        hold_out=settings.recipe.hold_out,
        seed=settings.seed,
        limit_train=settings.options.limit_train,
        limit_val=settings.options.limit_val,
    )
    splits, statistics = _scan(splits, settings.recipe.resize_pixels, screen)
    if recorded is not None:
        check_data(recorded, data, splits)
    check_batch_size(settings.recipe.batch_size, len(splits.train), devices.replicas)
    return _Run(
        path, identity, settings, recorded, devices, weights, data, splits, statistics, screen
    )


def _scan(splits: TrainingSplits, pixels: int, screen: Screen) -> tuple[TrainingSplits, Statistics]:
    """Reads all images once, before the first step.

    Returns:
      The splits without damaged images, and the statistics of the training images.
    """
    with screen.counting("reading the training images") as progress:
        statistics = fit_statistics(splits.train, pixels, progress)
    checked = dataclasses.replace(splits, train=statistics.usable(splits.train))
    damaged = statistics.bad
    # A damaged validation image would be met only after an epoch. Raw pixels need no decoding.
    if splits.validation is not None and splits.validation.stored_shape is None:
        with screen.counting("reading the validation images") as progress:
            validation = fit_statistics(splits.validation, pixels, progress, what="validation")
        checked = dataclasses.replace(checked, validation=validation.usable(splits.validation))
        damaged += validation.bad
    for name, reason in damaged:
        screen.warn(f"skipped: {name}: {reason}")
    return checked, dataclasses.replace(statistics, images=None)


def _build_trainer(run: _Run) -> Trainer:
    """Builds the network, with trained weights where the run has some, and its trainer."""
    recipe, names = run.settings.recipe, run.data.class_names
    with run.devices.strategy.scope():
        model = build_model(
            recipe,
            classes=len(names),
            class_names=names,
            dtype=run.devices.dtype_policy,
            seed=run.settings.seed,
            mean=run.statistics.mean_image if recipe.network.mean == "image" else None,
        )
        if run.weights is not None:
            run.weights.copy_to(model, names)
    data = TrainingData(run.splits.train, run.splits.validation, run.splits.decides, run.statistics)
    return Trainer(model, run.settings, run.devices, data, run.screen)


@contextlib.contextmanager
def _run_folder(run: _Run, named: bool) -> Iterator[RunFolder | None]:
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


def _restore(run: _Run, trainer: Trainer, folder: RunFolder | None) -> None:
    """Restores the newest checkpoint and makes history.jsonl agree with it."""
    assert run.recorded is not None
    restore(trainer, run.path, run.recorded, run.devices, run.screen)
    complaint = folder.repair_history(trainer.state.history) if folder is not None else None
    if complaint is not None:
        run.screen.warn(complaint)


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
def _errors_explained(run: _Run) -> Iterator[None]:
    """Turns errors that end a run into ones that name the cause and the command that resumes."""

    def command() -> str:
        return f"{command_name()} train --resume --run-dir {shlex.quote(str(run.path))}"

    try:
        yield
    except StoppedError as stopped:
        raise TrainingStopped(f"{stopped}. Resume with: {command()}") from None
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
