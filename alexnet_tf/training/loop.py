"""The loop: epochs of updates, validation, the schedule, and a state that can be put away."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from alexnet_tf.data.examples import Examples
from alexnet_tf.data.pipeline import steps_per_epoch
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.errors import TrainingError
from alexnet_tf.settings import Recipe
from alexnet_tf.training.clock import StepClock
from alexnet_tf.training.input import TrainingInput
from alexnet_tf.training.machine import Machine
from alexnet_tf.training.optimizers import make_optimizer
from alexnet_tf.training.reporting import EpochBar, Screen
from alexnet_tf.training.schedule import RateSchedule
from alexnet_tf.training.steps import Totals
from alexnet_tf.training.stopping import StopRequest
from alexnet_tf.training.towers import step_for
from alexnet_tf.training.trouble import divergence, guessing_loss, stall_message
from alexnet_tf.training.validation import validate, validation_record

if TYPE_CHECKING:
    from alexnet_tf.training.saving import Saver

_SECONDS_PER_CALL = 0.5  # updates in one call into the graph: as many as fit
_STEPS_PER_CALL_OF_WORKERS = 4


class StoppedError(Exception):
    """The run was asked to stop, and is saved."""


class Trainer:
    """A run in progress.

    Args:
      model: Built under the machine's scope.
      recipe: How to train it.
      machine: Where.
      train: Training examples.
      validation: Validation examples, or None.
      decides: Whether validation chooses the rate and the best epoch.
      statistics: Of the training set.
      seed: Of everything random.
      epochs: To train for.
      screen: Where progress is shown.
      class_weights: What a class counts for in the loss, float32 by class number; None: all alike.
    """

    def __init__(
        self,
        model: keras.Model,
        recipe: Recipe,
        machine: Machine,
        *,
        train: Examples,
        validation: Examples | None,
        decides: bool,
        statistics: Statistics,
        seed: int,
        epochs: int,
        screen: Screen,
        class_weights: np.ndarray | None = None,
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.stalled: str | None = None
        self.seconds = 0.0
        self._epoch = 0
        self._done = 0  # updates in this epoch
        self._totals = Totals()
        self._voted = False  # whether any worker wanted to stop before the last call
        self._earlier_seconds = 0.0  # of this epoch, before a resume inside it
        self._clock = StepClock()
        self._recipe = recipe
        self._machine = machine
        self._train = train
        self._validation = validation
        self._decides = decides
        self._screen = screen
        self._input = TrainingInput(machine, train, recipe, statistics, seed, class_weights)
        self._schedule = RateSchedule(recipe)
        self._steps = steps_per_epoch(len(train), recipe.batch_size)
        self._guessing_loss = guessing_loss(train.labels, balanced=class_weights is not None)
        self._validation_seconds = 0.0
        with machine.strategy.scope():
            self.optimizer = make_optimizer(recipe, self._steps)
            self.optimizer.build(model.trainable_variables)
        self._step = step_for(machine, model, self.optimizer, recipe, seed)

    def run(
        self,
        saver: "Saver",
        stop: StopRequest,
        on_epoch: Callable[[dict[str, Any]], bool] | None = None,
    ) -> None:
        """Trains until the epochs are done.

        Args:
          saver: Puts the state away after each epoch, and inside one when it says so.
          stop: Looked at after each call into the graph; the last of an epoch is saved with it.
          on_epoch: Called with each epoch's record; True ends the run early.

        Raises:
          DivergedError: The loss is not a number any more.
          StoppedError: `stop` was asked for; the state is saved.
        """
        self._screen.header()
        for record in self.history:
            self._screen.epoch(record, self.epochs)
        while self._epoch < self.epochs:
            record = self._run_epoch(saver, stop)
            self._step.to_model()
            started = time.monotonic()
            self._epoch += 1
            self._done, self._totals, self._earlier_seconds = 0, Totals(), 0.0
            self.history.append(record)
            improved = self._judge(record)
            self.seconds += record["seconds"] + time.monotonic() - started
            saver.epoch(improved)
            self._screen.epoch(record, self.epochs)
            if self.stalled is None:
                self.stalled = stall_message(record, self._guessing_loss, self._recipe)
                if self.stalled is not None:
                    self._screen.warn(self.stalled)
            if on_epoch is not None and on_epoch(record):
                return
            if self._stops(stop) and self._epoch < self.epochs:
                raise StoppedError(f"stopped after epoch {self._epoch} of {self.epochs}; saved")

    def state(self) -> dict[str, Any]:
        """Returns what, with `tensors`, is enough to go on from here."""
        return {
            "epoch": self._epoch,
            "step": int(self.optimizer.iterations.numpy()),
            "done_in_epoch": self._done,
            "totals": dataclasses.asdict(self._totals),
            "epoch_seconds": self._epoch_seconds if self._done else 0.0,
            "schedule": self._schedule.state(),
            "best": self.best,
            "history": self.history,
            "seconds": self.seconds,
            "stalled": self.stalled,
        }

    def tensors(self) -> dict[str, np.ndarray]:
        """Returns the model's weights and the velocities, by name."""
        return {name: variable.numpy() for name, variable in self._variables().items()}

    def preview(self, count: int) -> np.ndarray:
        """Returns the run's first images, augmented; see `TrainingInput.preview`."""
        return self._input.preview(count, self.model.get_layer("mean").mean)

    def restore(self, tensors: dict[str, np.ndarray], state: dict[str, Any]) -> None:
        """Goes on from what `tensors` and `state` gave.

        Raises:
          TrainingError: The tensors are another network's.
        """
        variables = self._variables()
        if variables.keys() != tensors.keys():
            different = sorted(variables.keys() ^ tensors.keys())
            raise TrainingError(f"the checkpoint is of another network: {different[:4]} differ")
        for name, variable in variables.items():
            variable.assign(tensors[name])
        self.optimizer.iterations.assign(state["step"])
        self._step.from_model()
        self._epoch = state["epoch"]
        self._done = state["done_in_epoch"]
        self._totals = Totals(**state["totals"])
        self._earlier_seconds = state["epoch_seconds"]
        self._schedule.restore(state["schedule"])
        self.best = state["best"]
        self.history = state["history"]
        self.seconds = state["seconds"]
        self.stalled = state["stalled"]

    def _variables(self) -> dict[str, keras.Variable]:
        """Returns everything that training changes, by name.

        Seed generators are left out: masks are drawn by position, and their names are not stable.
        """
        lasting = (v for v in self.model.variables if "seed_generator" not in v.path)
        variables = {f"model/{v.path}": v for v in lasting}
        for name, slots in self.optimizer.slots().items():
            for slot, v in zip(slots, self.model.trainable_variables, strict=True):
                variables[f"{name}/{v.path}"] = slot
        scale = self._step.loss_scale
        if scale is not None:
            variables |= {"loss_scale/value": scale.value, "loss_scale/in_row": scale.good_in_row}
        return variables

    @property
    def _epoch_seconds(self) -> float:
        """Spent on this epoch's updates so far."""
        return self._earlier_seconds + self._clock.seconds

    def _run_epoch(self, saver: "Saver", stop: StopRequest) -> dict[str, Any]:
        """Makes the updates of one epoch and returns its record, without validation."""
        rates = self._schedule.rates(self._epoch)
        self._step.set_rates(rates)
        colors = self._train.channels == 3 and self._recipe.lighting_std > 0
        lighting = rates.lighting and colors
        batches = self._input.epoch(self._epoch, lighting, skip_batches=self._done)
        totals, self._clock = self._totals, StepClock(self._totals.examples)
        with self._screen.epoch_bar(self._epoch + 1, self.epochs, self._steps) as bar:
            while self._done < self._steps:
                steps = self._clock.steps_in(_SECONDS_PER_CALL)
                if self._machine.workers > 1:  # their clocks differ, their calls must not
                    steps = _STEPS_PER_CALL_OF_WORKERS
                updates = int(self.optimizer.iterations.numpy())
                limits = (self._steps - self._done, saver.steps_until_due(updates))
                steps = min([steps, *(limit for limit in limits if limit is not None)])
                with saver.watching():
                    sums = self._step(batches, steps, stop.asked, lighting)
                totals.add(sums)
                self._done += steps
                if not math.isfinite(totals.loss_sum):
                    raise divergence(self._epoch + 1, self._done, self._steps, self._recipe)
                self._clock.tick(steps, totals.examples)
                self._show(bar)
                self._voted = bool(sums[-1] > 0)
                if self._done < self._steps:
                    self._save_inside_epoch(saver, self._stops(stop))
        seconds, step = self._epoch_seconds, int(self.optimizer.iterations.numpy())
        return {
            "epoch": self._epoch + 1,
            "step": step,
            "learning_rate": rates.learning_rate * self.optimizer.warm_up(step),
            "training_loss": totals.loss,
            "training_top1_error": totals.top1_error,
            "training_top5_error": totals.top5_error,
            "images_per_second": self._clock.images_per_second,
            "waiting_share": totals.waiting_seconds / max(seconds, 1e-9),
            "seconds": seconds,
        }

    def _stops(self, stop: StopRequest) -> bool:
        """Returns whether the run is to stop; of several workers all stop at the same update."""
        return stop.asked if self._machine.workers == 1 else self._voted

    def _save_inside_epoch(self, saver: "Saver", stops: bool) -> None:
        """Saves if it is time to, or if the run is to stop, which it then does."""
        if stops or saver.is_due(int(self.optimizer.iterations.numpy())):
            self._step.to_model()
            saver.checkpoint()
        if stops:
            raise StoppedError(
                f"stopped in epoch {self._epoch + 1} after update {self._done} of {self._steps}; "
                "saved"
            )

    def _show(self, bar: EpochBar) -> None:
        """Moves the bar; the time left is the whole run's, validation included."""
        epochs = self.epochs - self._epoch
        steps = epochs * self._steps - self._done
        bar.update(
            self._done,
            self._clock.images_per_second,
            steps * self._clock.seconds_per_step + epochs * self._validation_seconds,
            self._totals.loss,
            1 - self._totals.top1_error,
        )

    def _judge(self, record: dict[str, Any]) -> bool:
        """Adds validation to the record and returns whether the epoch is the best so far."""
        if self._validation is None:
            record.update(validation_record(None))
            return True
        started = time.monotonic()
        errors = validate(self.model, self._validation, self._machine)
        self._validation_seconds = time.monotonic() - started
        if not math.isfinite(errors.loss):  # the epoch's last update did it
            raise divergence(self._epoch, self._steps, self._steps, self._recipe)
        record.update(validation_record(errors))
        if not self._decides:
            return True
        key = (errors.top1_errors, errors.loss)
        improved = self.best is None or key < (self.best["top1_errors"], self.best["loss"])
        if improved:
            self.best = {
                "epoch": record["epoch"],
                "top1_errors": errors.top1_errors,
                "loss": errors.loss,
            }
        if self._schedule.observe(errors.top1_errors):
            rate = self._schedule.rates(self._epoch).learning_rate
            self._screen.message(
                f"validation error has stopped improving: learning rate is now {rate:.2g}"
            )
        return improved
