"""results.json: every number of an experiment. No TensorFlow."""

import dataclasses
import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alexnet_tf import runs
from alexnet_tf.errors import InputError
from alexnet_tf.experiments.claims import get_experiment
from alexnet_tf.experiments.definition import METRICS, Experiment, FinishedRun
from alexnet_tf.experiments.plan import (
    VERSION,
    Job,
    Plan,
    damage_reported,
    first_jobs,
    new_job,
    read_provenance,
    read_versioned,
)
from alexnet_tf.run_record import RunRecord

EVALUATION = "evaluation.json"  # in a run folder: errors of the trained model
STORED = Path(__file__).parent / "stored"  # results of the authors' runs
_HISTORY_FIELDS = (
    "epoch",
    "learning_rate",
    "training_loss",
    "training_top1_error",
    "validation_loss",
    "validation_top1_error",
)


@dataclasses.dataclass(frozen=True)
class RunResult:
    """One run.

    Attributes:
      selected: Whether it counts; False if its learning rate was tried and is not the best.
      values: Metrics by name, as `Metric.measure` returns them.
      parameters: Trainable ones; None if the run diverged before its first epoch ended.
      images_per_second: Median training speed of the epochs.
      history: Losses and top-1 errors of each epoch.
    """

    variant: str
    seed: int
    learning_rate: float
    selected: bool
    diverged: bool
    values: dict[str, float | None]
    parameters: int | None
    seconds: float
    images_per_second: float | None
    history: list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Summary:
    """A metric over a variant's selected runs.

    Attributes:
      metric: Its name: the variant's own, or the experiment's.
      values: One per seed, as `Metric.measure` returns it.
      mean: None unless all seeds have a value; `min` and `max` are of those that have.
    """

    metric: str
    values: list[float | None]
    mean: float | None
    min: float | None
    max: float | None


@dataclasses.dataclass(frozen=True)
class VariantResult:
    """A variant's selected runs; `metrics` are by the experiment's names."""

    name: str
    learning_rate: float
    parameters: int | None
    diverged_runs: int
    metrics: dict[str, Summary]


@dataclasses.dataclass(frozen=True)
class ExperimentData:
    """What the runs were trained and evaluated on."""

    name: str
    train_examples: int
    evaluated_examples: int
    evaluated_split: str


@dataclasses.dataclass(frozen=True)
class Results:
    """Everything in results.json.

    Attributes:
      commit: The package's commit, or None; all of them if runs were made at several.
      command: The command that repeats the experiment.
      started: Local time of the first run, ISO 8601; `finished` is of the last.
      seconds: Time of all runs, validation included.
      machine: Number of cores or GPUs, also if there were several machines.
      runs: All runs, also those that are not selected.
    """

    experiment: str
    metrics: list[str]
    data: ExperimentData
    plan: Plan
    variants: list[VariantResult]
    commit: str | None
    command: str
    started: str
    finished: str
    seconds: float
    precision: str
    devices: list[str]
    machine: str
    versions: dict[str, str]
    runs: list[RunResult]

    def to_json(self) -> dict[str, Any]:
        """Returns plain values, with the version of the format."""
        return {"version": VERSION, **dataclasses.asdict(self)}


def read_results(path: Path) -> Results:
    """Returns the results in a file; raises InputError if it cannot be used."""
    if not path.is_file():
        raise InputError(f"{path} not found: let the experiment finish")
    remedy = "run the experiment again"
    values = read_versioned(path, remedy)
    with damage_reported(path, remedy):
        get_experiment(values["experiment"])
        for variant in values["variants"]:
            variant["metrics"] = {k: Summary(**v) for k, v in variant["metrics"].items()}
        values["data"] = ExperimentData(**values["data"])
        values["plan"] = Plan(**values["plan"])
        values["variants"] = [VariantResult(**variant) for variant in values["variants"]]
        values["runs"] = [RunResult(**run) for run in values["runs"]]
        return Results(**values)


def read_stored(folder: Path = STORED) -> dict[str, Results]:
    """Returns the stored results, by experiment."""
    return {path.stem: read_results(path) for path in sorted(folder.glob("*.json"))}


def read_finished(job: Job) -> FinishedRun:
    """Returns a finished run as it is in its folder, or raises InputError if a file is damaged."""
    path, evaluation = job.folder / EVALUATION, {}
    if path.is_file():
        with damage_reported(path, f"remove {job.folder} to train this run again"):
            evaluation = dict(json.loads(path.read_text(encoding="utf-8")))
    has_history = (job.folder / runs.HISTORY).exists()
    return FinishedRun(
        history=runs.read_history(job.folder) if has_history else [],
        num_classes=len(runs.read_run(job.folder).class_names) if runs.is_run(job.folder) else 0,
        diverged=job.diverged_file.exists(),
        evaluation=evaluation,
    )


