"""Opening a run, new or resumed: its settings, devices, data, weights, record and trainer."""

import dataclasses
import datetime
import secrets
from pathlib import Path

import keras

from alexnet_tf import runs
from alexnet_tf.data.dataset import DataSet
from alexnet_tf.data.pipeline import check_batch_size
from alexnet_tf.data.scan import scan_images
from alexnet_tf.data.sources import open_dataset, recorded_data
from alexnet_tf.data.splits import TrainingSplits, split_dataset
from alexnet_tf.data.statistics import Statistics, fit_statistics
from alexnet_tf.errors import InputError
from alexnet_tf.model.geometry import check_towers
from alexnet_tf.model.networks import build_model
from alexnet_tf.run_record import DatasetRecord, RunRecord
from alexnet_tf.train_options import TrainOptions
from alexnet_tf.training import checkpoints, run_settings
from alexnet_tf.training.devices import DeviceConfiguration, configure_devices, versions
from alexnet_tf.training.fine_tuning import StartingWeights
from alexnet_tf.training.reporting import TrainingReporter, trainable_parameters
from alexnet_tf.training.run_folder import new_run_path
from alexnet_tf.training.run_settings import RunSettings, new_settings, resumed_settings
from alexnet_tf.training.state import TrainState
from alexnet_tf.training.trainer import Trainer


@dataclasses.dataclass
class Run:
    """A run whose options and data are checked, and whose network is not built yet.

    Attributes:
      identity: The run's id and when it was started.
      recorded: The record of the run that resumes, or None.
      weights: Trained weights to start from, or None.
      splits: The examples of the data set, without damaged ones.
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

    def build_model(self) -> keras.Model:
        """Builds the network, from trained weights if the run has some."""
        recipe, names = self.settings.recipe, self.data.class_names
        with self.devices.strategy.scope():
            model = build_model(
                recipe,
                classes=len(names),
                class_names=names,
                dtype=self.devices.dtype_policy,
                seed=self.settings.seed,
                mean=self.statistics.mean_image if recipe.network.mean == "image" else None,
            )
            if self.weights is not None:
                self.weights.copy_to(model, names)
        return model

    def build_trainer(self) -> Trainer:
        """Builds the network and its trainer."""
        model = self.build_model()
        return Trainer(
            model, self.settings, self.devices, self.splits, self.statistics, self.reporter
        )

    def new_record(self, model: keras.Model) -> RunRecord:
        """Returns the run's record as it is before the results are known."""
        options, validation = self.settings.options, self.splits.validation
        return RunRecord(
            id=self.identity[0],
            started=self.identity[1],
            options=options.replace(precision=self.devices.precision),
            recipe=self.settings.recipe,
            epochs=self.settings.epochs,
            strategy=self.devices.strategy_name,
            devices=self.devices.devices,
            dataset=DatasetRecord(
                name=self.data.name,
                data_dir=options.data_dir,
                origin=self.data.origin,
                train_examples=len(self.splits.train),
                validation_examples=0 if validation is None else len(validation),
                validation_split=self.splits.validation_name,
            ),
            class_names=self.data.class_names,
            versions=versions(),
            parameters=trainable_parameters(model),
        )

    def restore(self, trainer: Trainer) -> None:
        """Restores the newest intact checkpoint of a run that resumes; without one, it restarts.

        Raises:
          InputError: No checkpoint can be read, all are missing, or more epochs are done than the
            run is to have.
        """
        assert self.recorded is not None
        if self.devices.worker != 0:
            self.devices.sum_over_workers([0.0])  # the chief sets damaged ones aside first
        checkpoint = checkpoints.read_newest(self.path / runs.CHECKPOINTS, self.recorded.id)
        if self.devices.worker == 0:
            self.devices.sum_over_workers([0.0])
        if checkpoint is None:
            _has_to_restart(self.path, self.recorded)
            self.reporter.message("no checkpoint yet: training starts from the beginning")
            return
        tensors, state, warnings = checkpoint
        for warning in warnings:
            self.reporter.warn(warning)
        run_settings.check_epochs(self.settings.epochs, state["epoch"], self.path)
        trainer.restore(tensors, TrainState.from_json(state))


