"""Learning rate schedules: plateau (section 5), the 2012 run, steps, cosine, constant."""

import dataclasses
import math
from typing import Any

from alexnet_tf import paper
from alexnet_tf.settings import Recipe


@dataclasses.dataclass(frozen=True)
class EpochRates:
    """Learning rates and switches of one epoch.

    Attributes:
      learning_rate: Learning rate of the kernels.
      bias_learning_rate: Learning rate of the biases.
      layers: Learning rates of the kernels of single layers, by layer name.
      frozen: Layers that are not updated.
      factors: Factors of the learning rates of single layers, kernel and bias, by layer name.
      lighting: Whether PCA lighting is on.
    """

    learning_rate: float
    bias_learning_rate: float
    layers: dict[str, float] = dataclasses.field(default_factory=dict)
    frozen: tuple[str, ...] = ()
    factors: dict[str, float] = dataclasses.field(default_factory=dict)
    lighting: bool = True


class RateSchedule:
    """Computes the learning rates of each epoch, and keeps the state of the plateau rule.

    Args:
      recipe: Its initial learning rate, kind of schedule, and the epochs that it is scaled to.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._schedule = recipe.schedule
        self._reductions = 0
        self._best_errors: int | None = None
        self._epochs_without_gain = 0

    def rates(self, epoch: int) -> EpochRates:
        """Returns the learning rates of an epoch, counted from 0."""
        first = self._recipe.learning_rate
        kind = self._schedule.kind
        if kind == "2012":
            falls = sum(epoch >= self._scaled(e) for e in paper.RUN_LEARNING_RATE_EPOCHS)
        elif kind == "steps":
            falls = sum(epoch >= round(s * self._recipe.epochs) for s in self._schedule.at_epochs)
        else:
            falls = self._reductions
        rate = first * self._schedule.factor**falls
        if kind == "cosine":  # a run that trains for longer keeps the last learning rate
            share = min(epoch, self._recipe.epochs - 1) / self._recipe.epochs
            rate = first * (1 + math.cos(math.pi * share)) / 2
        factor = self._recipe.bias_learning_rate_factor
        rates = EpochRates(
            rate,
            rate if factor is None else factor * first,
            frozen=self._recipe.frozen_layers,
            factors=self._classifier_factor(),
        )
        if kind != "2012" or epoch < self._scaled(paper.RUN_LIGHTING_OFF_EPOCH):
            return rates
        if epoch < self._scaled(paper.RUN_CONV1_FROZEN_EPOCH):
            conv1 = first * paper.RUN_CONV1_LEARNING_RATE / paper.LEARNING_RATE
            return dataclasses.replace(rates, layers={"conv1": conv1}, lighting=False)
        frozen = tuple({"conv1", *rates.frozen})
        return dataclasses.replace(rates, frozen=frozen, lighting=False)

    def _classifier_factor(self) -> dict[str, float]:
        """Returns the last layer's factor by its name, or nothing if it is 1."""
        network, factor = self._recipe.network, self._recipe.classifier_learning_rate_factor
        if factor == 1:
            return {}
        return {f"fc{len(network.convolutions) + len(network.hidden_units) + 1}": factor}

    def observe(self, top1_errors: int) -> bool:
        """Records an epoch's validation errors and returns whether to reduce the learning rate.

        Args:
          top1_errors: Number of wrong validation examples after the epoch.
        """
        if self._schedule.kind != "plateau":
            return False
        if self._best_errors is None or top1_errors < self._best_errors:
            self._best_errors = top1_errors
            self._epochs_without_gain = 0
            return False
        self._epochs_without_gain += 1
        if (
            self._epochs_without_gain < self._schedule.patience_epochs
            or self._reductions >= self._schedule.reductions
        ):
            return False
        self._reductions += 1
        self._epochs_without_gain = 0
        return True

    def state(self) -> dict[str, Any]:
        """Returns what `restore` needs, as plain values."""
        return {
            "reductions": self._reductions,
            "best_errors": self._best_errors,
            "epochs_without_gain": self._epochs_without_gain,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restores what `state()` returned."""
        self._reductions = state["reductions"]
        self._best_errors = state["best_errors"]
        self._epochs_without_gain = state["epochs_without_gain"]

    def _scaled(self, epoch: int) -> int:
        """Returns an epoch of the 2012 run, scaled to the recipe's epochs."""
        return round(epoch * self._recipe.epochs / paper.RUN_EPOCHS)
