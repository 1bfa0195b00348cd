"""The plan of an experiment: data set, seeds, epochs, and the runs they give. No TensorFlow."""

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

_DIVERGED = "diverged.json"


@dataclasses.dataclass(frozen=True)
class Plan:
    """An experiment with the user's choices.

    Attributes:
      experiment: The experiment's name.
      dataset: The data set, as `train` takes it.
      seeds: Number of seeds.
      epochs: Epochs of every variant; None: each variant's recipe's.
      limit_train: Number of training images, or None for all.
      limit_val: Number of images to evaluate on, or None for all.
      precision: "auto", "float32" or "bfloat16".
      shortened: The sentence that says what the user reduced, or "".
      images: Fingerprint of the images, whatever the data set is called; None: not computed yet.
    """

    experiment: str
    dataset: str
    seeds: int
    epochs: int | None
    limit_train: int | None
    limit_val: int | None
    precision: str = "auto"
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
) -> Plan:
    """Returns the experiment's own plan with the given values in place of its own.

    Raises:
      InputError: A limit was given for images that are all evaluated.
    """
    if limit_val is not None and judges(experiment):
        raise InputError(
            f"--limit-val: {experiment.name} evaluates its networks on all images: leave it out"
        )
    return Plan(
        experiment=experiment.name,
        dataset=dataset or experiment.dataset,
        seeds=seeds or experiment.seeds,
        epochs=epochs or experiment.epochs,
        limit_train=limit_train or experiment.limit_train,
        limit_val=limit_val or experiment.limit_val,
        precision=precision,
        shortened=_shortened(
            ("seeds", experiment.seeds, seeds),
            ("epochs", _own_epochs(experiment), epochs),
            ("training images", experiment.limit_train, limit_train),
            ("images to evaluate on", experiment.limit_val, limit_val),
        ),
    )


def _own_epochs(experiment: Experiment) -> int:
    """Returns the most epochs that a variant trains for by itself."""
    return max(experiment.recipe_of(variant).epochs for variant in experiment.trained())


def _shortened(*choices: tuple[str, int | None, int | None]) -> str:
    """Returns the sentence that says what is fewer than in the experiment, or "".

    Args:
      *choices: A name, the experiment's own number (None: all) and the given one (None: its own).
    """
    fewer = [
        f"{given:,} {name} instead of {'all' if own is None else f'{own:,}'}"
        for name, own, given in choices
        if given is not None and (own is None or given < own)
    ]
    return f"Shortened: {', '.join(fewer)}." if fewer else ""


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
    """Returns the plan to resume in a folder: only the number of seeds may be new.

    Args:
      stored: Of the folder.
      asked: The command's.
      folder: For the message.

    Raises:
      InputError: They are not one experiment's.
    """
    for field in dataclasses.fields(Plan):
        name = field.name
        if name in ("seeds", "shortened", "images"):
            continue
        had, wanted = getattr(stored, name), getattr(asked, name)
        if had != wanted:
            called = name.replace("_", " ")
            raise InputError(
                f"{folder} holds this experiment with {called} {had}, not {wanted}:"
                " give the same command to resume, or another --out"
            )
    if None not in (stored.images, asked.images) and stored.images != asked.images:
        raise InputError(
            f"{folder} holds this experiment on other images of {asked.dataset}: name another --out"
        )
    return dataclasses.replace(asked, images=asked.images or stored.images)


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
