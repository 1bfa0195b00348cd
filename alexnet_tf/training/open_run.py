"""Opening a run: from the options to its data, devices, weights and trainer."""

import dataclasses
import datetime
import secrets
from pathlib import Path

from alexnet_tf import runs
from alexnet_tf.data.dataset import DataSet
from alexnet_tf.data.pipeline import check_batch_size
from alexnet_tf.data.scan import scan_images
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.splits import TrainingSplits, split_dataset
from alexnet_tf.data.statistics import Statistics, fit_statistics
from alexnet_tf.errors import InputError
from alexnet_tf.model.geometry import check_towers
from alexnet_tf.model.networks import build_model
from alexnet_tf.run_record import RunRecord
from alexnet_tf.train_options import TrainOptions
from alexnet_tf.training.devices import DeviceConfiguration, configure_devices
from alexnet_tf.training.fine_tuning import StartingWeights
from alexnet_tf.training.input import TrainingData
from alexnet_tf.training.record import settings_rows
from alexnet_tf.training.reporting import TrainingReporter
from alexnet_tf.training.resume import check_data, weights_to_restart_from
from alexnet_tf.training.run_folder import new_run_path
from alexnet_tf.training.run_settings import RunSettings, new_settings, resumed_settings
from alexnet_tf.training.trainer import Trainer


@dataclasses.dataclass
class Run:
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
      reporter: Where progress is shown.
    """

    path: Path
    identity: tuple[str, str]
    settings: RunSettings
    recorded: RunRecord | None
    devices: DeviceConfiguration
    weights: StartingWeights | None
    data: DataSet
    splits: TrainingSplits
    statistics: Statistics
    reporter: TrainingReporter

    def settings_rows(self, trainer: Trainer) -> dict[str, str]:
        """Returns the rows of the settings table."""
        return settings_rows(
            self.settings, self.data, self.splits, self.devices, trainer.model, str(self.path)
        )


def open_run(
    given: TrainOptions, run_dir: str | Path | None, resume: bool, reporter: TrainingReporter
) -> Run:
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
        reporter = TrainingReporter(quiet=True)
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
        reporter.message(weights.classifier_message(data.class_names))
    if data.skipped_files and devices.worker == 0:
        reporter.warn(data.skipped_files)
    splits = split_dataset(
        data,
        hold_out=settings.recipe.hold_out,
        seed=settings.seed,
        limit_train=settings.options.limit_train,
        limit_val=settings.options.limit_val,
    )
    splits, statistics = _scan(splits, settings.recipe.resize_pixels, reporter)
    if recorded is not None:
        check_data(recorded, data, splits)
    check_batch_size(settings.recipe.batch_size, len(splits.train), devices.replicas)
    return Run(
        path, identity, settings, recorded, devices, weights, data, splits, statistics, reporter
    )


def _scan(
    splits: TrainingSplits, pixels: int, reporter: TrainingReporter
) -> tuple[TrainingSplits, Statistics]:
    """Reads all images once, before the first step.

    Returns:
      The splits without damaged images, and the statistics of the training images.
    """
    with reporter.progress("reading the training images") as progress:
        statistics, training = fit_statistics(splits.train, pixels, progress)
    checked = dataclasses.replace(splits, train=training.examples)
    damaged = training.damaged
    # A damaged validation image would be met only after an epoch. Stored pixels need no scan.
    if splits.validation is not None and splits.validation.stored_shape is None:
        with reporter.progress("reading the validation images") as progress:
            validation = scan_images(splits.validation, pixels, progress, split="validation")
        checked = dataclasses.replace(checked, validation=validation.examples)
        damaged += validation.damaged
    for name, reason in damaged:
        reporter.warn(f"skipped: {name}: {reason}")
    return checked, statistics


def build_trainer(run: Run) -> Trainer:
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
    splits = run.splits
    data = TrainingData(splits.train, splits.validation, splits.selects_best, run.statistics)
    return Trainer(model, run.settings, run.devices, data, run.reporter)
