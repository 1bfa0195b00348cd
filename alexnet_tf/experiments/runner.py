"""Runs an experiment: every variant and seed through `train`, in one folder that can be resumed."""

import dataclasses
import gc
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from alexnet_tf import runs
from alexnet_tf.data.examples import fingerprint_of
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.splits import TrainingSplits, split_dataset
from alexnet_tf.errors import DivergedError, InputError, TrainingStopped
from alexnet_tf.evaluation.evaluate import evaluate
from alexnet_tf.experiments.conditions import note_begun
from alexnet_tf.experiments.definition import Experiment, Variant
from alexnet_tf.experiments.figure import draw_figure
from alexnet_tf.experiments.measures import METRICS, judges
from alexnet_tf.experiments.plan import (
    Job,
    Plan,
    all_jobs,
    check_same,
    job,
    read_plan,
)
from alexnet_tf.experiments.progress import RunsBar, Teller
from alexnet_tf.experiments.results import (
    FIGURE,
    JUDGED,
    PLAN,
    RESULTS,
    TABLE,
    best_of,
    collect,
    read_measured,
)
from alexnet_tf.experiments.table import table
from alexnet_tf.files import check_local_path, write_json, write_text
from alexnet_tf.run_record import EpochRecord
from alexnet_tf.training.train import train


def run_experiment(
    experiment: Experiment,
    plan: Plan,
    root: Path,
    *,
    data_dir: str | None = None,
    keep_models: bool = False,
    command: str = "",
    quiet: bool = False,
) -> dict[str, Any]:
    """Runs what is left of an experiment.

    Args:
      experiment: What to run.
      plan: With what; in a folder that has begun it must be the same but for the seeds.
      root: The experiment's folder. It gets plan.json, runs/, and at the end results.json,
        table.md and figure.png.
      data_dir: TFDS folder, or None.
      keep_models: Whether to keep the models and checkpoints of finished runs.
      command: What the user gave, for the record.
      quiet: Show nothing.

    Returns:
      What is in results.json.

    Raises:
      InputError: Something cannot be used; other settings are in the folder.
      TrainingStopped: Stopped by Ctrl-C or SIGTERM; the same command goes on.
    """
    check_local_path(root, "--out")
    teller = Teller(quiet)
    runner = _Runner(experiment, root, data_dir, keep_models, teller)
    try:
        plan = runner.settle(plan)
        runner.run(plan)
    except (TrainingStopped, KeyboardInterrupt):
        raise TrainingStopped(
            f"stopped; what is done is kept in {root}. The same command goes on"
        ) from None
    results = collect(experiment, plan, root, command)
    write_json(root / RESULTS, results)
    write_text(root / TABLE, table(results) + "\n")
    draw_figure(results, root / FIGURE)
    return results


