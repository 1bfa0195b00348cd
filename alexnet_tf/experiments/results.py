"""results.json: every raw number of an experiment, read from its run folders."""

import json
import math
import platform
import statistics
import subprocess
from pathlib import Path
from typing import Any

from alexnet_tf import runs
from alexnet_tf.cores import available_cores
from alexnet_tf.experiments.definition import Experiment, Variant
from alexnet_tf.experiments.measures import METRICS, Run
from alexnet_tf.experiments.plan import Job, Plan, job

PLAN, RESULTS, TABLE, FIGURE = "plan.json", "results.json", "table.md", "figure.png"
COMMITS = "commits.json"  # by run folder, what it was begun with
JUDGED = "judged.json"
_KEPT = (
    "epoch",
    "learning_rate",
    "training_loss",
    "training_top1_error",
    "validation_loss",
    "validation_top1_error",
)
_DIGITS = 6


def read_measured(job: Job) -> Run:
    """Returns a finished run as its folder has it."""
    history, classes = _history(job.folder), 0
    if runs.is_run(job.folder):
        classes = runs.read_run(job.folder)["dataset"]["classes"]
    judged = job.folder / JUDGED
    return Run(
        history,
        classes,
        diverged=job.diverged_file.exists(),
        judged=json.loads(judged.read_text(encoding="utf-8")) if judged.exists() else {},
    )


def _history(folder: Path) -> list[dict[str, Any]]:
    return runs.read_history(folder) if (folder / runs.HISTORY).exists() else []


def best_of(experiment: Experiment, tried: list[Job]) -> Job:
    """Returns the best of the runs with one seed and several learning rates.

    Among runs that never got where they should, the one with the lowest training error in the end.
    """

    def rank(one: Job) -> tuple[float, float]:
        measured = read_measured(one)
        value = METRICS[experiment.metrics[0]].measure(measured)
        error = math.inf
        if measured.history and not measured.diverged:
            error = measured.history[-1]["training_top1_error"]
        return math.inf if value is None else value, error

    return min(tried, key=rank)


def collect(experiment: Experiment, plan: Plan, root: Path, command: str) -> dict[str, Any]:
    """Returns what results.json holds; all runs must be finished.

    Args:
      experiment: The experiment.
      plan: As it was run.
      root: Its folder.
      command: What goes on with it or does it again.
    """
    found: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    measured: list[Run] = []
    for variant in experiment.trained():
        rates: tuple[float | None, ...] = experiment.rates or (None,)
        jobs = [job(experiment, plan, root, variant, 0, rate) for rate in rates]
        chosen = best_of(experiment, jobs)
        rate = chosen.recipe.learning_rate if experiment.rates else None
        jobs += [job(experiment, plan, root, variant, s, rate) for s in range(1, plan.seeds)]
        for one in jobs:
            counts = not one.tried or one == chosen
            measured.append(read_measured(one))
            found.append(_run(experiment, variant, one, counts, measured[-1]))
            if runs.is_run(one.folder):
                records.append(runs.read_run(one.folder))
    first = records[0]
    data = first["dataset"]
    begun = read_commits(root)
    judged = next((one.judged for one in measured if one.judged), {})
    return {
        "experiment": experiment.name,
        "metrics": list(experiment.metrics),
        "data": {
            "name": data["name"],
            "train_examples": data["train_examples"],
            "judged_examples": judged.get("examples", data["validation_examples"]),
            "judged_split": data["validation_split"],
        },
        "plan": plan.to_json(),
        "variants": summaries(experiment, found),
        "commit": ", ".join(dict.fromkeys(name or "none" for name in begun.values())) or None,
        "command": command,
        "started": min(record["started"] for record in records),
        "finished": max(record.get("finished", "") for record in records),
        "seconds": round(sum(run["seconds"] for run in found), 1),
        "precision": first["precision"],
        "devices": first["devices"],
        "machine": _machine(first["devices"]),
        "versions": first["versions"],
        "runs": found,
    }


def _run(
    experiment: Experiment, variant: Variant, one: Job, counts: bool, measured: Run
) -> dict[str, Any]:
    """Returns one run's entry."""
    record = runs.read_run(one.folder) if runs.is_run(one.folder) else {}
    names = dict.fromkeys(
        [
            *experiment.metrics,
            *(v.metric for v in experiment.variants if v.metric),
        ]
    )
    return {
        "variant": variant.name,
        "seed": one.seed,
        "learning_rate": one.recipe.learning_rate,
        "counts": counts,
        "diverged": measured.diverged,
        "values": {name: METRICS[name].measure(measured) for name in names},
        "parameters": record.get("parameters"),
        "seconds": round(record.get("seconds", 0.0), 1),
        "images_per_second": _median([r["images_per_second"] for r in measured.history]),
        "history": [{name: _rounded(entry[name]) for name in _KEPT} for entry in measured.history],
    }


def summaries(experiment: Experiment, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns for each variant what its counting runs came to, by metric."""
    rows = []
    for variant in experiment.variants:
        source = experiment.runs_of(variant).name
        mine = [run for run in found if run["variant"] == source and run["counts"]]
        names = list(experiment.metrics)
        shown = {}
        for place, name in enumerate(names):
            measured = variant.metric if variant.metric and place == 0 else name
            values = [run["values"][measured] for run in mine]
            have = [value for value in values if value is not None]
            shown[name] = {
                "metric": measured,
                "values": values,
                "mean": statistics.mean(have) if len(have) == len(values) and have else None,
                "least": min(have, default=None),
                "most": max(have, default=None),
            }
        rows.append(
            {
                "name": variant.name,
                "learning_rate": mine[0]["learning_rate"] if mine else None,
                "parameters": mine[0]["parameters"] if mine else None,
                "diverged": sum(run["diverged"] for run in mine),
                "metrics": shown,
            }
        )
    return rows


def read_commits(root: Path) -> dict[str, str | None]:
    """Returns the commit that each run of an experiment was begun with, by its folder's name."""
    path = root / COMMITS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def commit() -> str | None:
    """Returns the package's git commit, with "+" if the package was changed since; None: no git."""
    root = Path(__file__).parents[2]

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        name = git("rev-parse", "--short=9", "HEAD")
        return name + ("+" if git("status", "--porcelain", "--", "alexnet_tf") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _median(values: list[float]) -> float | None:
    return round(statistics.median(values), 1) if values else None


def _machine(devices: list[str]) -> str:
    """Returns what it ran on: "2 x86_64 cores", or "2 GPUs"."""
    gpus = sum("GPU" in device for device in devices)
    if gpus:
        return f"{gpus} GPU{'s' if gpus > 1 else ''}"
    cores = available_cores()
    return f"{cores} {platform.machine()} core{'s' if cores > 1 else ''}"


def _rounded(value: Any) -> Any:
    return round(value, _DIGITS) if isinstance(value, float) else value
