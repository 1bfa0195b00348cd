"""`train --seeds`: one run after another that differ in their seed alone, in a folder together."""

import contextlib
import dataclasses
import gc
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet_tf import runs
from alexnet_tf.errors import InputError, TrainingStopped
from alexnet_tf.files import expanded, write_json
from alexnet_tf.recipes import get_recipe, recipe_for
from alexnet_tf.settings import Recipe
from alexnet_tf.system import command_name
from alexnet_tf.training.cluster import worker_index
from alexnet_tf.training.folder import new_run_path
from alexnet_tf.training.options import check_unicode, new_options, normal_dataset, resumed_options
from alexnet_tf.training.reporting import Screen
from alexnet_tf.training.train import TrainingResult, train

# Of the machine and of saving: a run goes on with what it began with, unless other is given.
_MACHINE = ("strategy", "devices", "parallelism", "checkpoint_every", "tensorboard")
_MAY_CHANGE = ("data_dir", "on_epoch")  # holds for what is still to come


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
      resume: Leave finished runs as they are, go on with the one that was stopped, begin the rest
        as the first ones began. More epochs are for all of them; what holds for the machine may be
        other, and everything else must be as it was.
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
        recorded_seeds, begun_with, epochs = _read(folder)
        if seeds and list(seeds) != recorded_seeds:
            raise InputError(f"--seeds differs from the {recorded_seeds} that {folder} is of")
        seeds = recorded_seeds
        options = {name: value for name, value in options.items() if value is not None}
        _check_given(options, begun_with, epochs)
        if "epochs" in options:
            epochs = options.pop("epochs")
            record = {"seeds": seeds, "options": _plain(begun_with), "epochs": epochs}
            write_json(folder / runs.SEEDS, record)
    else:
        _check(seeds)
        folder = new_run_path(run_dir, _recipe_name(options))
        begun_with, epochs = options, None
        record = {"seeds": list(seeds), "options": _plain(options)}
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / runs.SEEDS, record)
    free = {name: value for name, value in options.items() if name in (*_MACHINE, *_MAY_CHANGE)}
    as_begun = {**begun_with, **free}
    going_on = {n: v for n, v in begun_with.items() if n in _MACHINE} | options
    if epochs is not None:
        going_on["epochs"] = epochs
    screen = Screen(quiet)
    results = []
    for number, seed in enumerate(seeds, 1):
        path = runs.seed_folder(folder, seed)
        screen.message(f"seed {seed}, run {number} of {len(seeds)}: {path}")
        result = _finished(path, epochs) if resume else None
        if result is None:
            goes_on = runs.is_run(path)
            try:
                if not goes_on:
                    options_now = {**as_begun, "seed": seed}
                    result = train(run_dir=path, resume=False, quiet=quiet, **options_now)
                # More epochs come after: a schedule is scaled to those that a run begins with.
                if goes_on or epochs is not None:
                    result = train(run_dir=path, resume=True, quiet=quiet, **going_on)
            except InputError:
                if number == 1 and not resume:  # nothing has begun: nothing stays
                    (folder / runs.SEEDS).unlink()
                    with contextlib.suppress(OSError):  # others' files in it
                        folder.rmdir()
                raise
            except TrainingStopped as stopped:
                raise TrainingStopped(
                    f"{stopped}\nWith all seeds: {command_name()} train --resume --run-dir "
                    f"{shlex.quote(str(folder))}"
                ) from None
            gc.collect()  # the parts of a network refer to each other, and would linger
        assert result is not None
        results.append(result)
    screen.message(
        f"\n{len(seeds)} runs in {folder}/; their predictions averaged:\n"
        f"  {command_name()} evaluate --run {shlex.quote(str(folder))}"
    )
    return results


def _check_given(given: dict[str, Any], begun_with: dict[str, Any], epochs: int | None) -> None:
    """Checks what a resume is given, as for a single run: seeds that differ in more are no seeds.

    Args:
      given: Options of `train`.
      begun_with: Those that the runs began with.
      epochs: That they are to have by an earlier resume, if it said so.

    Raises:
      InputError: Something differs that may not.
    """
    if given.get("weights") or given.get("freeze"):
        raise InputError("--weights and --freeze start new runs: leave them out when resuming")

    def of_runs(options: dict[str, Any]) -> dict[str, Any]:
        names = ("dataset", "data_dir", "recipe", "seed", "limit_train", "limit_val")
        aside = {*_MACHINE, "on_epoch", "weights", "freeze"}
        rest = {n: v for n, v in options.items() if n not in aside and v is not None}
        return {**dict.fromkeys(names), "precision": "auto", **rest}

    begun = new_options(**of_runs(begun_with))
    begun = dataclasses.replace(begun, epochs=epochs or begun.epochs)
    resumed_options(begun, **of_runs(given))


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
    if values.get("dataset") is not None:
        values["dataset"] = normal_dataset(values["dataset"])
        check_unicode("--dataset", values["dataset"])
    for name in ("data_dir", "weights"):  # as they are valid from every folder
        if values.get(name) is not None:
            values[name] = str(expanded(values[name]).absolute())
            check_unicode(f"--{name.replace('_', '-')}", values[name])
    return {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}


def _read(folder: Path) -> tuple[list[int], dict[str, Any], int | None]:
    """Returns a folder's seeds, what its runs began with, and the epochs they are to have if more.

    Raises:
      InputError: It is no such folder, or its seeds.json is damaged.
    """
    record = runs.read_seeds(folder)
    options = dict(record["options"])
    if isinstance(options.get("recipe"), dict):
        options["recipe"] = Recipe.from_json(options["recipe"])
    return record["seeds"], options, record.get("epochs")


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
