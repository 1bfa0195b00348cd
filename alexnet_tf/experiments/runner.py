"""Runs an experiment: every variant and seed through `train`, in a folder that can be resumed."""

import dataclasses
import gc
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras

from alexnet_tf import runs
from alexnet_tf.console import ProgressReporter, format_duration
from alexnet_tf.data.examples import fingerprint_of
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.splits import split_dataset
from alexnet_tf.errors import DivergedError, InputError, TrainingStopped
from alexnet_tf.evaluation.evaluate import evaluate
from alexnet_tf.experiments.definition import METRICS, Experiment
from alexnet_tf.experiments.figure import draw_figure
from alexnet_tf.experiments.plan import (
    VERSION,
    Job,
    Plan,
    check_resumable,
    first_jobs,
    new_job,
    read_plan,
    record_provenance,
)
from alexnet_tf.experiments.results import EVALUATION, Results, best_job, collect, read_finished
from alexnet_tf.experiments.table import format_value, markdown
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
) -> Results:
    """Runs the unfinished runs of an experiment and writes its results.

    Args:
      experiment: The experiment.
      plan: The user's choices; in a folder with results only the number of seeds may change.
      root: The experiment's folder. It gets plan.json, provenance.json, runs/, and at the end
        results.json, table.md and figure.png.
      data_dir: TFDS's data folder, or None for its default.
      keep_models: Whether to keep the models and checkpoints of finished runs.
      command: The command that repeats the experiment, for the results.
      quiet: Whether to show no progress.

    Raises:
      InputError: The input cannot be used, or the folder has other settings.
      TrainingStopped: Stopped by Ctrl-C or SIGTERM; the same command resumes.
    """
    check_local_path(root, "--out")
    try:
        plan = _confirm_plan(experiment, plan, root, data_dir)
        _Runner(experiment, plan, root, data_dir, keep_models).run(ProgressReporter(quiet))
    except (TrainingStopped, KeyboardInterrupt):
        raise TrainingStopped(
            f"stopped; finished epochs are kept in {root}: give the same command to resume"
        ) from None
    results = collect(experiment, plan, root, command)
    write_json(root / "results.json", results.to_json())
    write_text(root / "table.md", markdown(results) + "\n")
    draw_figure(results, root / "figure.png")
    return results


def _confirm_plan(experiment: Experiment, plan: Plan, root: Path, data_dir: str | None) -> Plan:
    """Returns the plan with its images' fingerprint, and writes it to the experiment's folder."""
    path = root / "plan.json"
    stored = read_plan(path) if path.is_file() else None
    if stored is not None:
        check_resumable(stored, plan, root)  # before the images are read
    recipes = [experiment.recipe_for(variant) for variant in experiment.trained_variants]
    data = open_dataset(plan.dataset, data_dir=data_dir, channels=recipes[0].network.channels)
    splits = split_dataset(data, hold_out=recipes[0].hold_out, seed=0)
    if splits.validation is None:
        raise InputError(
            f"{plan.dataset} has neither a test nor a validation split to evaluate on: give "
            "another --dataset"
        )
    images = fingerprint_of(splits.train.fingerprint(), splits.validation.fingerprint())
    plan = dataclasses.replace(plan, images=images)
    if stored is not None:
        plan = check_resumable(stored, plan, root)
    examples = min(len(splits.train), plan.limit_train or len(splits.train))
    batch = max(recipe.batch_size for recipe in recipes)
    if examples < batch:
        more = "a larger --limit-train" if examples < len(splits.train) else "a larger data set"
        raise InputError(
            f"{examples} training images of {plan.dataset} are fewer than a batch of {batch}: give "
            f"{more}"
        )
    root.mkdir(parents=True, exist_ok=True)
    write_json(path, {"version": VERSION, **dataclasses.asdict(plan)})
    return plan


