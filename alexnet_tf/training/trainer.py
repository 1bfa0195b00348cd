"""The training loop's parts: the updates of an epoch, validation, and the state of a run."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from alexnet_tf.console import ProgressBar
from alexnet_tf.data.pipeline import balanced_weights, steps_per_epoch
from alexnet_tf.errors import DivergedError, TrainingError
from alexnet_tf.run_record import EpochRecord
from alexnet_tf.training.clock import StepClock
from alexnet_tf.training.devices import DeviceConfiguration
from alexnet_tf.training.diagnostics import chance_level_loss, divergence, stall_message
from alexnet_tf.training.input import TrainingData, TrainingInput
from alexnet_tf.training.optimizers import make_optimizer
from alexnet_tf.training.reporting import TrainingReporter, epoch_note
from alexnet_tf.training.run_settings import RunSettings
from alexnet_tf.training.saver import Saver
from alexnet_tf.training.schedule import RateSchedule
from alexnet_tf.training.state import BestEpoch, TrainState
from alexnet_tf.training.stopping import StoppedError, StopRequest
from alexnet_tf.training.towers import step_for
from alexnet_tf.training.validation import (
    has_finite_predictions,
    validate,
    validation_fields,
)
from alexnet_tf.training.variables import training_variables

_SECONDS_PER_CALL = 0.5  # as many updates as fit are made in one call into the graph
_STEPS_PER_CALL_OF_WORKERS = 4
# Beyond it a few layers overflow float32: a run that ends with such weights predicts nothing.
_LARGEST_WEIGHT = 1e8


class Trainer:
    """A run in progress.

    Args:
      model: The network, built under the strategy's scope.
      settings: The recipe, the epochs and the seed.
      devices: Where the run computes.
      data: The examples.
      reporter: Where progress is shown.

    Attributes:
      model: The network.
      state: Where the run is.
      optimizer: The recipe's optimizer.
    """

    def __init__(
        self,
        model: keras.Model,
        settings: RunSettings,
        devices: DeviceConfiguration,
        data: TrainingData,
        reporter: TrainingReporter,
    ) -> None:
        self.model = model
        self.state = TrainState()
        self._settings = settings
        self._recipe = recipe = settings.recipe
        self._devices = devices
        self._data = data
        self._reporter = reporter
        self._clock = StepClock()
        self._stop_voted = False  # whether any worker had asked to stop before the last call
        self._validation_seconds = 0.0
        balanced = settings.options.class_weights == "balanced"
        num_classes = int(model.output_shape[-1])
        class_weights = balanced_weights(data.train.labels, num_classes) if balanced else None
        self._input = TrainingInput(
            devices, data.train, recipe, data.statistics, settings.seed, class_weights
        )
        self._schedule = RateSchedule(recipe)
        self._steps = steps_per_epoch(len(data.train), recipe.batch_size)
        self._chance_level_loss = chance_level_loss(data.train.labels, balanced)
        with devices.strategy.scope():
            self.optimizer = make_optimizer(recipe, self._steps)
            self.optimizer.build(model.trainable_variables)
        self._step = step_for(devices, model, self.optimizer, recipe, settings.seed)

    def epochs(self) -> Iterator[int]:
        """Yields the number, from 0, of each epoch that is left to train."""
        while self.state.epoch < self._settings.epochs:
            yield self.state.epoch

    def train_epoch(self, saver: Saver, stop: StopRequest) -> None:
        """Makes the updates of the epoch that are left, and saves a checkpoint.

        The checkpoint is saved before validation: a run that is stopped or killed in validation
        resumes there.

        Args:
          saver: Writes checkpoints.
          stop: Checked after each call into the graph.

        Raises:
          DivergedError: The loss or a weight became NaN, infinite or huge.
          StoppedError: `stop` was requested; the state is saved.
        """
        state, total = self.state, self._steps
        rates = self._schedule.rates(state.epoch)
        self._step.set_rates(rates)
        has_colors = self._data.train.channels == 3 and self._recipe.lighting_std > 0
        lighting = rates.lighting and has_colors
        batches = self._input.epoch(state.epoch, lighting, skip_batches=state.updates_in_epoch)
        self._clock, earlier = StepClock(state.totals.examples), state.epoch_seconds
        with self._reporter.progress(self._epoch_of(), total) as bar:
            while state.updates_in_epoch < total:
                steps = self._steps_in_next_call(saver)
                with saver.profiling():
                    sums = self._step(batches, steps, stop.requested, lighting)
                state.totals.add(sums)
                state.updates_in_epoch += steps
                state.step += steps
                if not math.isfinite(state.totals.loss_sum):
                    raise self._divergence(saver)
                self._clock.tick(steps, state.totals.examples)
                state.epoch_seconds = earlier + self._clock.seconds
                state.images_per_second = self._clock.images_per_second
                self._show(bar)
                self._stop_voted = bool(sums[-1] > 0)
                if state.updates_in_epoch < total:
                    self._save_inside_epoch(saver, stop)
        self._save_checkpoint(saver)
        if self._stops(stop) and self._data.validation is not None:
            raise StoppedError(f"stopped before the validation of {self._epoch_of()}; saved")

    def validate(self, saver: Saver, stop: StopRequest) -> tuple[EpochRecord, bool]:
        """Evaluates the network on the validation examples and finishes the epoch.

        Args:
          saver: Has the checkpoint of the epoch's last update.
          stop: Checked after each batch.

        Returns:
          The epoch's record, and whether it is the best epoch so far.

        Raises:
          DivergedError: The validation loss is NaN or infinite.
          StoppedError: `stop` was requested.
        """
        state, totals = self.state, self.state.totals
        rates = self._schedule.rates(state.epoch)
        warm_up = self.optimizer.warm_up(state.step)
        started = time.monotonic()
        fields, improved = self._validation_results(saver, stop)
        self._validation_seconds = time.monotonic() - started
        record = EpochRecord(
            epoch=state.epoch + 1,
            step=state.step,
            learning_rate=rates.learning_rate * warm_up,
            training_loss=totals.loss,
            training_top1_error=totals.top1_error,
            training_top5_error=totals.top5_error,
            images_per_second=state.images_per_second,
            waiting_fraction=totals.waiting_seconds / max(state.epoch_seconds, 1e-9),
            seconds=state.epoch_seconds,
            **fields,
        )
        state.finish_epoch(record, record.seconds + self._validation_seconds)
        state.schedule = self._schedule.state()
        return record, improved

    def check_learning(self, record: EpochRecord) -> None:
        """Warns, once in a run, if the loss is still at chance level."""
        if self.state.stalled is None:
            self.state.stalled = stall_message(record, self._chance_level_loss, self._recipe)
            if self.state.stalled is not None:
                self._reporter.warn(self.state.stalled)

    def check_stop(self, stop: StopRequest) -> None:
        """Raises StoppedError between two epochs if a stop was requested; the state is saved."""
        if self._stops(stop) and self.state.epoch < self._settings.epochs:
            raise StoppedError(
                f"stopped after epoch {self.state.epoch} of {self._settings.epochs}; saved"
            )

    def tensors(self) -> dict[str, np.ndarray]:
        """Returns the weights and the optimizer's velocities, by name."""
        return {
            name: variable.numpy()
            for name, variable in training_variables(
                self.model, self.optimizer, self._step.loss_scale
            ).items()
        }

    def preview(self, count: int) -> np.ndarray:
        """Returns the run's first images, augmented; see `TrainingInput.preview`."""
        return self._input.preview(count, self.model.get_layer("mean").mean)

    def restore(self, tensors: dict[str, np.ndarray], state: TrainState) -> None:
        """Continues from a checkpoint.

        Raises:
          TrainingError: The tensors belong to another network.
        """
        variables = self._variables()
        if variables.keys() != tensors.keys():
            different = sorted(variables.keys() ^ tensors.keys())
            raise TrainingError(
                f"the checkpoint belongs to another network: {different[:4]} differ"
            )
        for name, variable in variables.items():
            variable.assign(tensors[name])
        self.optimizer.iterations.assign(state.step)
        self._step.from_model()
        self._schedule.restore(state.schedule)
        self.state = state

    def _variables(self) -> dict[str, Any]:
        """Returns everything that training changes, by name."""
        return training_variables(self.model, self.optimizer, self._step.loss_scale)

    def _epoch_of(self) -> str:
        """Returns "epoch 2 of 10"."""
        return f"epoch {self.state.epoch + 1} of {self._settings.epochs}"

    def _steps_in_next_call(self, saver: Saver) -> int:
        """Returns how many updates the next call into the graph makes."""
        steps = self._clock.steps_in(_SECONDS_PER_CALL)
        if self._devices.workers > 1:  # the workers' clocks differ, their calls must not
            steps = _STEPS_PER_CALL_OF_WORKERS
        left = self._steps - self.state.updates_in_epoch
        until_checkpoint = saver.steps_until_due(self.state.step)
        return min(steps, left, left if until_checkpoint is None else until_checkpoint)

    def _stops(self, stop: StopRequest) -> bool:
        """Returns whether the run stops; several workers all stop at the same update."""
        return stop.requested if self._devices.workers == 1 else self._stop_voted

    def _save_checkpoint(self, saver: Saver) -> None:
        """Saves a checkpoint if all tensors are usable.

        Raises:
          DivergedError: A weight or a velocity is NaN, infinite or huge; nothing is saved.
        """
        self._step.to_model()
        self.state.schedule = self._schedule.state()
        tensors = self.tensors()
        if not all(np.isfinite(values).all() for values in tensors.values()):
            raise self._divergence(saver)
        weights = self.model.trainable_variables
        if max(float(np.abs(v.numpy()).max()) for v in weights) > _LARGEST_WEIGHT:
            raise self._divergence(saver)
        saver.checkpoint(tensors, self.state)

    def _save_inside_epoch(self, saver: Saver, stop: StopRequest) -> None:
        """Saves a checkpoint if one is due, or if the run stops here."""
        stops = self._stops(stop)
        if stops or saver.is_due(self.state.step):
            self._save_checkpoint(saver)
        if stops:
            raise StoppedError(
                f"stopped in {self._epoch_of()} after update {self.state.updates_in_epoch} of "
                f"{self._steps}; saved"
            )

    def _divergence(self, saver: Saver) -> DivergedError:
        """Returns the error for a loss or a weight that became NaN, infinite or huge."""
        return divergence(
            self.state.epoch + 1,
            self.state.updates_in_epoch,
            self._steps,
            self._recipe,
            saver.newest_checkpoint(),
        )

    def _show(self, bar: ProgressBar) -> None:
        """Moves the progress bar; the time left includes validation."""
        epochs = self._settings.epochs - self.state.epoch
        steps = epochs * self._steps - self.state.updates_in_epoch
        note = epoch_note(
            self._clock.images_per_second,
            steps * self._clock.seconds_per_step + epochs * self._validation_seconds,
            self.state.totals.loss,
            self.state.totals.top1_error,
        )
        bar.update(self.state.updates_in_epoch, note=note)

    def _validation_results(self, saver: Saver, stop: StopRequest) -> tuple[dict[str, Any], bool]:
        """Returns the validation fields of the epoch's record, and whether the epoch is the best.

        Raises:
          DivergedError: The loss is NaN or infinite; the epoch's checkpoint is removed.
          StoppedError: `stop` was requested.
        """
        examples = self._data.validation
        if examples is None:
            if not has_finite_predictions(self.model, self._data.train, self._devices):
                saver.remove_newest_checkpoint()
                raise self._divergence(saver)
            return validation_fields(None), True
        with self._reporter.progress(f"validation {self.state.epoch + 1}") as on_progress:
            errors = validate(
                self.model, examples, self._devices, self._stopping(stop, on_progress)
            )
        if not math.isfinite(errors.loss):
            saver.remove_newest_checkpoint()
            raise self._divergence(saver)
        if not self._data.selects_best:
            return validation_fields(errors), True
        improved = self.state.is_better(errors.top1_errors, errors.loss)
        if improved:
            self.state.best = BestEpoch(self.state.epoch + 1, errors.top1_errors, errors.loss)
        if self._schedule.observe(errors.top1_errors):
            rate = self._schedule.rates(self.state.epoch + 1).learning_rate
            self._reporter.after_epoch(
                f"validation error has stopped improving: learning rate is now {rate:.2g}"
            )
        return validation_fields(errors), improved

    def _stopping(
        self, stop: StopRequest, on_progress: Callable[[int, int], None]
    ) -> Callable[[int, int], None]:
        """Returns a progress callback that ends validation when a stop is requested.

        Several workers wait for each other's results, so none of them leaves alone; the checkpoint
        is saved already.
        """
        if self._devices.workers > 1:
            return on_progress

        def report(done: int, total: int) -> None:
            on_progress(done, total)
            if stop.requested and done < total:
                raise StoppedError(f"stopped in the validation of {self._epoch_of()}; saved")

        return report