def open_run(
    given: TrainOptions,
    run_dir: str | Path | None,
    resume: bool,
    reporter: TrainingReporter,
    cache: bool = True,
) -> Run:
    """Checks the options and opens the data of a new run, or of one that resumes.

    Arguments and errors are as in `train`; without `cache`, statistics are not cached.
    """
    path, identity, settings, recorded = _settings(given, run_dir, resume)
    devices = configure_devices(
        given.strategy or "auto",
        given.devices,
        settings.options.precision or "auto",
        given.parallelism or "data",
        given.kernels or settings.options.kernels or "auto",
        settings.options.deterministic,
    )
    reporter = reporter if devices.worker == 0 else TrainingReporter(quiet=True)
    weights = None if given.weights is None else StartingWeights(given.weights)
    if recorded is not None:
        weights = _weights_to_restart_from(path, recorded, settings)
    elif weights is not None:
        settings = weights.settings(settings)
    if given.parallelism == "towers":
        check_towers(settings.recipe.network)
    options, recipe = settings.options, settings.recipe
    channels = recipe.network.channels
    with recorded_data(path if resume else None, "if it has moved, name its place by --dataset"):
        data = open_dataset(
            settings.dataset, data_dir=options.data_dir, channels=channels, reporter=reporter
        )
    if weights is not None and recorded is None:
        settings, message = weights.for_classes(settings, data.class_names)
        reporter.message(message)
    if data.skipped_files and devices.worker == 0:
        reporter.warn(data.skipped_files)
    splits = split_dataset(
        data,
        hold_out=recipe.hold_out,
        seed=settings.seed,
        limit_train=options.limit_train,
        limit_val=options.limit_val,
    )
    splits, statistics = _scan(splits, recipe.resize_pixels, reporter, cache)
    if recorded is not None:
        _check_data(recorded, data, splits)
    check_batch_size(recipe.batch_size, len(splits.train), devices.replicas)
    return Run(
        path, identity, settings, recorded, devices, weights, data, splits, statistics, reporter
    )


def _settings(
    given: TrainOptions, run_dir: str | Path | None, resume: bool
) -> tuple[Path, tuple[str, str], RunSettings, RunRecord | None]:
    """Returns the first four attributes of `Run`."""
    if given.freeze and given.weights is None:
        raise InputError("--freeze needs --weights: layers without trained weights must be trained")
    if not resume:
        settings = new_settings(given)
        path = new_run_path(run_dir, settings.recipe.name)
        started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        return path, (secrets.token_hex(8), started), settings, None
    if given.weights is not None:
        raise InputError("--weights starts a new run: leave out --weights or --resume")
    path = Path(run_dir) if run_dir is not None else runs.newest_run()
    recorded = runs.read_run(path)
    return path, (recorded.id, recorded.started), resumed_settings(recorded, given), recorded


def _scan(
    splits: TrainingSplits, pixels: int, reporter: TrainingReporter, cache: bool
) -> tuple[TrainingSplits, Statistics]:
    """Reads all images once; returns the splits without damaged images, and the statistics."""
    with reporter.progress("reading the training images") as progress:
        statistics, training = fit_statistics(splits.train, pixels, progress, cache=cache)
    checked = dataclasses.replace(splits, train=training.examples)
    damaged = training.damaged
    # Otherwise a damaged validation image would end the run after an epoch. Stored pixels need no
    # scan.
    if splits.validation is not None and splits.validation.stored_shape is None:
        with reporter.progress("reading the validation images") as progress:
            validation = scan_images(
                splits.validation, pixels, progress, split="validation", cache=cache
            )
        checked = dataclasses.replace(checked, validation=validation.examples)
        damaged += validation.damaged
    for name, reason in damaged:
        reporter.warn(f"skipped: {name}: {reason}")
    return checked, statistics


def _has_to_restart(path: Path, record: RunRecord) -> bool:
    """Returns whether a run has no checkpoint because it was killed before its first one.

    Raises InputError if there are results, which a restart would erase.
    """
    folder, history = path / runs.CHECKPOINTS, path / runs.HISTORY
    if checkpoints.newest(folder) is not None:
        return False
    if record.last is not None or (history.is_file() and history.stat().st_size > 0):
        raise InputError(
            f"{path} has trained epochs, but {folder} has no checkpoint with its .sha256 file to "
            "resume from: put them back, or start a new run in another folder; nothing was changed"
        )
    return True


def _weights_to_restart_from(
    path: Path, record: RunRecord, settings: RunSettings
) -> StartingWeights | None:
    """Returns the weights that a run starts from, if it was killed before its first checkpoint."""
    given = record.options.weights
    if not _has_to_restart(path, record) or given is None:
        return None
    problem = f"{path} has no checkpoint yet and restarts from its --weights"
    try:
        weights = StartingWeights(given)
    except InputError as error:
        raise InputError(f"{problem}: {error}; put them back, or start a new run") from None
    if not weights.fits(settings):
        raise InputError(f"{problem}, but {given} now holds another network: start a new run")
    return weights


def _check_data(record: RunRecord, data: DataSet, splits: TrainingSplits) -> None:
    """Raises InputError if a resumed run has other examples or classes."""
    dataset, names = record.dataset, record.class_names
    validation = 0 if splits.validation is None else len(splits.validation)
    differences = [
        f"{now:,} {what} examples instead of {before:,}"
        for what, before, now in (
            ("training", dataset.train_examples, len(splits.train)),
            ("validation", dataset.validation_examples, validation),
        )
        if now != before
    ]
    if len(names) != len(data.class_names):
        differences.append(f"{len(data.class_names):,} classes instead of {len(names):,}")
    elif list(names) != list(data.class_names):
        pairs = enumerate(zip(data.class_names, names, strict=True))
        number, now, before = next((i, now, old) for i, (now, old) in pairs if now != old)
        differences.append(f"{now!r} instead of {before!r} as class {number}")
    if differences:
        raise InputError(
            f"{data.name} has changed since the run started: it has {'; '.join(differences)}. "
            "Restore the data, or start a new run in another folder"
        )