@dataclasses.dataclass
class _Runner:
    """Runs an experiment's runs; fields as in `run_experiment`."""

    experiment: Experiment
    plan: Plan
    root: Path
    data_dir: str | None
    keep_models: bool

    def run(self, reporter: ProgressReporter) -> None:
        """Runs all that are not finished."""
        variants = self.experiment.trained_variants
        tried = [first_jobs(self.experiment, self.plan, self.root, each) for each in variants]
        later = self.plan.seeds - 1
        runs_in_all = sum(len(jobs) + later for jobs in tried)
        self._epochs = sum((len(jobs) + later) * jobs[0].recipe.epochs for jobs in tried)
        self._done = self._trained = 0  # epochs, of all runs and in this process
        self._started = time.monotonic()
        with reporter.progress(self.experiment.name, self._epochs, unit="epochs") as self._bar:
            for number, (job, max_epochs) in enumerate(self._jobs(tried), 1):
                title = f"{number}/{runs_in_all} {job.title}"
                self._bar.update(self._done, description=title)
                self._run_job(job, max_epochs)
                self._done += job.recipe.epochs
                name = job.variant.metric or self.experiment.metrics[0]
                value = METRICS[name].measure(read_finished(job))
                shown = format_value(value, METRICS[name].unit)
                reporter.message(f"{title}: {METRICS[name].title} {shown}")

    def _jobs(self, tried: list[list[Job]]) -> Iterator[tuple[Job, float | None]]:
        """Yields the runs, each with the epochs after which it may end.

        `tried` are each variant's runs with the first seed; the others have the best learning rate.
        """
        metric = self.experiment.metric
        for jobs in tried:
            best = None
            for job in jobs:
                # Where epochs are counted, a run that is already longer than the best has lost.
                yield job, best if metric.unit == "epochs" else None
                value = metric.measure(read_finished(job))
                best = min((v for v in (best, value) if v is not None), default=None)
        selected = [best_job(self.experiment, jobs) for jobs in tried]
        for seed in range(1, self.plan.seeds):
            for job in selected:
                first = (self.experiment, self.plan, self.root, job.variant)
                yield new_job(*first, seed, job.learning_rate), None

    def _run_job(self, job: Job, max_epochs: float | None) -> None:
        """Trains and evaluates a run, unless it is finished."""
        if runs.is_run(job.folder):
            self._check_recipe(job)
        if not job.is_finished:

            def on_epoch(record: EpochRecord) -> bool:
                self._show(record)
                is_late = max_epochs is not None and record.epoch >= max_epochs
                return is_late or self.experiment.metric.is_final(record)

            try:
                self._train(job, on_epoch)
            except DivergedError as error:
                write_json(job.diverged_file, {"diverged": str(error)})
            _free_memory()
        self._evaluate(job)
        if not self.keep_models:
            _remove_models(job.folder)

    def _show(self, record: EpochRecord) -> None:
        """Moves the progress bar; the time left is the longest, since runs may end early."""
        self._trained += 1
        done = self._done + record.epoch
        per_epoch = (time.monotonic() - self._started) / self._trained
        left = format_duration((self._epochs - done) * per_epoch)
        self._bar.update(
            done, note=f"{record.images_per_second:,.0f} images/s, at most {left} left"
        )

    def _check_recipe(self, job: Job) -> None:
        """Rejects a run that was started with another recipe, as after a change of the code."""
        recipe = runs.read_run(job.folder).recipe
        if recipe.replace(description=job.recipe.description) != job.recipe:
            raise InputError(
                f"{job.folder} was trained with another recipe than the experiment now has: give "
                "another --out"
            )

    def _train(self, job: Job, on_epoch: Callable[[EpochRecord], bool]) -> None:
        """Trains or resumes a run."""
        options: dict[str, Any] = {"resume": True}
        if not runs.is_run(job.folder):
            if job.folder.is_dir():  # killed before there was anything to resume
                shutil.rmtree(job.folder)
            record_provenance(self.root, job.folder.name)
            options = {
                "dataset": self.plan.dataset,
                "recipe": job.recipe,
                "seed": job.seed,
                "limit_train": self.plan.limit_train,
                "limit_val": self.plan.limit_val,
            }
        train(
            data_dir=self.data_dir,
            run_dir=job.folder,
            precision=self.plan.precision,
            quiet=True,
            on_epoch=on_epoch,
            **options,
        )

    def _evaluate(self, job: Job) -> None:
        """Evaluates a trained model by the center crop and ten crops, if a metric needs it."""
        path = job.folder / EVALUATION
        if not self.experiment.needs_models or job.diverged_file.exists() or path.exists():
            return
        found = evaluate(job.folder, data_dir=self.data_dir, ten_crop=True)
        assert found.ten_crop is not None
        errors = {
            "center_crop": found.center_crop.top1_error,
            "ten_crop": found.ten_crop.top1_error,
            "examples": found.center_crop.examples,
        }
        write_json(path, errors)
        _free_memory()


def _free_memory() -> None:
    """Frees the graph and the weights of the previous run."""
    keras.backend.clear_session()
    gc.collect()


def _remove_models(folder: Path) -> None:
    """Removes a run's models, checkpoints and statistics, and keeps its records."""
    shutil.rmtree(folder / runs.CHECKPOINTS, ignore_errors=True)
    for name in (runs.BEST, runs.LAST, runs.STATISTICS):
        (folder / name).unlink(missing_ok=True)
