"""Runs that an experiment in a folder beside this one has trained already. No TensorFlow."""

import shutil
from pathlib import Path

from alexnet_tf import runs
from alexnet_tf.experiments.conditions import conditions, note_begun, read_begun
from alexnet_tf.experiments.plan import Job, Plan, read_plan
from alexnet_tf.experiments.results import JUDGED, PLAN

_SAME = ("images", "limit_train", "limit_val", "precision")


def take_over(
    job: Job, plan: Plan, root: Path, *, judged: bool = False, models: bool = False
) -> Path | None:
    """Copies a run that another experiment has trained, where it is this one to the last bit.

    That is one with the same recipe, seed, images, precision and conditions: what is trained twice
    so is the same.

    Args:
      job: The run; its folder must not be there.
      plan: Of this experiment.
      root: Its folder.
      judged: Whether a trained model must have been judged by its crops.
      models: Whether it must be there still.

    Returns:
      The folder of the other run, or None: there is none.
    """
    if not conditions().can_be_repeated or plan.images is None:
        return None
    here = root.resolve()
    for beside in sorted(path.parent for path in here.parent.glob(f"*/{PLAN}")):
        folder = None if beside == here else _find(job, plan, beside, judged, models)
        if folder is None:
            continue
        partial = job.folder.with_name(f".{job.folder.name}.writing")
        shutil.rmtree(partial, ignore_errors=True)
        # The other experiment may be about to remove its models.
        left_out = () if models else (runs.CHECKPOINTS, runs.BEST, runs.LAST, runs.STATISTICS)
        shutil.copytree(folder, partial, ignore=shutil.ignore_patterns(*left_out))
        note_begun(root, job.folder.name)
        partial.rename(job.folder)
        return folder
    return None


def _find(job: Job, plan: Plan, beside: Path, judged: bool, models: bool) -> Path | None:
    """Returns the folder in another experiment's that `take_over` is to copy, or None."""
    try:
        other, begun = read_plan(beside / PLAN), read_begun(beside)
        if any(getattr(plan, name) != getattr(other, name) for name in _SAME):
            return None
        for folder in sorted(beside.glob("runs/*/")):
            has_all = (not judged or (folder / JUDGED).exists()) and (
                not models or (folder / runs.BEST).exists()
            )
            same = begun.get(folder.name) == conditions()
            if has_all and same and _is_run_of(folder, job):
                return folder
    except ValueError:  # something is damaged: whoever goes on with that experiment is told
        pass
    return None


def _is_run_of(folder: Path, job: Job) -> bool:
    """Returns whether a folder holds this run, trained for all of its epochs."""
    if not runs.is_run(folder):
        return False
    record = runs.read_run(folder)
    return (
        record.finished is not None
        and record.seed == job.seed
        and record.recipe == job.recipe
        and len(runs.read_history(folder)) == job.recipe.epochs
    )
