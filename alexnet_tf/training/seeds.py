"""`train --seeds`: a seed series, one run after another that differ only in their seed."""

import contextlib
import gc
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet_tf import runs
from alexnet_tf.errors import InputError, TrainingStopped
from alexnet_tf.files import write_json
from alexnet_tf.settings import Recipe
from alexnet_tf.system import command_name
from alexnet_tf.train_options import TrainOptions
from alexnet_tf.training.cluster import worker_index
from alexnet_tf.training.reporting import TrainingReporter
from alexnet_tf.training.run_folder import new_run_path
from alexnet_tf.training.run_settings import base_recipe, new_settings, resolved_options
from alexnet_tf.training.train import OnEpoch, TrainingResult, train


def train_seeds(
    seeds: Sequence[int] = (),
    *,
    run_dir: str | Path | None = None,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
    **options: Any,
) -> list[TrainingResult]:
    """Trains a run for each seed, one after another: each is what `train(seed=...)` would give.

    The folder holds seed-1/, seed-2/ ..., which are ordinary runs, and seeds.json with the seeds
    and the options of the runs that have not started yet.

    Args:
      seeds: Different seeds, at least one; may be left out when resuming.
      run_dir: The folder of the series; None: `saved_models/<recipe>-<time>`.
      resume: Keep finished runs, resume the one that was stopped, and start the rest. More epochs
        apply to all runs; options of the process may be new; everything else must be as it was.
      on_epoch: As of `train`.
      **options: Any field of `TrainOptions` except `seed`.

    Returns:
      The result of each run, in the order of the seeds.

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
    if resume:
        if run_dir is None:
            raise InputError("--resume of a seed series needs its folder: --run-dir")
        folder = Path(run_dir)
        seeds, began, epochs = _resume(folder, seeds, given)
    else:
        _check(seeds)
        folder = new_run_path(run_dir, base_recipe(given).name)
        began, epochs = resolved_options(given), None
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, seeds, began, epochs)
    # Options of the process may be new at a resume; a run that starts takes the rest as it was.
    process = began.given("process") | given.given("process")
    reporter = TrainingReporter(given.quiet)
    results = []
    for number, seed in enumerate(seeds, 1):
        path = runs.seed_folder(folder, seed)
        reporter.message(f"seed {seed}, run {number} of {len(seeds)}: {path}")
        result = _finished(path, epochs) if resume else None
        if result is None:
            resumes = runs.is_run(path)
            try:
                if not resumes:
                    start = {**began.given(), **process, "seed": seed}
                    result = train(run_dir=path, on_epoch=on_epoch, **start)
                # A schedule is scaled to the epochs that a run starts with; more come by a resume.
                if resumes or epochs is not None:
                    rest = process if epochs is None else {**process, "epochs": epochs}
                    result = train(run_dir=path, resume=True, on_epoch=on_epoch, **rest)
            except InputError:
                if number == 1 and not resume:  # nothing has started: nothing stays
                    (folder / runs.SEEDS).unlink()
                    with contextlib.suppress(OSError):  # others' files in it
                        folder.rmdir()
                raise
            except TrainingStopped as stopped:
                raise TrainingStopped(
                    f"{stopped}\nAll seeds: {command_name()} train --resume --run-dir "
                    f"{shlex.quote(str(folder))}"
                ) from None
            gc.collect()  # the parts of a network refer to each other, and would stay
        assert result is not None
        results.append(result)
    reporter.message(
        f"\n{len(seeds)} runs in {folder}/; their averaged predictions:\n"
        f"  {command_name()} evaluate --run {shlex.quote(str(folder))}"
    )
    return results


def _resume(
    folder: Path, seeds: Sequence[int], given: TrainOptions
) -> tuple[list[int], TrainOptions, int | None]:
    """Reads and checks a series that resumes.

    Runs of one seed series may differ only in their seed: what `train --resume` refuses for a run
    is refused for the series.

    Args:
      folder: The series' folder.
      seeds: The seeds given now, or () for the recorded ones.
      given: The options given now.

    Returns:
      The seeds, the options that the runs start with, and the epochs that all are to have, or None.

    Raises:
      InputError: An option or the seeds differ from the recorded ones.
    """
    recorded, began, epochs = _read(folder)
    if seeds and list(seeds) != recorded:
        raise InputError(f"--seeds {list(seeds)} differs from the {recorded} of {folder}")
    if given.weights or given.freeze:
        raise InputError("--weights and --freeze start new runs: leave them out to resume")
    recipe = new_settings(began.replace(weights=None, freeze=None)).recipe
    wanted = given if given.dataset is None else resolved_options(given)
    if given.dataset is not None:
        wanted = given.replace(dataset=wanted.dataset)
    wanted.check_resumes(began, recipe)
    name = given.recipe.name if isinstance(given.recipe, Recipe) else given.recipe
    if name is not None and name != recipe.name:
        raise InputError(f"--recipe {name} differs from the series' {recipe.name}")
    if isinstance(given.recipe, Recipe) and began.apply_to(given.recipe) != recipe:
        raise InputError(f"the recipe {name} differs from the series': resume without it")
    if given.epochs is not None:
        if given.epochs < (epochs or recipe.epochs):
            raise InputError(
                f"--epochs {given.epochs} is less than the series' {epochs or recipe.epochs}: a "
                "resumed series may only train for more"
            )
        epochs = given.epochs
        _write(folder, recorded, began, epochs)
    return recorded, began, epochs


def _check(seeds: Sequence[int]) -> None:
    """Raises InputError if the seeds are missing, repeated or negative."""
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise InputError(
            f"--seeds must be different numbers from 0, such as 1,2,3. Received: {seeds}"
        )


def _write(folder: Path, seeds: Sequence[int], options: TrainOptions, epochs: int | None) -> None:
    """Writes seeds.json: the seeds, the options of the runs, and a recipe that is not a name."""
    recipe = options.recipe.to_json() if isinstance(options.recipe, Recipe) else None
    record = {
        "seeds": list(seeds),
        "options": options.to_json(),
        "recipe": recipe,
        "epochs": epochs,
    }
    write_json(folder / runs.SEEDS, record)


def _read(folder: Path) -> tuple[list[int], TrainOptions, int | None]:
    """Returns what `_write` wrote.

    Raises:
      InputError: The folder is not one of a seed series, or its seeds.json is damaged.
    """
    record = runs.read_seeds(folder)
    options = TrainOptions.from_json(record["options"])
    if record.get("recipe") is not None:
        options = options.replace(recipe=Recipe.from_json(record["recipe"]))
    return record["seeds"], options, record.get("epochs")


def _finished(path: Path, epochs: int | None) -> TrainingResult | None:
    """Returns the result of a run that has nothing left to train, or None.

    Args:
      path: The run folder.
      epochs: The epochs that it is to have; None: as many as it was started with.
    """
    if not runs.is_run(path):
        return None
    record = runs.read_run(path)
    if record.best is None or record.last is None:
        return None
    if record.last.epoch != (epochs or record.epochs):
        return None
    return TrainingResult(path, runs.read_history(path), record.best.epoch, record.stalled)
