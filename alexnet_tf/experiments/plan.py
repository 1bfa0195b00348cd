"""What an experiment's folder records before its results: the plan, the runs, and their provenance.

No TensorFlow.
"""

import dataclasses
import functools
import json
import platform
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from alexnet_tf import runs
from alexnet_tf.errors import InputError
from alexnet_tf.experiments.definition import Experiment, Variant
from alexnet_tf.files import write_json
from alexnet_tf.settings import Recipe
from alexnet_tf.system import available_cores

VERSION = 2  # of the format of plan.json and results.json
PROVENANCE = "provenance.json"  # in an experiment's folder: by run folder
_SOURCES = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Plan:
    """An experiment with the user's choices.

    Attributes:
      epochs: Epochs of every variant; None: each variant's recipe's.
      limit_train: Number of training images, or None for all.
      limit_val: Number of images to evaluate on, or None for all.
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


def new_plan(experiment: Experiment, **given: Any) -> Plan:
    """Returns the experiment's own plan, with the given fields of `Plan` that are not None."""
    given = {name: value for name, value in given.items() if value is not None}
    if "limit_val" in given and experiment.needs_models:
        raise InputError(
            f"--limit-val: {experiment.name} evaluates its networks on all images: leave it out"
        )
    epochs = max(experiment.recipe_for(each).epochs for each in experiment.trained_variants)
    fewer = [
        f"{count:,} {thing.format('' if count == 1 else 's')} instead of "
        f"{'all' if own is None else f'{own:,}'}"
        for name, thing, own in (
            ("seeds", "seed{}", experiment.seeds),
            ("epochs", "epoch{}", epochs),
            ("limit_train", "training image{}", experiment.limit_train),
            ("limit_val", "image{} to evaluate on", experiment.limit_val),
        )
        if (count := given.get(name)) is not None and (own is None or count < own)
    ]
    names = ("dataset", "seeds", "epochs", "limit_train", "limit_val")
    values = {name: getattr(experiment, name) for name in names} | given
    shortened = f"Shortened: {', '.join(fewer)}." if fewer else ""
    return Plan(experiment.name, **values, shortened=shortened)


def read_plan(path: Path) -> Plan:
    """Returns the plan in a file; raises InputError if it is damaged or another version's."""
    values = read_versioned(path, "give another --out")
    with damage_reported(path, "give another --out"):
        plan = Plan(**values)
        for name in ("seeds", "epochs", "limit_train", "limit_val"):
            if not isinstance(getattr(plan, name), int | None):
                raise TypeError(f"{name} is not a whole number: {getattr(plan, name)!r}")
    return plan


@contextmanager
def damage_reported(path: Path, remedy: str) -> Iterator[None]:
    """Turns errors in reading a JSON file into an InputError that names it and the remedy."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error}): {remedy}") from None


def read_versioned(path: Path, remedy: str) -> dict[str, Any]:
    """Returns the object in a JSON file without its version, which must be this package's."""
    with damage_reported(path, remedy):
        values = dict(json.loads(path.read_text(encoding="utf-8")))
    if values.pop("version", 1) != VERSION:
        raise InputError(f"{path} was written by another version of this package: {remedy}")
    return values


def check_resumable(stored: Plan, given: Plan, folder: Path) -> Plan:
    """Returns the plan with which a folder is resumed: only the number of seeds may differ."""
    for name in ("experiment", "dataset", "epochs", "limit_train", "limit_val", "precision"):
        old, new = getattr(stored, name), getattr(given, name)
        if old != new:
            raise InputError(
                f"{folder} has this experiment with {name.replace('_', ' ')} {old}, not {new}: "
                "give the same command to resume, or another --out"
            )
    if None not in (stored.images, given.images) and stored.images != given.images:
        raise InputError(
            f"{folder} has this experiment on other images of {given.dataset}: give another --out"
        )
    return dataclasses.replace(given, images=given.images or stored.images)


@dataclasses.dataclass(frozen=True)
class Job:
    """One run of an experiment.

    `learning_rate` is the one tried or selected, or None for the recipe's; `recipe` includes it.
    """

    variant: Variant
    seed: int
    learning_rate: float | None
    recipe: Recipe
    folder: Path

    @property
    def title(self) -> str:
        """Variant, seed and learning rate, for messages."""
        rate = "" if self.learning_rate is None else f", learning rate {self.learning_rate:g}"
        return f"{self.variant.name}, seed {self.seed}{rate}"

    @property
    def diverged_file(self) -> Path:
        """The file that exists if the run diverged."""
        return self.folder / "diverged.json"

    @property
    def is_finished(self) -> bool:
        """Whether the run is trained to its end or diverged."""
        if self.diverged_file.exists():
            return True
        return runs.is_run(self.folder) and runs.read_run(self.folder).finished is not None


def new_job(
    experiment: Experiment,
    plan: Plan,
    root: Path,
    variant: Variant,
    seed: int,
    learning_rate: float | None = None,
) -> Job:
    """Returns one run of the experiment in the folder `root`; arguments as in `Job`."""
    recipe = experiment.recipe_for(variant, epochs=plan.epochs, learning_rate=learning_rate)
    name = variant.name.replace(" ", "-").replace(",", "") + f"-seed-{seed}"
    name += "" if learning_rate is None else f"-rate-{learning_rate:g}"
    return Job(variant, seed, learning_rate, recipe, root / "runs" / name)


def first_jobs(experiment: Experiment, plan: Plan, root: Path, variant: Variant) -> list[Job]:
    """Returns a variant's runs with seed 0: one for each learning rate tried."""
    rates = experiment.learning_rates or (None,)
    return [new_job(experiment, plan, root, variant, 0, rate) for rate in rates]


class Provenance(NamedTuple):
    """What a run's numbers depend on besides its recipe, seed and images.

    Attributes:
      commit: Commit of the package, with "+" if files were changed; None: not in a repository.
      cores: Number of cores that the process may use, which changes the order of summation.
    """

    commit: str | None
    cores: int

    def machine(self, devices: Sequence[str]) -> str:
        """Returns what a run on these devices was computed on: "2 x86_64 cores", or "2 GPUs"."""
        gpus = sum("GPU" in device for device in devices)
        count, kind = (gpus, "GPU") if gpus else (self.cores, f"{platform.machine()} core")
        return f"{count} {kind}{'s' if count > 1 else ''}"


@functools.cache
def current_provenance() -> Provenance:
    """Returns this process's provenance at the first call: its code does not change later."""
    return Provenance(_commit(), available_cores())


def read_provenance(root: Path) -> dict[str, Provenance]:
    """Returns the provenance of an experiment's runs, by folder name."""
    path = root / PROVENANCE
    if not path.is_file():
        return {}
    with damage_reported(path, "give another --out"):
        known = json.loads(path.read_text(encoding="utf-8"))
        return {name: Provenance(**values) for name, values in known.items()}


def record_provenance(root: Path, folder: str) -> None:
    """Records that a run is started by this process."""
    known = {**read_provenance(root), folder: current_provenance()}
    write_json(root / PROVENANCE, {name: each._asdict() for name, each in known.items()})


def _commit() -> str | None:
    """Returns `Provenance.commit` as the files are now."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(_SOURCES), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # A package that is installed into someone else's repository has no commit.
        git("ls-files", "--error-unmatch", "alexnet_tf/__init__.py")
        name = git("rev-parse", "--short=9", "HEAD")
        return name + ("+" if git("status", "--porcelain", "--", "alexnet_tf") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
