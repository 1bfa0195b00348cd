"""What of an experiment is run: data, seeds, epochs, what a budget takes away. No TensorFlow."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alexnet_tf import runs
from alexnet_tf.errors import InputError
from alexnet_tf.experiments.definition import Experiment, Variant
from alexnet_tf.experiments.measures import judges
from alexnet_tf.settings import Recipe

_FEWEST_EPOCHS_SHARE = 1 / 3  # a budget takes epochs down to here, then images
_FEWEST_BATCHES = 8
_DIVERGED = "diverged.json"


@dataclasses.dataclass(frozen=True)
class Plan:
    """An experiment with all that may be chosen about it.

    Attributes:
      experiment: Its name.
      dataset: As `train` takes it.
      images: A name for what is trained and judged on, whatever the data set is called and wherever
        it lies; None: not looked at yet.
      seeds: How many.
      epochs: Of every variant; None: each variant's recipe's.
      limit_train: Training images, or None: all.
      limit_val: Test images, or None: all.
      asked_epochs: `epochs` before a budget took any.
      asked_limit_train: `limit_train` before a budget took any.
      precision: "auto", "float32" or "bfloat16".
      budget_seconds: What was asked for, or None.
      shortened: What the budget took away, a sentence; "" for nothing.
    """

    experiment: str
    dataset: str
    seeds: int
    epochs: int | None
    limit_train: int | None
    limit_val: int | None
    asked_epochs: int | None = None
    asked_limit_train: int | None = None
    precision: str = "auto"
    budget_seconds: float | None = None
    shortened: str = ""
    images: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns plain values."""
        return dataclasses.asdict(self)


def new_plan(
    experiment: Experiment,
    *,
    dataset: str | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    limit_train: int | None = None,
    limit_val: int | None = None,
    precision: str = "auto",
    budget_seconds: float | None = None,
) -> Plan:
    """Returns the experiment's own values, but for those given.

    Raises:
      InputError: A limit is asked for of images that are all judged.
    """
    if limit_val is not None and judges(experiment):
        raise InputError(
            f"--limit-val: {experiment.name} judges its networks on all images: leave it out"
        )
    epochs = epochs or experiment.epochs
    limit_train = limit_train or experiment.limit_train
    return Plan(
        experiment=experiment.name,
        dataset=dataset or experiment.dataset,
        seeds=seeds or experiment.seeds,
        epochs=epochs,
        limit_train=limit_train,
        limit_val=limit_val or experiment.limit_val,
        asked_epochs=epochs,
        asked_limit_train=limit_train,
        precision=precision,
        budget_seconds=budget_seconds,
    )


def read_plan(path: Path) -> Plan:
    """Returns the plan in a file.

    Raises:
      InputError: The file is damaged.
    """
    try:
        plan = Plan(**json.loads(path.read_text(encoding="utf-8")))
        for name in ("seeds", "epochs", "limit_train", "limit_val"):
            if not isinstance(getattr(plan, name), int | None):
                raise TypeError(f"{name} is no whole number: {getattr(plan, name)!r}")
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): name another --out") from None
    return plan


def check_same(stored: Plan, asked: Plan, folder: Path) -> Plan:
    """Returns the plan to go on with in a folder: the stored one, with the seeds asked for.

    Args:
      stored: Of the folder.
      asked: By the command, before a budget takes anything.
      folder: For the message.

    Raises:
      InputError: They are not one experiment's.
    """
    # More seeds are more runs than a budget was made for.
    free = ("seeds",) if stored.budget_seconds is None else ()
    for field in dataclasses.fields(Plan):
        name = field.name
        if name in ("epochs", "limit_train", "shortened", "images", *free):
            continue
        had, wanted = getattr(stored, name), getattr(asked, name)
        if had != wanted:
            called = name.removeprefix("asked_").replace("_", " ")
            raise InputError(
                f"{folder} holds this experiment with {called} {had}, not {wanted}:"
                " give the same command to go on, or another --out"
            )
    if None not in (stored.images, asked.images) and stored.images != asked.images:
        raise InputError(
            f"{folder} holds this experiment on other images of {asked.dataset}: name another --out"
        )
    return dataclasses.replace(stored, seeds=asked.seeds, images=asked.images)


@dataclasses.dataclass(frozen=True)
class Job:
    """One run of an experiment.

    Attributes:
      variant: That trains.
      seed: Of everything random.
      recipe: What it trains with.
      tried: Whether it is one of the runs that look for a learning rate.
      folder: Its run folder.
    """

    variant: Variant
    seed: int
    recipe: Recipe
    tried: bool
    folder: Path

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        if (self.folder / _DIVERGED).exists():
            return True
        return runs.is_run(self.folder) and runs.read_run(self.folder).finished is not None

    @property
    def diverged_file(self) -> Path:
        """Where it is noted that the loss was no number."""
        return self.folder / _DIVERGED


