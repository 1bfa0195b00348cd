"""results.json: every raw number of an experiment, read from its run folders."""

import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alexnet_tf import runs
from alexnet_tf.errors import InputError
from alexnet_tf.experiments.conditions import machine, read_begun
from alexnet_tf.experiments.definition import Experiment, Variant
from alexnet_tf.experiments.measures import METRICS, Run
from alexnet_tf.experiments.plan import Job, Plan, job
from alexnet_tf.run_record import EpochRecord, RunRecord

PLAN, RESULTS, TABLE, FIGURE = "plan.json", "results.json", "table.md", "figure.png"
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
        classes = len(runs.read_run(job.folder).class_names)
    diverged, judged = job.diverged_file.exists(), _read_judged(job.folder / JUDGED)
    return Run(history, classes, diverged=diverged, judged=judged)


def _read_judged(path: Path) -> dict[str, Any]:
    """Returns how a run's model was judged; {}: not yet."""
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path} is damaged ({error}): remove {path.parent}, it is trained again then"
        ) from None


def _history(folder: Path) -> list[EpochRecord]:
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
            error = measured.history[-1].training_top1_error
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
    records: list[RunRecord] = []
    measured: list[Run] = []
    begun, machines = read_begun(root), []
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
                if one.folder.name in begun:
                    cores = begun[one.folder.name].cores
                    machines.append(machine(list(records[-1].devices), cores))
    data = records[0].dataset
    judged = next((one.judged for one in measured if one.judged), {})
    return {
        "experiment": experiment.name,
        "metrics": list(experiment.metrics),
        "data": {
            "name": data.name,
            "train_examples": data.train_examples,
            "judged_examples": judged.get("examples", data.validation_examples),
            "judged_split": data.validation_split,
        },
        "plan": plan.to_json(),
        "variants": summaries(experiment, found),
        "commit": _all(run.commit or "none" for run in begun.values()) or None,
        "command": command,
        "started": min(record.started for record in records),
        "finished": max(record.finished or "" for record in records),
        "seconds": round(sum(run["seconds"] for run in found), 1),
        "precision": _all(record.precision for record in records),
        "devices": list(dict.fromkeys(name for record in records for name in record.devices)),
        "machine": _all(machines),
        "versions": {
            name: _all(record.versions[name] for record in records) for name in records[0].versions
        },
        "runs": found,
    }


def _run(
    experiment: Experiment, variant: Variant, one: Job, counts: bool, measured: Run
) -> dict[str, Any]:
    """Returns one run's entry."""
    record = runs.read_run(one.folder) if runs.is_run(one.folder) else None
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
        "parameters": None if record is None else record.parameters,
        "seconds": round(0.0 if record is None else record.seconds, 1),
        "images_per_second": _median([r.images_per_second for r in measured.history]),
        "history": [
            {name: _rounded(getattr(entry, name)) for name in _KEPT} for entry in measured.history
        ],
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


def _all(texts: Iterable[str]) -> str:
    """Returns each text once: runs may have been made in pieces, on several machines."""
    return ", ".join(dict.fromkeys(texts))


def _median(values: list[float]) -> float | None:
    return round(statistics.median(values), 1) if values else None


def _rounded(value: Any) -> Any:
    return round(value, _DIGITS) if isinstance(value, float) else value
