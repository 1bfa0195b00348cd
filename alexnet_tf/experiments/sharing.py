"""Runs that an experiment in a folder beside this one has trained already. No TensorFlow."""

import shutil
from pathlib import Path

from alexnet_tf import runs
from alexnet_tf.errors import InputError
from alexnet_tf.experiments.plan import Job, Plan, read_plan
from alexnet_tf.experiments.results import COMMITS, JUDGED, PLAN, commit, read_commits
from alexnet_tf.files import write_json
from alexnet_tf.settings import Recipe

_SAME = ("dataset", "limit_train", "limit_val", "precision")


def take_over(
    job: Job, plan: Plan, root: Path, *, judged: bool = False, models: bool = False
) -> Path | None:
    """Copies a run that another experiment has trained, where it is this one to the last bit.

    That is one with the same recipe, seed, images, precision and commit: training is repeatable.

    Args:
      job: The run; its folder must not be there.
      plan: Of this experiment.
      root: Its folder.
      judged: Whether a trained model must have been judged by its crops.
      models: Whether it must be there still.

    Returns:
      The folder of the other run, or None: there is none.
    """
    now = commit()
    if now is None or now.endswith("+"):  # what the code was has no name
        return None
    for path in sorted(root.resolve().parent.glob(f"*/{PLAN}")):
        beside = path.parent
        if beside == root.resolve() or not _is_alike(path, plan):
            continue
        begun = read_commits(beside)
        for folder in sorted(beside.glob("runs/*/")):
            if begun.get(folder.name) != now or not _is_run_of(folder, job):
                continue
            if (judged and not (folder / JUDGED).exists()) or (
                models and not (folder / runs.BEST).exists()
            ):
                continue
            partial = job.folder.with_name(f".{job.folder.name}.writing")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(folder, partial)
            write_json(root / COMMITS, {**read_commits(root), job.folder.name: now})
            partial.rename(job.folder)
            return folder
    return None


def _is_alike(path: Path, plan: Plan) -> bool:
    """Returns whether a plan's file is of an experiment on the same images, in the same way."""
    try:
        other = read_plan(path)
    except InputError:  # damaged: whoever goes on with that experiment is told
        return False
    return all(getattr(plan, name) == getattr(other, name) for name in _SAME)


def _is_run_of(folder: Path, job: Job) -> bool:
    """Returns whether a folder holds this run, trained for all of its epochs."""
    try:
        record = runs.read_run(folder)
        return (
            "finished" in record
            and record["seed"] == job.seed
            and Recipe.from_json(record["recipe"]) == job.recipe
            and len(runs.read_history(folder)) == job.recipe.epochs
        )
    except InputError:  # damaged, or not begun
        return False
