"""What an experiment is: a claim, variants of a recipe that test it, and metrics to compare them.

No TensorFlow.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from alexnet_tf.recipes import get_recipe
from alexnet_tf.run_record import EpochRecord
from alexnet_tf.settings import Recipe

TARGET_TRAINING_ERROR = 0.25  # of figure 1 of the paper
PUBLISHED_CIFAR10_ERROR = 1 - 0.7761
_PLATEAU_FRACTION = 0.98  # of the chance-level loss


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """What metrics are computed from.

    Attributes:
      diverged: Whether the loss or a weight became NaN, infinite or huge.
      evaluation: Errors 0..1 of the trained model on the test images, "center_crop" and "ten_crop",
        and the number of "examples"; empty where no metric needs the trained model.
    """

    history: list[EpochRecord]
    num_classes: int
    diverged: bool = False
    evaluation: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number computed from a run. Lower is better.

    Attributes:
      title: Its name in tables.
      unit: "%" (of a fraction 0..1), "epochs", "runs" (1 or 0), or "".
      measure: Computes it; None if the run diverged or never reached the target.
      is_final: Whether later epochs cannot change the number, so that the run may end.
      uses_training_set_only: Whether a learning rate may be selected by it.
      needs_model: Whether it needs the trained model, instead of the history alone.
    """

    title: str
    unit: str
    measure: Callable[[FinishedRun], float | None]
    is_final: Callable[[EpochRecord], bool] = lambda record: False
    uses_training_set_only: bool = False
    needs_model: bool = False


def _last(field: str) -> Callable[[FinishedRun], float | None]:
    """Returns the metric that is a field of the last epoch's record."""
    return lambda run: getattr(run.history[-1], field) if run.history and not run.diverged else None


def epochs_until(errors: list[float], target: float) -> float | None:
    """Returns after how many epochs the error reaches `target`, or None if it never does.

    `errors` has one per epoch, 0..1; between two epochs they are interpolated linearly.
    """
    for epoch, error in enumerate(errors, 1):
        if error <= target:
            before = errors[epoch - 2] if epoch > 1 else error
            fraction = (before - target) / (before - error) if before > error else 1.0
            return epoch - 1 + fraction
    return None


def _epochs_to_training_error(run: FinishedRun) -> float | None:
    return epochs_until([r.training_top1_error for r in run.history], TARGET_TRAINING_ERROR)


def _epochs_to_published_accuracy(run: FinishedRun) -> float | None:
    """Returns the first epoch after which the test error is below the published one, or None."""
    for record in run.history:
        error = record.validation_top1_error
        if error is not None and error < PUBLISHED_CIFAR10_ERROR:
            return float(record.epoch)
    return None


def _plateaued(run: FinishedRun) -> float:
    """Returns 1 if the last epoch's loss is at chance level or the run diverged, otherwise 0."""
    if run.diverged or not run.history:
        return 1.0
    chance_level_loss = math.log(run.num_classes)
    return float(not run.history[-1].training_loss < _PLATEAU_FRACTION * chance_level_loss)


