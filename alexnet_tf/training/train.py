"""`train`: from what the user asked to a finished run folder."""

import dataclasses
import datetime
import secrets
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alexnet_tf import runs
from alexnet_tf.data.pipeline import balanced_weights, check_batch_size
from alexnet_tf.data.reading import UNREADABLE, first_unreadable
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.splits import TrainingSplits, split_dataset
from alexnet_tf.data.statistics import Statistics, fit_statistics
from alexnet_tf.errors import InputError, TrainingError, TrainingStopped
from alexnet_tf.model.geometry import check_towers
from alexnet_tf.model.networks import build_model
from alexnet_tf.settings import Recipe
from alexnet_tf.system import command_name
from alexnet_tf.training.fine_tuning import StartingWeights
from alexnet_tf.training.folder import RunFolder, begin, new_run_path
from alexnet_tf.training.loop import StoppedError, Trainer
from alexnet_tf.training.machine import LOST_WORKER, choose_machine
from alexnet_tf.training.options import RunOptions, new_options, resumed_options
from alexnet_tf.training.record import result_line, run_record, settings_rows
from alexnet_tf.training.reporting import Screen
from alexnet_tf.training.resume import check_data, restore, weights_again
from alexnet_tf.training.saving import CheckpointEvery, Saver
from alexnet_tf.training.stopping import stop_on_signals
from alexnet_tf.training.tensorboard import check_tensorboard


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
    learning_rate_scaling: str | None = None,
    warm_up_epochs: float | None = None,
    weight_decay: float | None = None,
    momentum: float | None = None,
    dropout: float | None = None,
    activation: str | None = None,
    norm: str | None = None,
    pooling: str | None = None,
    init: str | None = None,
    seed: int | None = None,
    precision: str = "auto",
    strategy: str = "auto",
    devices: str | None = None,
    parallelism: str = "data",
    run_dir: str | Path | None = None,
    resume: bool = False,
    limit_train: int | None = None,
    limit_val: int | None = None,
    class_weights: str | None = None,
    weights: str | Path | None = None,
    freeze: Sequence[str] = (),
    checkpoint_every: str | None = None,
    tensorboard: bool = False,
    quiet: bool = False,
    on_epoch: Callable[[dict[str, Any]], bool] | None = None,
) -> TrainingResult:
    """Trains a network, or goes on with a run.

    Args:
      dataset: "shapes" (the default, built in), a TFDS name, or a folder of class folders.
      data_dir: TFDS folder; TFDS's own if None.
      recipe: A name or a recipe; the data set's if None.
      epochs: Instead of the recipe's; when resuming, may be more than the run's.
      batch_size: Images in a global batch, instead of the recipe's; so for the next ones.
      learning_rate: The first rate.
      learning_rate_scaling: "none" (the default), or "linear": that rate times the batch size over
        the recipe's.
      warm_up_epochs: Over so many first epochs the rate rises evenly from 0, update by update.
      weight_decay: Inside the velocity, on weights only.
      momentum: Of the velocity.
      dropout: Share of units dropped.
      activation: Of every layer but the last, one of `settings.ACTIVATIONS`.
      norm: What stands where the network has a normalization, one of `settings.NORMS`.
      pooling: One of `settings.POOLINGS`.
      init: One of `settings.INITS`.
      seed: Of everything random; 0 if None.
      precision: "auto", "float32", "bfloat16" or "float16".
      strategy: "auto", "single", "mirrored" or "multiworker".
      devices: GPUs by number ("0,1"), or how many logical CPU devices to make.
      parallelism: "data" (devices divide the batch) or "towers" (two devices divide the network, as
        in the paper). Not kept: a resumed run may take the other.
      run_dir: The run's folder itself; `saved_models/<recipe>-<time>` if None.
      resume: Go on with `run_dir`, or with the newest run.
      limit_train: Use at most so many training examples.
      limit_val: Likewise for validation.
      class_weights: "none" (the default), or "balanced": each class counts for as much in the loss
        as every other, however many examples it has. What is reported is not weighted.
      weights: A model to start from, a `.keras` file or a run's folder: the run takes its network,
        and a new classifier unless the classes are the same; rates are a tenth of the recipe's,
        but for the new classifier.
      freeze: Layers of these weights that are not to move, such as "conv1".
      checkpoint_every: Also save inside an epoch: after so many updates ("500") or minutes ("10m",
        the default).
      tensorboard: Write for TensorBoard into the run's folder too: curves, conv1's kernels,
        histograms of weights, a few augmented inputs, the graph, and a profile of some updates.
      quiet: Show only warnings.
      on_epoch: Called with each epoch's record, once it is saved; True ends the run there.

    Returns:
      What the run came to. The folder has the models, the history, the curves and the record.

    Raises:
      InputError: Something given cannot be used; nothing was written.
      DivergedError: The loss is not a number any more; the last checkpoint is kept.
      TrainingError: Something else ended it, as an image that cannot be read; the last
        checkpoint is kept.
      TrainingStopped: SIGINT or SIGTERM came; the state is saved.
    """
    screen = Screen(quiet)
    every = CheckpointEvery.parse(checkpoint_every)
    if tensorboard:
        check_tensorboard()
    asked: dict[str, Any] = {
        "dataset": dataset,
        "data_dir": data_dir,
        "recipe": recipe,
        "seed": seed,
        "precision": precision,
        "limit_train": limit_train,
        "limit_val": limit_val,
        "class_weights": class_weights,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "learning_rate_scaling": learning_rate_scaling,
        "warm_up_epochs": warm_up_epochs,
        "weight_decay": weight_decay,
        "momentum": momentum,
        "dropout": dropout,
        "activation": activation,
        "norm": norm,
        "pooling": pooling,
        "init": init,
    }
    if freeze and weights is None:
        raise InputError("--freeze needs --weights: layers that have learned nothing must move")
    if resume and weights is not None:
        raise InputError("--weights starts a new run: leave it out, or leave out --resume")
    new_id = secrets.token_hex(8)
    if resume:
        path = Path(run_dir) if run_dir is not None else runs.newest_run()
        recorded = runs.read_run(path)
        options = resumed_options(RunOptions.from_json(recorded["options"]), **asked)
        identity = {"id": recorded.get("id", new_id), "started": recorded["started"]}
    else:
        options = new_options(**asked)
        path = new_run_path(run_dir, options.recipe.name)
        started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        identity = {"id": new_id, "started": started}
    quoted = shlex.quote(str(path))
    machine = choose_machine(strategy, devices, options.precision, parallelism)
    if machine.worker != 0:
        screen = Screen(quiet=True)
    options = dataclasses.replace(options, precision=machine.precision)
    starting = None
    if resume:
        starting = weights_again(path, recorded, options)
    elif weights is not None:
        starting = StartingWeights(weights)
        options = starting.options(options, freeze)
    if parallelism == "towers":
        check_towers(options.recipe.network)
    data = open_dataset(
        options.dataset, data_dir=options.data_dir, channels=options.recipe.network.channels
    )
    if starting is not None and not resume:
        options = starting.with_rates(options, data.class_names)
    if data.left_out and machine.worker == 0:
        screen.warn(data.left_out)
    splits = split_dataset(
        data,
        hold_out=options.recipe.hold_out,
        seed=options.seed,
        limit_train=options.limit_train,
        limit_val=options.limit_val,
    )
    splits, statistics = _prepare(splits, options, screen)
    if resume:
        check_data(recorded, data, splits)
    check_batch_size(options.recipe.batch_size, len(splits.train), machine.replicas)
    with machine.strategy.scope():
        model = build_model(
            options.recipe,
            classes=len(data.class_names),
            class_names=data.class_names,
            dtype=machine.dtype_policy,
            seed=options.seed,
            mean=statistics.mean_image if options.recipe.network.mean == "image" else None,
        )
        if starting is not None:
            starting.copy_to(model, data.class_names)
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
        class_weights=(
            balanced_weights(splits.train.labels, len(data.class_names))
            if options.class_weights == "balanced"
            else None
        ),
    )
    # Only the chief writes; the other workers have no folder.
    folder = None
    if machine.worker == 0:
        folder = RunFolder(path) if resume else begin(path, named=run_dir is not None)
        path = folder.path
    try:
        screen.settings(settings_rows(options, data, splits, machine, model, str(path)))
        if resume:
            restore(trainer, path, recorded | identity, machine, screen)
            complaint = folder.repair_history(trainer.history) if folder is not None else None
            if complaint is not None:
                screen.warn(complaint)
        record = identity | run_record(options, data, splits, machine, model)
        saver = Saver(trainer, folder, record, every, tensorboard)
        if folder is not None:
            statistics.save(path / runs.STATISTICS)
        with stop_on_signals() as stop:
            trainer.run(saver, stop, on_epoch)
        best = saver.finish()
    except StoppedError as stopped:
        raise TrainingStopped(
            f"{stopped}. Go on with: {command_name()} train --resume --run-dir {quoted}"
        ) from None
    except LOST_WORKER:
        if machine.workers == 1:
            raise
        raise TrainingError(
            f"a worker was lost: start all of them again with --resume --run-dir {quoted}"
        ) from None
    except UNREADABLE:
        # Images that were prepared, or read by an earlier run, are not all looked at beforehand.
        image = first_unreadable(splits.train, splits.validation)
        if image is None:
            raise
        raise TrainingError(
            f"{image} cannot be read: put it back, or prepare the data set again, and go on with: "
            f"{command_name()} train --resume --run-dir {quoted}"
        ) from None
    finally:
        if folder is not None:
            folder.close()
    screen.finished(path, result_line(best, splits.decides, splits.validation_name))
    return TrainingResult(path, trainer.history, best["epoch"], trainer.stalled)


def _prepare(
    splits: TrainingSplits, options: RunOptions, screen: Screen
) -> tuple[TrainingSplits, Statistics]:
    """Makes the pass over the data before the first step: damaged files, mean image, colors."""
    pixels = options.recipe.resize_pixels
    with screen.counting("reading the training images") as progress:
        statistics = fit_statistics(splits.train, pixels, progress)
    checked = dataclasses.replace(splits, train=statistics.usable(splits.train))
    bad = statistics.bad
    # A damaged one would be met after an epoch only. Pixels as they are need no decoding.
    if splits.validation is not None and splits.validation.stored_shape is None:
        with screen.counting("reading the validation images") as progress:
            validation = fit_statistics(splits.validation, pixels, progress, what="validation")
        checked = dataclasses.replace(checked, validation=validation.usable(splits.validation))
        bad += validation.bad
    for name, reason in bad:
        screen.warn(f"left out: {name}: {reason}")
    return checked, dataclasses.replace(statistics, images=None)
