"""The loop: epochs of updates, validation, the schedule, and a state that can be put away."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.examples import Examples
from alexnet_tf.data.pipeline import steps_per_epoch, training_batches
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.errors import TrainingError
from alexnet_tf.evaluation.evaluate import evaluate_examples
from alexnet_tf.settings import Recipe
from alexnet_tf.training.machine import Machine
from alexnet_tf.training.optimizer import PaperMomentum
from alexnet_tf.training.reporting import Screen
from alexnet_tf.training.schedule import RateSchedule
from alexnet_tf.training.steps import Totals, TrainingStep

_SECONDS_PER_CALL = 0.5  # updates in one call into the graph: as many as fit
_MOST_STEPS_PER_CALL = 50
_STALL_SHARE = 0.99  # of the loss of guessing
_STALL_STEPS = 300


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
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.stalled: str | None = None
        self.seconds = 0.0
        self._epoch = 0
        self._recipe = recipe
        self._machine = machine
        self._train = train
        self._validation = validation
        self._decides = decides
        self._statistics = statistics
        self._seed = seed
        self._screen = screen
        self._schedule = RateSchedule(recipe)
        self._steps = steps_per_epoch(len(train), recipe.batch_size)
        self._guessing_loss = _entropy(train.labels)
        self._validation_seconds = 0.0
        with machine.strategy.scope():
            self.optimizer = PaperMomentum(
                recipe.learning_rate, recipe.momentum, recipe.weight_decay
            )
            self.optimizer.build(model.trainable_variables)
        self._step = TrainingStep(
            model,
            self.optimizer,
            machine.strategy,
            seed=seed,
            lighting_divisor=recipe.lighting_divisor,
        )

    def run(self, save: Callable[[bool], None]) -> None:
        """Trains until the epochs are done.

        Args:
          save: Called after each epoch with whether it is the best so far.

        Raises:
          TrainingError: The loss is not a number any more.
        """
        self._screen.header()
        for record in self.history:
            self._screen.epoch(record, self.epochs)
        while self._epoch < self.epochs:
            started = time.monotonic()
            record = self._run_epoch()
            self._epoch += 1
            self.history.append(record)
            improved = self._judge(record)
            self.seconds += time.monotonic() - started
            save(improved)
            self._screen.epoch(record, self.epochs)
            self._watch_for_stall(record)

    def state(self) -> dict[str, Any]:
        """Returns what, with `tensors`, is enough to go on from here."""
        return {
            "epoch": self._epoch,
            "step": int(self.optimizer.iterations.numpy()),
            "schedule": self._schedule.state(),
            "best": self.best,
            "history": self.history,
            "seconds": self.seconds,
            "stalled": self.stalled,
        }

    def tensors(self) -> dict[str, np.ndarray]:
        """Returns the model's weights and the velocities, by name."""
        return {name: variable.numpy() for name, variable in self._variables().items()}

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
        self._epoch = state["epoch"]
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
        for velocity, v in zip(
            self.optimizer.velocities, self.model.trainable_variables, strict=True
        ):
            variables[f"velocity/{v.path}"] = velocity
        return variables

    def _batches(self, lighting: bool) -> Iterator[Any]:
        """Returns an iterator over this epoch's batches, distributed if need be."""
        strategy = self._machine.strategy

        def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
            workers = context.num_input_pipelines
            return training_batches(
                self._train,
                self._recipe,
                self._statistics,
                seed=self._seed,
                epoch=self._epoch,
                batch_size=self._recipe.batch_size,
                worker=context.input_pipeline_id,
                workers=workers,
                replicas=context.num_replicas_in_sync // workers,
                lighting=lighting,
            )

        if self._machine.strategy_name == "single":
            return iter(dataset(tf.distribute.InputContext()))
        return iter(strategy.distribute_datasets_from_function(dataset))

    def _run_epoch(self) -> dict[str, Any]:
        """Makes the updates of one epoch and returns its record, without validation."""
        rates = self._schedule.rates(self._epoch)
        self.optimizer.set_rates(
            rates.learning_rate,
            biases=rates.bias_learning_rate,
            layers=rates.layers,
            frozen=rates.frozen,
        )
        batches = self._batches(rates.lighting)
        totals = Totals()
        clock = _Clock()
        done, steps_per_call = 0, 1
        with self._screen.epoch_bar(self._epoch + 1, self.epochs, self._steps) as bar:
            while done < self._steps:
                steps = min(steps_per_call, self._steps - done)
                totals.add(self._step(batches, steps))
                done += steps
                if not math.isfinite(totals.loss_sum):
                    raise TrainingError(self._divergence(done))
                clock.tick(steps, totals.examples)
                steps_per_call = clock.steps_in(_SECONDS_PER_CALL)
                bar.update(
                    done,
                    clock.images_per_second,
                    self._seconds_left(done, clock.seconds_per_step),
                    totals.loss,
                    1 - totals.top1_error,
                )
        return {
            "epoch": self._epoch + 1,
            "step": int(self.optimizer.iterations.numpy()),
            "learning_rate": rates.learning_rate,
            "training_loss": totals.loss,
            "training_top1_error": totals.top1_error,
            "training_top5_error": totals.top5_error,
            "images_per_second": clock.images_per_second,
            "waiting_share": totals.waiting_seconds / max(clock.seconds, 1e-9),
            "seconds": clock.seconds,
        }

    def _judge(self, record: dict[str, Any]) -> bool:
        """Adds validation to the record and returns whether the epoch is the best so far."""
        for name in ("loss", "top1_error", "top5_error", "top1_errors", "examples"):
            record[f"validation_{name}"] = None
        if self._validation is None:
            return True
        started = time.monotonic()
        errors = evaluate_examples(self.model, self._validation).centre_crop
        self._validation_seconds = time.monotonic() - started
        record.update(
            validation_loss=errors.loss,
            validation_top1_error=errors.top1_error,
            validation_top5_error=errors.top5_error,
            validation_top1_errors=errors.top1_errors,
            validation_examples=errors.examples,
        )
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

    def _watch_for_stall(self, record: dict[str, Any]) -> None:
        """Says so, once, if the network does no better than guessing."""
        if self.stalled or record["step"] < _STALL_STEPS:
            return
        if record["training_loss"] < _STALL_SHARE * self._guessing_loss:
            return
        advice = "a lower --learning-rate"
        if self._recipe.init != "stable":
            advice = f"--init stable, or {advice}"
        self.stalled = (
            f"stalled: after {record['step']} updates the loss is {record['training_loss']:.3f}, "
            f"that of guessing ({self._guessing_loss:.3f}). Try {advice}"
        )
        self._screen.warn(self.stalled)

    def _divergence(self, done: int) -> str:
        """Returns the message for a loss that is no number."""
        return (
            f"the loss is not a number any more (epoch {self._epoch + 1}, update {done} of "
            f"{self._steps}): try a --learning-rate below {self._recipe.learning_rate:g}, or "
            "--init stable; the checkpoint of the epoch before is kept"
        )

    def _seconds_left(self, done: int, seconds_per_step: float) -> float:
        """Estimates the rest of the run, validation included."""
        epochs = self.epochs - self._epoch - 1
        steps = self._steps - done + epochs * self._steps
        return steps * seconds_per_step + (epochs + 1) * self._validation_seconds