METRICS = {
    "test_error": Metric("test error", "%", _last("validation_top1_error")),
    "training_error": Metric(
        "training error", "%", _last("training_top1_error"), uses_training_set_only=True
    ),
    "training_loss": Metric(
        "training loss", "", _last("training_loss"), uses_training_set_only=True
    ),
    "epochs_to_training_error": Metric(
        f"epochs until {TARGET_TRAINING_ERROR:.0%} training error",
        "epochs",
        _epochs_to_training_error,
        is_final=lambda record: record.training_top1_error <= TARGET_TRAINING_ERROR,
        uses_training_set_only=True,
    ),
    "epochs_to_published_accuracy": Metric(
        f"epochs until {1 - PUBLISHED_CIFAR10_ERROR:.2%} test accuracy",
        "epochs",
        _epochs_to_published_accuracy,
    ),
    "plateaued_at_chance_level": Metric(
        "runs at chance level", "runs", _plateaued, uses_training_set_only=True
    ),
    "center_crop_error": Metric(
        "test error", "%", lambda run: run.evaluation.get("center_crop"), needs_model=True
    ),
    "ten_crop_error": Metric(
        "test error", "%", lambda run: run.evaluation.get("ten_crop"), needs_model=True
    ),
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One of the networks or trainings that an experiment compares.

    Attributes:
      name: Its name in tables and run folders.
      changes: Arguments of `Recipe.replace`, and "network": arguments of `Network.replace`.
      evaluates: The variant whose runs this one evaluates by `metric`; None: it trains its own.
      metric: Name of the metric, in place of the experiment's first.
      published: The published value of the metric, to be reached; None: there is none.
    """

    name: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    evaluates: str | None = None
    metric: str | None = None
    published: float | None = None


@dataclasses.dataclass(frozen=True)
class Pair:
    """Names of two variants of which the claim says that one is better.

    Attributes:
      paper: The paper's difference in points, or its factor if the experiment `compares_ratio`;
        None: the paper gives none.
      more_than: Whether the paper says "more than" that.
    """

    better: str
    worse: str
    paper: float | None = None
    more_than: bool = False


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A claim and how it is tested.

    Attributes:
      name: The argument of the command `experiment`.
      claim: One sentence.
      variants: What is compared.
      recipe: Name of the recipe that the variants change.
      section: The paper's section; "" for claims that are not the paper's.
      paper_result: The paper's result, in words.
      metrics: Names in `METRICS`; the claim is about the first.
      expected: Which variants should be better than which.
      equal_within: For the claim that all variants are equally good: how many points their means
        may differ by. With one pair in `expected`: by how many points `worse` may be worse.
      compares_ratio: Whether pairs are compared by ratio, instead of by difference.
      dataset: As `train` takes it.
      limit_train: Number of training images, drawn by seed; None: all.
      limit_val: Number of test images; None: all.
      epochs: None: the recipe's.
      seeds: Number of seeds, from 0. All variants have the same images, order and crops per seed.
      changes: To the recipe of all variants, as `Variant.changes`.
      learning_rates: Tried by every variant with seed 0; the other seeds use the best. Empty: the
        recipe's. Needs a metric that uses the training set only.
      setting: How the test differs from the paper's, in sentences.
      limitation: Why the claim may not hold in this setting, in sentences.
    """

    name: str
    claim: str
    variants: tuple[Variant, ...]
    recipe: str = "cifar10-small"
    section: str = ""
    paper_result: str = ""
    metrics: tuple[str, ...] = ("test_error", "training_error")
    expected: tuple[Pair, ...] = ()
    equal_within: float | None = None
    compares_ratio: bool = False
    dataset: str = "cifar10"
    limit_train: int | None = 10_000
    limit_val: int | None = None
    epochs: int | None = None
    seeds: int = 3
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    learning_rates: tuple[float, ...] = ()
    setting: str = ""
    limitation: str = ""

    @property
    def metric(self) -> Metric:
        """The metric that the claim is about."""
        return METRICS[self.metrics[0]]

    @property
    def all_metrics(self) -> tuple[str, ...]:
        """Names of the metrics of the experiment and of its variants."""
        own = (variant.metric for variant in self.variants if variant.metric)
        return tuple(dict.fromkeys((*self.metrics, *own)))

    @property
    def needs_models(self) -> bool:
        """Whether a metric needs the trained models."""
        return any(METRICS[name].needs_model for name in self.all_metrics)

    @property
    def trained_variants(self) -> tuple[Variant, ...]:
        """The variants that train their own runs."""
        return tuple(variant for variant in self.variants if variant.evaluates is None)

    def recipe_for(
        self, variant: Variant, *, epochs: int | None = None, learning_rate: float | None = None
    ) -> Recipe:
        """Returns the recipe of a variant; given epochs and learning rate replace its own."""
        recipe = get_recipe(self.recipe)
        network, fields = recipe.network, {}
        for changes in (self.changes, variant.changes):
            network = network.replace(**changes.get("network", {}))
            fields.update({name: value for name, value in changes.items() if name != "network"})
        recipe = recipe.replace(network=network).replace(**fields)
        chosen = {"epochs": epochs or self.epochs, "learning_rate": learning_rate}
        return recipe.replace(**{name: value for name, value in chosen.items() if value})