class _Runner:
    """Runs the jobs of one experiment in its folder."""

    def __init__(
        self,
        experiment: Experiment,
        root: Path,
        data_dir: str | None,
        keep_models: bool,
        teller: Teller,
    ) -> None:
        self._experiment = experiment
        self._root = root
        self._data_dir = data_dir
        self._keep_models = keep_models
        self._teller = teller
        self._metric = METRICS[experiment.metrics[0]]
        self._judges = judges(experiment)

    def settle(self, asked: Plan) -> Plan:
        """Returns the plan to run, which must be that of the folder except for the seeds."""
        path = self._root / PLAN
        stored = read_plan(path) if path.is_file() else None
        if stored is not None:
            check_same(stored, asked, self._root)  # before the images are read
        splits = self._splits(asked)
        if splits.validation is None:
            raise InputError(
                f"{asked.dataset} has neither a test nor a validation split to judge on: "
                "name another --dataset"
            )
        both = fingerprint_of(splits.train.fingerprint(), splits.validation.fingerprint())
        plan = dataclasses.replace(asked, images=both)
        if stored is not None:
            plan = check_same(stored, plan, self._root)
        else:
            images = min(len(splits.train), plan.limit_train or len(splits.train))
            largest = max(job.recipe.batch_size for job in self._all_jobs(plan))
            if images < largest:
                more = "a larger --limit-train" if images < len(splits.train) else "a larger set"
                raise InputError(
                    f"{images} training images of {plan.dataset} are fewer than a batch of "
                    f"{largest}: give {more}"
                )
        self._root.mkdir(parents=True, exist_ok=True)
        write_json(path, plan.to_json())
        return plan

    def run(self, plan: Plan) -> None:
        """Runs all that is not finished."""
        jobs = self._all_jobs(plan)
        epochs = sum(job.recipe.epochs for job in jobs)
        with self._teller.bar(len(jobs), epochs) as bar:
            rates: dict[str, float | None] = {}
            for seed in range(plan.seeds):
                for variant in self._experiment.trained():
                    if seed == 0 and self._experiment.rates:
                        rates[variant.name] = self._search(plan, variant, bar)
                        continue
                    rate = rates.get(variant.name)
                    self._do(plan, self._job(plan, variant, seed, rate), bar)

    def _job(self, plan: Plan, variant: Variant, seed: int, rate: float | None) -> Job:
        return job(self._experiment, plan, self._root, variant, seed, rate)

    def _all_jobs(self, plan: Plan) -> list[Job]:
        return list(all_jobs(self._experiment, plan, self._root))

    def _search(self, plan: Plan, variant: Variant, bar: RunsBar) -> float:
        """Tries the rates with the first seed and returns the best."""
        tried = [self._job(plan, variant, 0, rate) for rate in self._experiment.rates]
        best = None
        for one in tried:
            # For a count of epochs a run that is already longer than the best has lost.
            self._do(plan, one, bar, epochs=best if self._metric.unit == "epochs" else None)
            value = self._metric.measure(read_measured(one))
            best = value if best is None or (value is not None and value < best) else best
        return best_of(self._experiment, tried).recipe.learning_rate

    def _do(self, plan: Plan, job: Job, bar: RunsBar, epochs: float | None = None) -> None:
        """Runs one job, unless it is finished.

        Args:
          plan: The experiment's.
          job: The run.
          bar: Shows it.
          epochs: Where it may end at the latest.
        """
        what = f"{job.variant.name}, seed {job.seed}"
        what += f", rate {job.recipe.learning_rate:g}" if self._experiment.rates else ""
        bar.start(what, job.recipe.epochs)
        self._check_recipe(job)
        if not job.finished:

            def watch(record: EpochRecord) -> bool:
                bar.epoch(record)
                late = epochs is not None and record.epoch >= epochs
                return late or self._metric.done(record)

            try:
                self._train(plan, job, watch)
            except DivergedError as error:
                write_json(job.diverged_file, {"diverged": str(error)})
            clear()
        self._judge(job)
        if not self._keep_models:
            strip(job.folder)
        metric = METRICS[job.variant.metric or self._experiment.metrics[0]]
        bar.finish(what, metric, metric.measure(read_measured(job)))

    def _check_recipe(self, job: Job) -> None:
        """Refuses a run that began with another recipe, as after a change of the code."""
        if not runs.is_run(job.folder):
            return
        began = runs.read_run(job.folder).recipe
        if began.replace(description=job.recipe.description) != job.recipe:  # wording may change
            raise InputError(
                f"{job.folder} was trained with another recipe than the experiment now has: "
                "give another --out"
            )

    def _train(self, plan: Plan, job: Job, watch: Callable[[EpochRecord], bool]) -> None:
        if runs.is_run(job.folder):
            train(
                data_dir=self._data_dir,
                run_dir=job.folder,
                resume=True,
                precision=plan.precision,
                quiet=True,
                on_epoch=watch,
            )
            return
        if job.folder.is_dir():  # killed before it had anything to go on from
            shutil.rmtree(job.folder)
        note_begun(self._root, job.folder.name)
        train(
            plan.dataset,
            data_dir=self._data_dir,
            recipe=job.recipe,
            seed=job.seed,
            precision=plan.precision,
            limit_train=plan.limit_train,
            limit_val=plan.limit_val,
            run_dir=job.folder,
            quiet=True,
            on_epoch=watch,
        )

    def _judge(self, job: Job) -> None:
        """Judges a trained model by the center crop and ten crops, where that is asked for."""
        judged_file = job.folder / JUDGED
        if not self._judges or job.diverged_file.exists() or judged_file.exists():
            return
        found = evaluate(job.folder, data_dir=self._data_dir, ten_crop=True)
        assert found.ten_crop is not None
        judged = {
            "center_crop": found.center_crop.top1_error,
            "ten_crop": found.ten_crop.top1_error,
            "examples": found.center_crop.examples,
        }
        write_json(judged_file, judged)
        clear()

    def _splits(self, plan: Plan) -> TrainingSplits:
        """Returns what the first seed trains on and is judged on, before any limit."""
        recipe = self._experiment.recipe_of(self._experiment.trained()[0])
        data = open_dataset(plan.dataset, data_dir=self._data_dir, channels=recipe.network.channels)
        return split_dataset(data, hold_out=recipe.hold_out, seed=0)


def clear() -> None:
    """Frees the graph and the weights of the previous run."""
    keras.backend.clear_session()
    gc.collect()


def strip(folder: Path) -> None:
    """Removes a run's models, checkpoints and statistics, and keeps what it tells."""
    shutil.rmtree(folder / runs.CHECKPOINTS, ignore_errors=True)
    for name in (runs.BEST, runs.LAST, runs.STATISTICS):
        (folder / name).unlink(missing_ok=True)