class _Clock:
    """Times an epoch's calls; the first one, which also compiles, does not count for speed."""

    def __init__(self) -> None:
        self._started = self._first_done = time.monotonic()
        self._now = self._started
        self._steps = self._first_steps = 0
        self._examples = self._first_examples = 0

    def tick(self, steps: int, examples: int) -> None:
        """Notes a call of `steps` updates after which `examples` have been seen."""
        self._now = time.monotonic()
        if not self._steps:
            self._first_done, self._first_steps = self._now, steps
            self._first_examples = examples
        self._steps += steps
        self._examples = examples

    @property
    def seconds(self) -> float:
        """Since the epoch began."""
        return self._now - self._started

    @property
    def seconds_per_step(self) -> float:
        """Without the first call, if there were more."""
        if self._steps > self._first_steps:
            return (self._now - self._first_done) / (self._steps - self._first_steps)
        return self.seconds / max(self._steps, 1)

    @property
    def images_per_second(self) -> float:
        """Without the first call, if there were more."""
        if self._examples > self._first_examples:
            return (self._examples - self._first_examples) / (self._now - self._first_done)
        return self._examples / max(self.seconds, 1e-9)

    def steps_in(self, seconds: float) -> int:
        """Returns how many steps a call of that length has, within bounds."""
        if self._steps == self._first_steps:
            return 1
        return max(1, min(_MOST_STEPS_PER_CALL, int(seconds / self.seconds_per_step)))


def _entropy(labels: np.ndarray) -> float:
    """Returns the loss in nats of one who knows how frequent the classes are, and no more."""
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(shares * np.log(shares)).sum())
