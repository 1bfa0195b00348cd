"""Resuming a run: what its folder must still hold, and restoring its state."""

from pathlib import Path

from alexnet_tf import runs
from alexnet_tf.data.dataset import DataSet
from alexnet_tf.data.splits import TrainingSplits
from alexnet_tf.errors import InputError
from alexnet_tf.run_record import RunRecord
from alexnet_tf.training import checkpoints
from alexnet_tf.training.devices import DeviceConfiguration
from alexnet_tf.training.fine_tuning import StartingWeights
from alexnet_tf.training.reporting import TrainingReporter
from alexnet_tf.training.run_settings import RunSettings
from alexnet_tf.training.state import TrainState
from alexnet_tf.training.trainer import Trainer


def has_to_restart(path: Path, record: RunRecord) -> bool:
    """Returns whether a run has no checkpoint: it was killed before its first one.

    Args:
      path: The run's folder.
      record: Its run.json.

    Raises:
      InputError: There is no checkpoint, but what came of epochs, which a new start would erase.
    """
    folder, history = path / runs.CHECKPOINTS, path / runs.HISTORY
    if checkpoints.exist(folder):
        return False
    if record.last is not None or (history.is_file() and history.stat().st_size > 0):
        raise InputError(
            f"{path} has trained epochs, but {folder} has no checkpoint with its .sha256 file to "
            "go on from: put them back, or begin a new run in another folder; nothing was changed"
        )
    return True


def weights_to_restart_from(
    path: Path, record: RunRecord, settings: RunSettings
) -> StartingWeights | None:
    """Returns the weights that a run starts from, if it was killed before its first checkpoint.

    Args:
      path: The run's folder.
      record: Its run.json.
      settings: Its settings.

    Raises:
      InputError: They are gone, or others by now; or `has_to_restart` raises it.
    """
    given = record.options.weights
    if not has_to_restart(path, record) or given is None:
        return None
    begins = f"{path} has no checkpoint yet and starts again from the weights it was given"
    try:
        weights = StartingWeights(given)
    except InputError as error:
        raise InputError(f"{begins}: {error}; put them back, or begin a new run") from None
    if not weights.fits(settings):
        raise InputError(f"{begins}, but {given} is another network by now: begin a new run")
    return weights


def check_data(record: RunRecord, data: DataSet, splits: TrainingSplits) -> None:
    """Checks that a run goes on with what it was begun with.

    Order, held-out examples and the last layer are counted from the data, so that with others the
    run would be neither of the two.

    Args:
      record: Its run.json.
      data: What is there now.
      splits: Its examples, damaged ones left out.

    Raises:
      InputError: There are more or fewer examples, or other classes; the message names both.
    """
    was, names = record.dataset, record.class_names
    validation = 0 if splits.validation is None else len(splits.validation)
    differences = [
        f"{now:,} {what} examples and not {before:,}"
        for what, before, now in (
            ("training", was.train_examples, len(splits.train)),
            ("validation", was.validation_examples, validation),
        )
        if now != before
    ]
    if len(names) != len(data.class_names):
        differences.append(f"{len(data.class_names):,} classes and not {len(names):,}")
    elif list(names) != list(data.class_names):
        pairs = enumerate(zip(data.class_names, names, strict=True))
        number, now, before = next((i, now, old) for i, (now, old) in pairs if now != old)
        differences.append(f"{now!r} and not {before!r} as class {number}")
    if differences:
        raise InputError(
            f"{data.name} is not what the run was begun with: it has {'; '.join(differences)}. "
            "Put the data back as they were, or begin a new run in another folder"
        )


def restore(
    trainer: Trainer,
    path: Path,
    record: RunRecord,
    devices: DeviceConfiguration,
    reporter: TrainingReporter,
) -> None:
    """Continues from the newest intact checkpoint, or from the beginning if there is none.

    Args:
      trainer: As of a new run.
      path: The run's folder.
      record: Its record.
      devices: Of this process.
      reporter: Where it is told.

    Raises:
      InputError: No checkpoint can be read, or all are gone.
    """
    if devices.worker != 0:
        devices.sum_over_workers([0.0])  # the chief sets damaged ones aside first
    try:
        checkpoint = checkpoints.read_newest(path / runs.CHECKPOINTS, record.id)
    except checkpoints.DamagedCheckpointError as error:
        raise InputError(f"no checkpoint can be read: {error}") from None
    if devices.worker == 0:
        devices.sum_over_workers([0.0])
    if checkpoint is None:
        has_to_restart(path, record)
        reporter.message("no checkpoint yet: this run starts again")
        return
    tensors, state, complaints = checkpoint
    for complaint in complaints:
        reporter.warn(complaint)
    trainer.restore(tensors, TrainState.from_json({n: v for n, v in state.items() if n != "run"}))