def job(
    experiment: Experiment, plan: Plan, root: Path, variant: Variant, seed: int, rate: float | None
) -> Job:
    """Returns one run: `rate` is one to try or the one chosen, None is the recipe's."""
    recipe = experiment.recipe_of(variant, epochs=plan.epochs, rate=rate)
    name = variant.name.replace(" ", "-").replace(",", "")
    name += f"-seed-{seed}" + ("" if rate is None else f"-rate-{rate:g}")
    return Job(variant, seed, recipe, rate is not None and seed == 0, root / "runs" / name)


def all_jobs(experiment: Experiment, plan: Plan, root: Path) -> Iterator[Job]:
    """Yields as many runs as there will be, for sums; which rate is chosen is not known yet."""
    for seed in range(plan.seeds):
        for variant in experiment.trained():
            rates: tuple[float | None, ...] = (None,)
            if experiment.rates:
                rates = experiment.rates if seed == 0 else experiment.rates[:1]
            for rate in rates:
                yield job(experiment, plan, root, variant, seed, rate)


@dataclasses.dataclass(frozen=True)
class Speed:
    """What a variant's training takes here.

    Attributes:
      startup_seconds: Before the first update, and of judging the trained model, if need be.
      epoch_seconds: Of an epoch beside its updates: judging, saving.
      images_per_second: Of the updates.
    """

    startup_seconds: float
    epoch_seconds: float
    images_per_second: float

    def seconds(self, epochs: int, images: int) -> float:
        """Returns what a run takes."""
        return self.startup_seconds + epochs * (
            self.epoch_seconds + images / self.images_per_second
        )


def shorten(
    plan: Plan, jobs: list[Job], speeds: dict[str, Speed], images: int, spent: float = 0.0
) -> Plan:
    """Returns the plan that fits its budget: fewer epochs, then fewer images, for all alike.

    Args:
      plan: With a budget.
      jobs: All runs.
      speeds: By variant name.
      images: Training images of the plan, with all of the set counted.
      spent: Seconds of the budget that are gone.

    Raises:
      InputError: The budget is too small for anything.
    """
    asked = plan.budget_seconds or 0.0
    budget = asked - spent
    full_epochs = max(job.recipe.epochs for job in jobs)

    def seconds(epochs: int, images: int) -> float:
        return sum(
            speeds[job.variant.name].seconds(min(epochs, job.recipe.epochs), images) for job in jobs
        )

    full = seconds(full_epochs, images)
    if full <= budget:
        return plan
    fewest_epochs = max(1, round(full_epochs * _FEWEST_EPOCHS_SHARE))
    fewest_images = min(images, _FEWEST_BATCHES * max(job.recipe.batch_size for job in jobs))
    epochs, kept = full_epochs, images
    while epochs > fewest_epochs and seconds(epochs, kept) > budget:
        epochs -= 1
    fixed = seconds(epochs, 0)
    if seconds(epochs, kept) > budget:
        per_image = (seconds(epochs, kept) - fixed) / kept
        kept = int((budget - fixed) / per_image)
    if kept < fewest_images:
        least = seconds(fewest_epochs, fewest_images)
        raise InputError(
            f"--budget {duration(asked)} is too short for {len(jobs)} runs: {fewest_epochs} "
            f"epoch{'s' if fewest_epochs > 1 else ''} of {fewest_images:,} images take about "
            f"{duration(least)} here"
        )
    speed = min(speed.images_per_second for speed in speeds.values())
    sentence = (
        f"Shortened to fit {duration(asked)}: {epochs} epochs of {kept:,} images instead of "
        f"{full_epochs} of {images:,}, which would take up to {duration(full)} at the "
        f"{speed:,.0f} images/s measured before the start."
    )
    return dataclasses.replace(
        plan,
        epochs=epochs if epochs < full_epochs else plan.epochs,
        limit_train=kept if kept < images else plan.limit_train,
        shortened=sentence,
    )


def duration(seconds: float) -> str:
    """Returns 30 as "30 seconds", 754 as "13 minutes", 7500 as "2.1 hours"."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def parse_budget(text: str | None) -> float | None:
    """Reads "30m", "2h" or "90s" as seconds.

    Raises:
      InputError: It is none of them, or not above 0.
    """
    if text is None:
        return None
    units = {"s": 1, "m": 60, "h": 3600}
    try:
        seconds = float(text[:-1]) * units[text[-1:]]
    except (ValueError, KeyError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InputError(f"--budget takes minutes (30m), hours (2h) or seconds. Received: {text!r}")
    return seconds
