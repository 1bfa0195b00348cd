"""What a run says of itself: on the screen before it starts, in run.json, and at its end."""

from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.data.dataset import DataSet
from alexnet_tf.data.overview import imbalance
from alexnet_tf.data.splits import TrainingSplits
from alexnet_tf.training.machine import Machine, versions
from alexnet_tf.training.options import RunOptions

_UNLIKE = 2.0  # from here on classes are said to be unlike in size


def settings_rows(
    options: RunOptions,
    data: DataSet,
    splits: TrainingSplits,
    machine: Machine,
    model: keras.Model,
    folder: str,
) -> dict[str, str]:
    """Returns the table of what will run: names and values."""
    recipe = options.recipe
    validation = "no validation"
    if splits.validation is not None:
        validation = f"{len(splits.validation):,} {splits.validation_name}"
        validation += "" if splits.decides else " (watched only)"
    warm_up = f", warm-up {recipe.warm_up_epochs:g} epochs" if recipe.warm_up_epochs else ""
    changed = ", ".join(f"{name} {value}" for name, value in options.overrides.items())
    device = f"{', '.join(machine.devices)} ({machine.strategy_name}"
    if machine.replicas > 1:
        device += f", {recipe.batch_size // machine.replicas} images a device"
    if machine.strategy_name == "towers":
        device = f"tower one on {machine.devices[0]}, tower two on {machine.devices[1]} ("
        device += f"all {recipe.batch_size} images on both"
    return {
        "recipe": f"{recipe.name}: {recipe.description}" + (f"; with {changed}" if changed else ""),
        "network": f"{recipe.network.input_size} x {recipe.network.input_size} input, "
        f"{trainable_parameters(model):,} parameters",
        "data": f"{data.name}: {len(splits.train):,} training, {validation} images, "
        f"{len(data.class_names)} classes{_imbalance(options, data, splits)}",
        "training": f"{options.epochs} epochs, batch {recipe.batch_size}, "
        f"rate {recipe.learning_rate:g} ({recipe.schedule.kind}{warm_up}), init {recipe.init}",
        "device": device + ")",
        "precision": machine.precision,
        "seed": str(options.seed),
        "results": f"{folder}/",
    }


def _imbalance(options: RunOptions, data: DataSet, splits: TrainingSplits) -> str:
    """Returns how unlike in size the classes are, where they are, and what can be done."""
    ratio = imbalance(splits.train.labels, len(data.class_names))
    if options.class_weights == "balanced":
        return ", counting alike (--class-weights balanced)"
    if ratio is None:
        return ", some without training examples"
    if ratio < _UNLIKE:
        return ""
    return f", the largest {ratio:.1f} times the smallest (see --class-weights balanced)"


def run_record(
    options: RunOptions,
    data: DataSet,
    splits: TrainingSplits,
    machine: Machine,
    model: keras.Model,
) -> dict[str, Any]:
    """Returns run.json, without which run it is, as it is before the results are in."""
    return {
        "recipe_name": options.recipe.name,
        "overrides": options.overrides,
        "options": options.to_json(),
        "recipe": options.recipe.to_json(),
        "dataset": {
            "name": data.name,
            "data_dir": options.data_dir,
            "origin": data.origin,
            "classes": len(data.class_names),
            "train_examples": len(splits.train),
            "validation_examples": 0 if splits.validation is None else len(splits.validation),
            "validation_split": splits.validation_name,
            "limit_train": options.limit_train,
            "limit_val": options.limit_val,
        },
        "class_names": data.class_names,
        "seed": options.seed,
        "precision": machine.precision,
        "strategy": machine.strategy_name,
        "devices": list(machine.devices),
        "versions": versions(),
        "parameters": trainable_parameters(model),
        "seconds": 0.0,
        "results": {},
    }


def result_line(best: dict[str, Any], decides: bool, validation_name: str) -> str:
    """Returns the sentence that ends a run.

    Args:
      best: The record of the best epoch, or of the last one where validation does not decide.
      decides: Whether it does.
      validation_name: What the validation examples are.
    """
    if best["validation_top1_error"] is None:
        return f"last epoch {best['epoch']}: training loss {best['training_loss']:.4f}"
    return (
        f"{'best' if decides else 'last'} epoch {best['epoch']}: {validation_name} top-1 error "
        f"{best['validation_top1_error']:.2%} "
        f"({best['validation_top1_errors']} of {best['validation_examples']}), "
        f"top-5 error {best['validation_top5_error']:.2%}"
    )


def trainable_parameters(model: keras.Model) -> int:
    """Returns how many numbers training changes."""
    return sum(int(tf.size(v)) for v in model.trainable_variables)