def best_job(experiment: Experiment, jobs: list[Job]) -> Job:
    """Returns the best run; if none reaches the target, that of the lowest last training error."""

    def rank(job: Job) -> list[float]:
        run = read_finished(job)
        measured = (experiment.metric.measure(run), METRICS["training_error"].measure(run))
        return [math.inf if value is None else value for value in measured]

    return min(jobs, key=rank)


def collect(experiment: Experiment, plan: Plan, root: Path, command: str) -> Results:
    """Returns the results of an experiment in the folder `root` whose runs are all finished."""
    results: list[RunResult] = []
    records: list[RunRecord] = []
    evaluation: dict[str, float] = {}
    machines: list[str] = []
    provenance = read_provenance(root)
    for variant in experiment.trained_variants:
        tried = first_jobs(experiment, plan, root, variant)
        best = best_job(experiment, tried)
        later = [
            new_job(experiment, plan, root, variant, seed, best.learning_rate)
            for seed in range(1, plan.seeds)
        ]
        for job in (*tried, *later):
            run = read_finished(job)
            evaluation = evaluation or run.evaluation
            record = runs.read_run(job.folder) if runs.is_run(job.folder) else None
            selected = job == best or job in later
            results.append(_run_result(experiment, job, selected, run, record))
            if record is not None:
                records.append(record)
                if job.folder.name in provenance:
                    machines.append(provenance[job.folder.name].machine(record.devices))
    data = records[0].dataset
    return Results(
        experiment=experiment.name,
        metrics=list(experiment.metrics),
        data=ExperimentData(
            name=data.name,
            train_examples=data.train_examples,
            evaluated_examples=int(evaluation.get("examples", data.validation_examples)),
            evaluated_split=data.validation_split,
        ),
        plan=plan,
        variants=summaries(experiment, results),
        commit=_distinct(run.commit or "none" for run in provenance.values()) or None,
        command=command,
        started=min(record.started for record in records),
        finished=max(record.finished or "" for record in records),
        seconds=round(sum(run.seconds for run in results), 1),
        precision=_distinct(record.precision for record in records),
        devices=list(dict.fromkeys(name for record in records for name in record.devices)),
        machine=_distinct(machines),
        versions={
            name: _distinct(record.versions[name] for record in records)
            for name in records[0].versions
        },
        runs=results,
    )


def _run_result(
    experiment: Experiment, job: Job, selected: bool, run: FinishedRun, record: RunRecord | None
) -> RunResult:
    """Returns one run's entry; numbers of its history are rounded to six decimals."""
    speeds = [epoch.images_per_second for epoch in run.history]
    rows = [[(name, getattr(epoch, name)) for name in _HISTORY_FIELDS] for epoch in run.history]
    return RunResult(
        variant=job.variant.name,
        seed=job.seed,
        learning_rate=job.recipe.learning_rate,
        selected=selected,
        diverged=run.diverged,
        values={name: METRICS[name].measure(run) for name in experiment.all_metrics},
        parameters=None if record is None else record.parameters,
        seconds=round(0.0 if record is None else record.seconds, 1),
        images_per_second=round(statistics.median(speeds), 1) if speeds else None,
        history=[{name: v if v is None else round(v, 6) for name, v in row} for row in rows],
    )


def summaries(experiment: Experiment, results: list[RunResult]) -> list[VariantResult]:
    """Returns each variant's metrics over the selected runs."""
    rows = []
    for variant in experiment.variants:
        trained = variant.evaluates or variant.name
        selected = [run for run in results if run.variant == trained and run.selected]
        metrics = {}
        for name in experiment.metrics:
            own = variant.metric if variant.metric and name == experiment.metrics[0] else name
            values = [run.values[own] for run in selected]
            known = [value for value in values if value is not None]
            metrics[name] = Summary(
                metric=own,
                values=values,
                mean=statistics.mean(known) if known and len(known) == len(values) else None,
                min=min(known, default=None),
                max=max(known, default=None),
            )
        rows.append(
            VariantResult(
                name=variant.name,
                learning_rate=selected[0].learning_rate,
                parameters=selected[0].parameters,
                diverged_runs=sum(run.diverged for run in selected),
                metrics=metrics,
            )
        )
    return rows


def _distinct(texts: Iterable[str]) -> str:
    """Returns each text once: an experiment may be run in parts, on several machines."""
    return ", ".join(dict.fromkeys(texts))
