"""`train`: from what the user asked to a finished run folder."""

import dataclasses
import datetime
import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf import runs
from alexnet_tf.data.dataset import DataSet
from alexnet_tf.data.examples import FileExamples
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.splits import TrainingSplits, split_dataset
from alexnet_tf.data.statistics import Statistics, fit_statistics
from alexnet_tf.errors import InputError
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import save_model
from alexnet_tf.settings import Recipe
from alexnet_tf.training import checkpoints
from alexnet_tf.training.curves import draw_curves
from alexnet_tf.training.folder import RunFolder, new_run_path
from alexnet_tf.training.loop import Trainer
from alexnet_tf.training.machine import Machine, choose_machine, versions
from alexnet_tf.training.options import RunOptions, new_options, resumed_options
from alexnet_tf.training.reporting import Screen

_DRAW_SECONDS = 20


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What a run came to.

    Attributes:
      run_dir: The run's folder.
      history: A record an epoch, as in history.jsonl.
      best_epoch: Counted from 1; the last one where validation does not decide.
      stalled: The message, if the network did no better than guessing.
    """

    run_dir: Path
    history: list[dict[str, Any]]
    best_epoch: int
    stalled: str | None


def train(
    dataset: str | None = None,
    *,
    data_dir: str | None = None,
    recipe: str | Recipe | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    momentum: float | None = None,
    dropout: float | None = None,
    init: str | None = None,
    seed: int | None = None,
    precision: str = "auto",
    strategy: str = "auto",
    devices: str | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    limit_train: int | None = None,
    limit_val: int | None = None,
    quiet: bool = False,
) -> TrainingResult:
    """Trains a network, or goes on with a run.

    Args:
      dataset: "shapes" (the default, built in), a TFDS name, or a folder of class folders.
      data_dir: TFDS folder; TFDS's own if None.
      recipe: A name or a recipe; the data set's if None.
      epochs: Instead of the recipe's; when resuming, may be more than the run's.
      batch_size: Images in a global batch, instead of the recipe's; so for the next ones.
      learning_rate: The first rate.
      weight_decay: Inside the velocity, on weights only.
      momentum: Of the velocity.
      dropout: Share of units dropped.
      init: One of `settings.INITS`.
      seed: Of everything random; 0 if None.
      precision: "auto", "float32" or "bfloat16".
      strategy: "auto", "single", "mirrored" or "multiworker".
      devices: GPUs by number ("0,1"), or how many logical CPU devices to make.
      run_dir: The run's folder itself; `saved_models/<recipe>-<time>` if None.
      resume: Go on with `run_dir`, or with the newest run.
      limit_train: Use at most so many training examples.
      limit_val: Likewise for validation.
      quiet: Show only warnings.

    Returns:
      What the run came to. The folder has the models, the history, the curves and the record.

    Raises:
      InputError: Something given cannot be used; nothing was written.
      TrainingError: The loss is not a number any more; the last checkpoint is kept.
    """
    screen = Screen(quiet)
    asked: dict[str, Any] = {
        "dataset": dataset,
        "data_dir": data_dir,
        "recipe": recipe,
        "seed": seed,
        "precision": precision,
        "limit_train": limit_train,
        "limit_val": limit_val,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "momentum": momentum,
        "dropout": dropout,
        "init": init,
    }
    if resume:
        path = Path(run_dir) if run_dir is not None else runs.newest_run()
        recorded = runs.read_run(path)
        options = resumed_options(RunOptions.from_json(recorded["options"]), **asked)
        started = recorded["started"]
    else:
        options = new_options(**asked)
        path = new_run_path(run_dir, options.recipe.name)
        started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    machine = choose_machine(strategy, devices, options.precision)
    options = dataclasses.replace(options, precision=machine.precision)
    data = open_dataset(
        options.dataset, data_dir=options.data_dir, channels=options.recipe.network.channels
    )
    splits = split_dataset(
        data,
        hold_out=options.recipe.hold_out,
        seed=options.seed,
        limit_train=options.limit_train,
        limit_val=options.limit_val,
    )
    splits, statistics = _prepare(splits, options, screen)
    if options.recipe.batch_size > len(splits.train):
        raise InputError(
            f"batch size {options.recipe.batch_size} is larger than the training set: "
            f"{len(splits.train)} examples; give --batch-size {len(splits.train)} or less"
        )
    with machine.strategy.scope():
        model = build_model(
            options.recipe,
            classes=len(data.class_names),
            class_names=data.class_names,
            dtype=machine.dtype_policy,
            seed=options.seed,
            mean=statistics.mean_image if options.recipe.network.mean == "image" else None,
        )
    trainer = Trainer(
        model,
        options.recipe,
        machine,
        train=splits.train,
        validation=splits.validation,
        decides=splits.decides,
        statistics=statistics,
        seed=options.seed,
        epochs=options.epochs,
        screen=screen,
    )
    folder = RunFolder(path)
    try:
        screen.settings(_settings_rows(options, data, splits, machine, model, path))
        record = _record(options, data, splits, machine, model, started)
        if resume:
            _restore(trainer, folder, screen)
        folder.write_run(record)
        statistics.save(path / runs.STATISTICS)
        trainer.run(lambda improved: _save(trainer, folder, record, improved))
        result = _finish(trainer, folder, record, splits)
    finally:
        folder.close()
    screen.finished(path, result)
    best_epoch = trainer.best["epoch"] if trainer.best else len(trainer.history)
    return TrainingResult(path, trainer.history, best_epoch, trainer.stalled)


def _prepare(
    splits: TrainingSplits, options: RunOptions, screen: Screen
) -> tuple[TrainingSplits, Statistics]:
    """Makes the pass over the data before the first step: damaged files, mean image, colours."""
    pixels = options.recipe.resize_pixels
    with screen.counting("reading the training images") as progress:
        statistics = fit_statistics(splits.train, pixels, progress)
    checked = dataclasses.replace(splits, train=statistics.usable(splits.train))
    bad = statistics.bad
    if isinstance(splits.validation, FileExamples):
        with screen.counting("reading the validation images") as progress:
            validation = fit_statistics(splits.validation, pixels, progress, what="validation")
        checked = dataclasses.replace(checked, validation=validation.usable(splits.validation))
        bad += validation.bad
    for name, reason in bad:
        screen.warn(f"left out: {name}: {reason}")
    return checked, dataclasses.replace(statistics, images=None)


def _restore(trainer: Trainer, folder: RunFolder, screen: Screen) -> None:
    """Goes on from the newest whole checkpoint; without any, from the beginning."""
    try:
        checkpoint = checkpoints.read_newest(folder.checkpoints)
    except checkpoints.DamagedCheckpointError as error:
        raise InputError(f"no checkpoint can be read: {error}") from None
    if checkpoint is None:
        screen.message("no checkpoint yet: this run starts again")
        return
    tensors, state, complaints = checkpoint
    for complaint in complaints:
        screen.warn(complaint)
    trainer.restore(tensors, state)


def _save(trainer: Trainer, folder: RunFolder, record: dict[str, Any], improved: bool) -> None:
    """Puts away an epoch. The checkpoint is what counts: what stands before it is done again."""
    save_model(trainer.model, folder.path / runs.LAST)
    if improved:
        folder.last_becomes_best()
    checkpoints.write(folder.checkpoints, trainer.tensors(), trainer.state())
    folder.write_history(trainer.history)
    # Drawing takes as long as an epoch of a small network, so it waits until it is a small share.
    curves = folder.path / runs.CURVES
    if not curves.exists() or time.time() - curves.stat().st_mtime > _DRAW_SECONDS:
        _draw(trainer, folder, record)


def _draw(trainer: Trainer, folder: RunFolder, record: dict[str, Any]) -> None:
    """Draws the curves as they are now."""
    title = f"{record['recipe_name']} on {record['dataset']['name']}"
    draw_curves(trainer.history, folder.path / runs.CURVES, title)


def _finish(
    trainer: Trainer, folder: RunFolder, record: dict[str, Any], splits: TrainingSplits
) -> str:
    """Writes the results into run.json and returns the sentence about them."""
    last = trainer.history[-1]
    best = trainer.history[trainer.best["epoch"] - 1] if trainer.best else last
    _draw(trainer, folder, record)
    record["seconds"] = trainer.seconds
    record["results"] = {"best": best, "last": last, "stalled": trainer.stalled}
    record["finished"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    folder.write_run(record)
    if best["validation_top1_error"] is None:
        return f"last epoch {last['epoch']}: training loss {last['training_loss']:.4f}"
    kind = "best epoch" if splits.decides else "last epoch"
    return (
        f"{kind} {best['epoch']}: {splits.validation_name} top-1 error "
        f"{best['validation_top1_error']:.2%} "
        f"({best['validation_top1_errors']} of {best['validation_examples']}), "
        f"top-5 error {best['validation_top5_error']:.2%}"
    )


def _settings_rows(
    options: RunOptions,
    data: DataSet,
    splits: TrainingSplits,
    machine: Machine,
    model: keras.Model,
    path: Path,
) -> dict[str, str]:
    """Returns the table of what will run."""
    recipe = options.recipe
    validation = (
        "no validation"
        if splits.validation is None
        else (
            f"{len(splits.validation):,} {splits.validation_name}"
            + ("" if splits.decides else " (watched only)")
        )
    )
    changed = ", ".join(f"{name} {value}" for name, value in options.overrides.items())
    return {
        "recipe": f"{recipe.name}: {recipe.description}" + (f"; with {changed}" if changed else ""),
        "network": f"{recipe.network.input_size} x {recipe.network.input_size} input, "
        f"{_trainable(model):,} parameters",
        "data": f"{data.name}: {len(splits.train):,} training, {validation} images, "
        f"{len(data.class_names)} classes",
        "training": f"{options.epochs} epochs, batch {recipe.batch_size}, "
        f"rate {recipe.learning_rate:g} ({recipe.schedule.kind}), init {recipe.init}",
        "device": f"{', '.join(machine.devices)} ({machine.strategy_name}"
        + (f", {recipe.batch_size // machine.replicas} a device)" if machine.replicas > 1 else ")"),
        "precision": machine.precision,
        "seed": str(options.seed),
        "results": f"{path}/",
    }


def _record(
    options: RunOptions,
    data: DataSet,
    splits: TrainingSplits,
    machine: Machine,
    model: keras.Model,
    started: str,
) -> dict[str, Any]:
    """Returns run.json as it is before the results are in."""
    return {
        "started": started,
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
        "parameters": _trainable(model),
        "seconds": 0.0,
        "results": {},
    }


def _trainable(model: keras.Model) -> int:
    """Returns how many numbers training changes."""
    return sum(int(tf.size(v)) for v in model.trainable_variables)
