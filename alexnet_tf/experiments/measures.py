"""What is read off a run: numbers by which variants are compared. Lower is better in all."""

import dataclasses
import math
from collections.abc import Callable

from alexnet_tf.experiments.definition import Experiment
from alexnet_tf.run_record import EpochRecord

History = list[EpochRecord]
TARGET_TRAINING_ERROR = 0.25  # of figure 1
PUBLISHED_CIFAR10_ERROR = 1 - 0.7761
STUCK_SHARE = 0.98  # of the loss of guessing


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run, as its folder has it.

    Attributes:
      history: A record an epoch.
      classes: How many there are.
      diverged: Whether its loss was no number in the end.
      judged: Errors of its model on the test images as `evaluate` counts them: "center_crop" and
        "ten_crop", with the "examples" judged; empty where no metric asks for them.
    """

    history: History
    classes: int
    diverged: bool = False
    judged: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number of a run.

    Attributes:
      title: For tables.
      unit: "%" (of a share 0..1), "epochs", "runs" (1 or 0), or "".
      measure: The number; None: there is none, as the run diverged or never got there.
      done: Whether a run has nothing more to tell after this epoch's record.
      of_training: Whether the test images play no part, so that it may choose.
      judges: Whether the trained model is needed.
    """

    title: str
    unit: str
    measure: Callable[[Run], float | None]
    done: Callable[[EpochRecord], bool] = lambda record: False
    of_training: bool = False
    judges: bool = False


def _last(name: str) -> Callable[[Run], float | None]:
    """Returns the metric that is a number of the last epoch's record."""

    def measure(run: Run) -> float | None:
        return None if run.diverged or not run.history else getattr(run.history[-1], name)

    return measure


def epochs_until(errors: list[float], target: float) -> float | None:
    """Returns after how many epochs the errors come down to `target`, None if they never do.

    Between two epochs the error is taken to fall in a straight line; it starts where the first
    epoch's is.

    Args:
      errors: Shares 0..1, one an epoch.
      target: A share.
    """
    for epoch, error in enumerate(errors, 1):
        if error <= target:
            before = errors[epoch - 2] if epoch > 1 else error
            share = (before - target) / (before - error) if before > error else 1.0
            return epoch - 1 + share
    return None


def _epochs_to_training_error(run: Run) -> float | None:
    return epochs_until([r.training_top1_error for r in run.history], TARGET_TRAINING_ERROR)


def _epochs_to_published(run: Run) -> float | None:
    """Returns the first epoch after which the test error is below the published one."""
    for record in run.history:
        if (
            record.validation_top1_error is not None
            and record.validation_top1_error < PUBLISHED_CIFAR10_ERROR
        ):
            return float(record.epoch)
    return None


def _stuck(run: Run) -> float:
    """Returns 1 for a run whose last epoch is no better than guessing, or diverged; else 0."""
    if run.diverged or not run.history:
        return 1.0
    return float(not run.history[-1].training_loss < STUCK_SHARE * math.log(run.classes))


def _judged(name: str) -> Callable[[Run], float | None]:
    return lambda run: run.judged.get(name)


METRICS = {
    "test_error": Metric("test error", "%", _last("validation_top1_error")),
    "training_error": Metric("training error", "%", _last("training_top1_error"), of_training=True),
    "training_loss": Metric("training loss", "", _last("training_loss"), of_training=True),
    "epochs_to_training_error": Metric(
        f"epochs until {TARGET_TRAINING_ERROR:.0%} training error",
        "epochs",
        _epochs_to_training_error,
        done=lambda record: record.training_top1_error <= TARGET_TRAINING_ERROR,
        of_training=True,
    ),
    "epochs_to_published": Metric(
        f"epochs until {1 - PUBLISHED_CIFAR10_ERROR:.2%} are right", "epochs", _epochs_to_published
    ),
    "stuck": Metric("runs that stick", "runs", _stuck, of_training=True),
    "center_crop_error": Metric("test error", "%", _judged("center_crop"), judges=True),
    "ten_crop_error": Metric("test error", "%", _judged("ten_crop"), judges=True),
}


def judges(experiment: Experiment) -> bool:
    """Returns whether any of an experiment's metrics needs the trained models."""
    of_variants = [variant.metric for variant in experiment.variants if variant.metric]
    return any(METRICS[name].judges for name in (*experiment.metrics, *of_variants))
