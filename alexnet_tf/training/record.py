"""What a run reports: the settings table, run.json and the line that ends it."""

import keras
import tensorflow as tf

from alexnet_tf.data.dataset import DataSet
from alexnet_tf.data.splits import TrainingSplits
from alexnet_tf.data.summary import imbalance
from alexnet_tf.run_record import DatasetRecord, RunRecord
from alexnet_tf.training.devices import DeviceConfiguration, versions
from alexnet_tf.training.run_settings import RunSettings

_IMBALANCED = 2.0  # ratio of class sizes from which the settings table shows it


def settings_rows(
    settings: RunSettings,
    data: DataSet,
    splits: TrainingSplits,
    devices: DeviceConfiguration,
    model: keras.Model,
    folder: str,
) -> dict[str, str]:
    """Returns the rows of the settings table: names and values."""
    recipe = settings.recipe
    validation = "no validation"
    if splits.validation is not None:
        validation = f"{len(splits.validation):,} {splits.validation_name}"
        validation += "" if splits.selects_best else " (reported only)"
    warm_up = f", warm-up {recipe.warm_up_epochs:g} epochs" if recipe.warm_up_epochs else ""
    changed = ", ".join(f"{name} {value}" for name, value in settings.options.overrides().items())
    device = f"{', '.join(devices.devices)} ({devices.strategy_name}"
    if devices.replicas > 1:
        device += f", {recipe.batch_size // devices.replicas} images per device"
    if devices.strategy_name == "towers":
        device = f"tower one on {devices.devices[0]}, tower two on {devices.devices[1]} ("
        device += f"all {recipe.batch_size} images on both"
    return {
        "recipe": f"{recipe.name}: {recipe.description}" + (f"; with {changed}" if changed else ""),
        "network": f"{recipe.network.input_size} x {recipe.network.input_size} input, "
        f"{trainable_parameters(model):,} parameters",
        "data": f"{data.name}: {len(splits.train):,} training, {validation} images, "
        f"{len(data.class_names)} classes{_imbalance(settings, data, splits)}",
        "training": f"{settings.epochs} epochs, batch {recipe.batch_size}, learning rate "
        f"{recipe.learning_rate:g} ({recipe.schedule.kind}{warm_up}), init {recipe.init}",
        "device": device + ")",
        "precision": devices.precision,
        "seed": str(settings.seed),
        "results": f"{folder}/",
    }


def _imbalance(settings: RunSettings, data: DataSet, splits: TrainingSplits) -> str:
    """Returns how imbalanced the classes are and what can be done, or "" if they are not."""
    ratio = imbalance(splits.train.labels, len(data.class_names))
    if settings.options.class_weights == "balanced":
        return ", weighted equally (--class-weights balanced)"
    if ratio is None:
        return ", some without training examples"
    if ratio < _IMBALANCED:
        return ""
    return f", the largest {ratio:.1f} times the smallest (see --class-weights balanced)"


def new_record(
    identity: tuple[str, str],
    settings: RunSettings,
    data: DataSet,
    splits: TrainingSplits,
    devices: DeviceConfiguration,
    model: keras.Model,
) -> RunRecord:
    """Returns a run's record as it is before the results are known.

    Args:
      identity: The run's id, and when it was started.
      settings: Its settings.
      data: The data set.
      splits: The examples that it is trained and validated on.
      devices: Where it computes.
      model: Its network.
    """
    options = settings.options
    return RunRecord(
        id=identity[0],
        started=identity[1],
        options=options.replace(precision=devices.precision),
        recipe=settings.recipe,
        epochs=settings.epochs,
        strategy=devices.strategy_name,
        devices=devices.devices,
        dataset=DatasetRecord(
            name=data.name,
            data_dir=options.data_dir,
            origin=data.origin,
            train_examples=len(splits.train),
            validation_examples=0 if splits.validation is None else len(splits.validation),
            validation_split=splits.validation_name,
        ),
        class_names=data.class_names,
        versions=versions(),
        parameters=trainable_parameters(model),
    )


def result_line(record: RunRecord, selects_best: bool) -> str:
    """Returns the sentence that ends a run.

    Args:
      record: The finished run's.
      selects_best: Whether validation selected the best epoch.
    """
    best = record.best
    assert best is not None
    if best.validation_top1_error is None or best.validation_top5_error is None:
        return f"last epoch {best.epoch}: training loss {best.training_loss:.4f}"
    return (
        f"{'best' if selects_best else 'last'} epoch {best.epoch}: "
        f"{record.dataset.validation_split} top-1 error {best.validation_top1_error:.2%} "
        f"({best.validation_top1_errors} of {best.validation_examples}), "
        f"top-5 error {best.validation_top5_error:.2%}"
    )


def trainable_parameters(model: keras.Model) -> int:
    """Returns the number of trainable parameters."""
    return sum(int(tf.size(v)) for v in model.trainable_variables)
