"""`train --seeds`: a seed series, one run after another that differ only in their seed."""

import contextlib
import dataclasses
import gc
import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet_tf import runs
from alexnet_tf.errors import InputError, TrainingStopped
from alexnet_tf.files import write_json
from alexnet_tf.run_record import EpochRecord
from alexnet_tf.settings import Recipe
from alexnet_tf.system import command_name
from alexnet_tf.train_options import TrainOptions
from alexnet_tf.training.cluster import worker_index
from alexnet_tf.training.reporting import TrainingReporter
from alexnet_tf.training.run_folder import new_run_path
from alexnet_tf.training.run_settings import (
    base_recipe,
    check_epochs,
    check_resume,
    new_settings,
    resolved_options,
)
from alexnet_tf.training.train import OnEpoch, TrainingResult, train


@dataclasses.dataclass(frozen=True)
class _Series:
    """A seed series: seeds.json.

    Each run starts with `options`; `epochs` replaces their number of epochs after a resume.
    """

    folder: Path
    seeds: tuple[int, ...]
    options: TrainOptions
    epochs: int | None = None

    def write(self) -> None:
        """Writes seeds.json; a recipe that is not a name is recorded in full."""
        recipe = self.options.recipe
        record = {
            "seeds": list(self.seeds),
            "options": self.options.to_json(),
            "recipe": recipe.to_json() if isinstance(recipe, Recipe) else None,
            "epochs": self.epochs,
        }
        write_json(self.folder / runs.SEEDS, record)

    def remove(self) -> None:
        """Removes seeds.json, and the folder if nothing else is in it."""
        (self.folder / runs.SEEDS).unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    @classmethod
    def read(cls, folder: Path) -> "_Series":
        """Reads seeds.json; raises InputError if it is missing or damaged."""
        record = runs.read_seeds(folder)
        options = TrainOptions.from_json(record["options"])
        if record.get("recipe") is not None:
            options = options.replace(recipe=Recipe.from_json(record["recipe"]))
        return cls(folder, tuple(record["seeds"]), options, record.get("epochs"))


def train_seeds(
    seeds: Sequence[int] = (),
    *,
    run_dir: str | Path | None = None,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
    **options: Any,
) -> list[TrainingResult]:
    """Trains one run per seed, one after another; each equals `train(seed=...)`.

    The folder holds the runs seed-1/, seed-2/ ..., and seeds.json with their seeds and options.

    Args:
      seeds: Different seeds, at least one; optional when resuming.
      run_dir: The folder of the series; None: `saved_models/<recipe>-<time>`.
      resume: Keep finished runs, resume the one that was stopped, and start the rest. Epochs
        apply to all runs; options of the process may differ; everything else must be as it was.
      on_epoch: As in `train`.
      **options: Any field of `TrainOptions` except `seed`.

    Returns:
      The result of each run, in order.

    Raises:
      InputError: An option cannot be used.
      TrainingError: A run cannot continue; the runs before it are complete.
      TrainingStopped: SIGINT or SIGTERM was received; the state is saved.
    """
    given = TrainOptions(**options)
    if worker_index() != 0 or given.strategy == "multiworker":
        raise InputError(
            "--seeds is for one machine: with several workers train each seed by itself"
        )
    series = _resume(run_dir, seeds, given) if resume else _start(run_dir, seeds, given)
    # Options of the process may change when resuming; the others are those of the series.
    process = series.options.given("process") | given.given("process")
    reporter = TrainingReporter(given.quiet)
    results = []
    for number, seed in enumerate(series.seeds, 1):
        path = runs.seed_folder(series.folder, seed)
        reporter.message(f"seed {seed}, run {number} of {len(series.seeds)}: {path}")
        try:
            results.append(_train_seed(series, seed, process, on_epoch))
        except InputError:
            if number == 1 and not resume:  # nothing has started, so nothing is left behind
                series.remove()
            raise
        except TrainingStopped as stopped:
            raise TrainingStopped(
                f"{stopped}\nAll seeds: {command_name()} train --resume --run-dir "
                f"{shlex.quote(str(series.folder))}"
            ) from None
        gc.collect()  # the parts of a network refer to each other, and would stay in memory
    reporter.message(f"\n{_statistics_lines(results)}")
    reporter.message(
        f"\n{len(series.seeds)} runs in {series.folder}/; their averaged predictions:\n"
        f"  {command_name()} evaluate --run {shlex.quote(str(series.folder))}"
    )
    return results


