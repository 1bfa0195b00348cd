"""`train --seeds`: one run after another that differ in their seed alone, in a folder together."""

import contextlib
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet_tf import runs
from alexnet_tf.errors import InputError, TrainingStopped
from alexnet_tf.files import write_json
from alexnet_tf.recipes import get_recipe, recipe_for
from alexnet_tf.settings import Recipe
from alexnet_tf.training.cluster import worker_index
from alexnet_tf.training.folder import new_run_path
from alexnet_tf.training.options import normal_dataset
from alexnet_tf.training.reporting import Screen
from alexnet_tf.training.train import TrainingResult, train


def train_seeds(
    seeds: Sequence[int] = (),
    *,
    run_dir: str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    **options: Any,
) -> list[TrainingResult]:
    """Trains a run for each seed, one after another: each is what `train(seed=...)` would give.

    The folder holds seed-1/, seed-2/ ..., which are runs like any other, and seeds.json, from which
    a resume knows the seeds and what was asked of the runs that have not begun.

    Args:
      seeds: Different ones, at least one; may be left out when resuming.
      run_dir: The folder of them all; `saved_models/<recipe>-<time>` if None.
      resume: Leave finished runs as they are, go on with the one that was stopped, begin the rest.
      quiet: As of `train`.
      **options: What `train` takes, but for `seed`.

    Returns:
      What each run came to, in the order of the seeds.

    Raises:
      InputError: Something given cannot be used.
      TrainingError: A run cannot go on; those before it are whole.
      TrainingStopped: SIGINT or SIGTERM came; the state is saved.
    """
    if worker_index() != 0 or options.get("strategy") == "multiworker":
        raise InputError("--seeds is for one machine: with several workers train seed by seed")
    if resume:
        if run_dir is None:
            raise InputError("name the folder of the runs to go on with: --run-dir")
        folder = Path(run_dir)
        recorded_seeds, begun_with = _read(folder)
        if seeds and list(seeds) != recorded_seeds:
            raise InputError(f"--seeds differs from the {recorded_seeds} that {folder} is of")
        seeds = recorded_seeds
    else:
        _check(seeds)
        folder = new_run_path(run_dir, _recipe_name(options))
        begun_with = options
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / runs.SEEDS, {"seeds": list(seeds), "options": _plain(options)})
    screen = Screen(quiet)
    results = []
    for number, seed in enumerate(seeds, 1):
        path = runs.seed_folder(folder, seed)
        screen.message(f"seed {seed}, run {number} of {len(seeds)}: {path}")
        result = _finished(path, options.get("epochs")) if resume else None
        if result is None:
            goes_on = runs.is_run(path)
            how = options if goes_on else {**begun_with, **options, "seed": seed}
            try:
                result = train(run_dir=path, resume=goes_on, quiet=quiet, **how)
            except InputError:
                if number == 1 and not resume:  # nothing has begun: nothing stays
                    (folder / runs.SEEDS).unlink()
                    with contextlib.suppress(OSError):  # others' files in it
                        folder.rmdir()
                raise
            except TrainingStopped as stopped:
                raise TrainingStopped(
                    f"{stopped}\nWith all seeds: python cli.py train --resume --run-dir {folder}"
                ) from None
            gc.collect()  # the parts of a network refer to each other, and would linger
        results.append(result)
    screen.message(
        f"\n{len(seeds)} runs in {folder}/; their predictions averaged:\n"
        f"  python cli.py evaluate --run {folder}"
    )
    return results


def _check(seeds: Sequence[int]) -> None:
    """Raises InputError if the seeds cannot be used."""
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise InputError(f"--seeds takes different numbers from 0, as in 1,2,3. Received: {seeds}")


def _recipe_name(options: dict[str, Any]) -> str:
    """Returns the name of the recipe that these options of `train` mean."""
    recipe = options.get("recipe")
    if recipe is None:
        recipe = recipe_for(normal_dataset(options.get("dataset") or "shapes"))
    return recipe.name if isinstance(recipe, Recipe) else get_recipe(recipe).name


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Returns options of `train` as JSON knows values; a function is not kept."""
    values = {name: value for name, value in options.items() if not callable(value)}
    if isinstance(values.get("recipe"), Recipe):
        values["recipe"] = values["recipe"].to_json()
    return {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}


def _read(folder: Path) -> tuple[list[int], dict[str, Any]]:
    """Returns the seeds and the options that a folder of runs was begun with.

    Raises:
      InputError: It is no such folder, or its seeds.json is damaged.
    """
    record = runs.read_seeds(folder)
    options = dict(record["options"])
    if isinstance(options.get("recipe"), dict):
        options["recipe"] = Recipe.from_json(options["recipe"])
    return record["seeds"], options


def _finished(path: Path, epochs: int | None) -> TrainingResult | None:
    """Returns what a run came to if there is nothing left to do in it.

    Args:
      path: The run's folder.
      epochs: That it is to have, or None: as many as it was begun with.
    """
    if not runs.is_run(path):
        return None
    record = runs.read_run(path)
    results = record.get("results")
    if not results or (epochs or record["options"]["epochs"]) != results["last"]["epoch"]:
        return None
    return TrainingResult(
        path, runs.read_history(path), results["best"]["epoch"], results["stalled"]
    )
