"""The learning rate of every variable at every update: schedule, biases, layers and warm-up."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from alexnet_tf import paper
from alexnet_tf.settings import Recipe


@dataclasses.dataclass(frozen=True)
class LearningRates:
    """The learning rates of one update."""

    kernels: float  # the schedule's, which most kernels use
    variables: np.ndarray  # float32 [variables]; 0 freezes a variable


@dataclasses.dataclass
class PlateauState:
    """State of the plateau rule.

    Attributes:
      reductions: How often the learning rate was reduced.
      best_errors: The lowest number of validation errors so far, or None.
      epochs_without_gain: Epochs since then, or since the last reduction.
    """

    reductions: int = 0
    best_errors: int | None = None
    epochs_without_gain: int = 0


class LearningRateSchedule:
    """Computes the learning rates of every update, by one of the schedules of `SCHEDULES`.

    Args:
      recipe: Its learning rates, and the epochs that the schedule is scaled to.
      steps_per_epoch: Updates in an epoch.
      variables: Paths of the trainable variables, such as "conv1/kernel".
      plateau: State of the plateau rule, which `observe` changes; None starts anew.

    Raises:
      ValueError: A layer that the recipe names has no variable.
    """

    def __init__(
        self,
        recipe: Recipe,
        steps_per_epoch: int,
        variables: Sequence[str],
        plateau: PlateauState | None = None,
    ) -> None:
        self.plateau = plateau or PlateauState()
        self._recipe = recipe
        self._steps_per_epoch = steps_per_epoch
        self._warm_up_steps = round(recipe.warm_up_epochs * steps_per_epoch)
        # "conv1/kernel" -> ("conv1", "kernel"); the model's name may stand before them.
        self._variables = [(path.split("/")[-2], path.split("/")[-1]) for path in variables]
        self._classifier = self._variables[-1][0]
        layers = list(dict.fromkeys(layer for layer, _ in self._variables))
        for name in recipe.frozen_layers:
            if name not in layers:
                raise ValueError(f"layer {name!r} has no weights to freeze (found: {layers})")

    def at(self, update: int) -> LearningRates:
        """Returns the learning rates of an update, counted from 0.

        Warm-up multiplies all of them: they rise linearly to the schedule's values (Goyal et al.,
        2017, section 2.2).
        """
        epoch, one = update // self._steps_per_epoch, np.float32(1)
        kernels = self._kernel_learning_rate(epoch)
        multipliers = [self._multiplier(*names, epoch, kernels) for names in self._variables]
        variables = np.float32(kernels) * np.array(multipliers, np.float32)
        if update < self._warm_up_steps:
            # In float32 and with the reciprocal, as earlier versions computed it: the results of a
            # seed must not change.
            reciprocal = one / np.float32(self._warm_up_steps)
            variables *= np.minimum(one, np.float32(update + 1) * reciprocal)
            kernels *= (update + 1) / self._warm_up_steps
        return LearningRates(kernels, variables)

    def has_lighting(self, epoch: int) -> bool:
        """Returns whether PCA lighting is on: the 2012 run turned it off near its end."""
        if self._recipe.schedule.kind != "2012":
            return True
        return epoch < self._scaled(paper.RUN_LIGHTING_OFF_EPOCH)

    def observe(self, top1_errors: int) -> bool:
        """Records an epoch's validation errors and returns whether the learning rate is reduced."""
        schedule, plateau = self._recipe.schedule, self.plateau
        if schedule.kind != "plateau":
            return False
        if plateau.best_errors is None or top1_errors < plateau.best_errors:
            plateau.best_errors, plateau.epochs_without_gain = top1_errors, 0
            return False
        plateau.epochs_without_gain += 1
        is_flat = plateau.epochs_without_gain >= schedule.patience_epochs
        if is_flat and plateau.reductions < schedule.reductions:
            plateau.reductions += 1
            plateau.epochs_without_gain = 0
            return True
        return False

    def _kernel_learning_rate(self, epoch: int) -> float:
        """Returns the schedule's learning rate in an epoch, without warm-up."""
        initial, schedule = self._recipe.learning_rate, self._recipe.schedule
        epochs = self._recipe.epochs
        if schedule.kind == "cosine":  # a run that trains for longer keeps the last learning rate
            return initial * (1 + math.cos(math.pi * min(epoch, epochs - 1) / epochs)) / 2
        if schedule.kind == "2012":
            reductions = sum(epoch >= self._scaled(e) for e in paper.RUN_LEARNING_RATE_EPOCHS)
        elif schedule.kind == "steps":
            reductions = sum(epoch >= step for step in schedule.step_epochs(epochs))
        else:  # "plateau"; a "constant" one is never reduced
            reductions = self.plateau.reductions
        return initial * schedule.factor**reductions

    def _multiplier(self, layer: str, name: str, epoch: int, kernels: float) -> float:
        """Returns a variable's learning rate as a multiple of `kernels`, above 0; 0 freezes it."""
        recipe, learning_rate = self._recipe, kernels
        initial = recipe.learning_rate
        if layer in recipe.frozen_layers:
            return 0.0
        if layer == "conv1" and not self.has_lighting(epoch):
            if epoch >= self._scaled(paper.RUN_CONV1_FROZEN_EPOCH):
                return 0.0
            learning_rate = initial * paper.RUN_CONV1_LEARNING_RATE / paper.LEARNING_RATE
        if name == "bias":
            factor = recipe.bias_learning_rate_factor
            learning_rate = kernels if factor is None else factor * initial
        if layer == self._classifier:
            learning_rate = recipe.classifier_learning_rate_factor * learning_rate
        return learning_rate / kernels

    def _scaled(self, epoch: int) -> int:
        """Returns an epoch of the 2012 run, scaled to the recipe's epochs."""
        return round(epoch * self._recipe.epochs / paper.RUN_EPOCHS)