def seed_statistics(results: Sequence[TrainingResult]) -> dict[str, dict[str, float | None]]:
    """Returns mean and standard deviation of the results of a series.

    Args:
      results: At least one run.

    Returns:
      By the name of an `EpochRecord`'s field, of the best epochs: "mean" and, with the divisor n-1,
      "standard_deviation", which is None for one run. The fields are validation errors, fractions
      from 0 to 1, or without validation the training loss.
    """
    best = [result.history[result.best_epoch - 1] for result in results]
    found: dict[str, dict[str, float | None]] = {}
    for name in ("validation_top1_error", "validation_top5_error", "training_loss"):
        values = [value for epoch in best if (value := getattr(epoch, name)) is not None]
        if len(values) == len(best) and (name != "training_loss" or not found):
            deviation = statistics.stdev(values) if len(values) > 1 else None
            found[name] = {"mean": statistics.fmean(values), "standard_deviation": deviation}
    return found


def _statistics_lines(results: Sequence[TrainingResult]) -> str:
    """Returns a line for each of the results that `seed_statistics` summarizes."""
    lines = []
    for name, numbers in seed_statistics(results).items():
        form = ".4f" if name == "training_loss" else ".2%"
        line = f"{name.replace('_', ' ')} of {len(results)} seeds: mean {numbers['mean']:{form}}"
        if numbers["standard_deviation"] is not None:
            line += f", standard deviation {numbers['standard_deviation']:{form}}"
        lines.append(line.replace("top1", "top-1").replace("top5", "top-5"))
    return "\n".join(lines)


def _start(run_dir: str | Path | None, seeds: Sequence[int], given: TrainOptions) -> _Series:
    """Creates the folder of a new series and writes its seeds.json."""
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise InputError(
            f"--seeds must be different numbers from 0, such as 1,2,3. Received: {seeds}"
        )
    folder = new_run_path(run_dir, base_recipe(given).name)
    series = _Series(folder, tuple(seeds), resolved_options(given))
    folder.mkdir(parents=True, exist_ok=True)
    series.write()
    return series


def _resume(run_dir: str | Path | None, seeds: Sequence[int], given: TrainOptions) -> _Series:
    """Reads a series that resumes, with the given number of epochs."""
    if run_dir is None:
        raise InputError("--resume of a seed series needs its folder: --run-dir")
    series = _Series.read(Path(run_dir))
    if seeds and tuple(seeds) != series.seeds:
        raise InputError(
            f"--seeds {list(seeds)} differs from the {list(series.seeds)} of {series.folder}"
        )
    if given.weights or given.freeze:
        raise InputError("--weights and --freeze start new runs: leave them out to resume")
    recipe = new_settings(series.options.replace(weights=None, freeze=None)).recipe
    check_resume(given, series.options, recipe)
    if given.epochs is not None:
        for seed in series.seeds:
            path = runs.seed_folder(series.folder, seed)
            if runs.is_run(path):
                check_epochs(given.epochs, runs.epochs_done(path), path)
        series = dataclasses.replace(series, epochs=given.epochs)
        series.write()
    return series


def _train_seed(
    series: _Series, seed: int, process: dict[str, Any], on_epoch: OnEpoch | None
) -> TrainingResult:
    """Starts or resumes one run of a series, unless it is finished, and returns its result."""
    path = runs.seed_folder(series.folder, seed)
    result = None
    if runs.is_run(path):
        record = runs.read_run(path)
        epochs = series.epochs or record.epochs
        if record.best is not None and record.last is not None and record.last.epoch == epochs:
            return TrainingResult(path, runs.read_history(path), record.best.epoch, record.stalled)
    else:
        start = {**series.options.given(), **process, "seed": seed}

        def ends(record: EpochRecord) -> bool:
            is_last = series.epochs is not None and record.epoch >= series.epochs
            return bool(on_epoch is not None and on_epoch(record)) or is_last

        result = train(run_dir=path, on_epoch=ends, **start)
    # A schedule is scaled to the epochs that a run starts with; a resume changes their number.
    if result is None or series.epochs is not None:
        more: dict[str, Any] = {} if series.epochs is None else {"epochs": series.epochs}
        result = train(run_dir=path, resume=True, on_epoch=on_epoch, **process, **more)
    return result
