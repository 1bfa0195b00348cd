"""The parts of the training loop: the updates of an epoch, validation, checkpoints, restoring."""

import math
import time
from collections.abc import Callable, Iterator

import keras
import numpy as np

from alexnet_tf.console import ProgressBar
from alexnet_tf.data.pipeline import balanced_weights, steps_per_epoch
from alexnet_tf.data.splits import TrainingSplits
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.errors import DivergedError
from alexnet_tf.evaluation.metrics import Errors
from alexnet_tf.run_record import EpochRecord
from alexnet_tf.training.devices import DeviceConfiguration
from alexnet_tf.training.input import TrainingInput
from alexnet_tf.training.optimizers import make_optimizer
from alexnet_tf.training.reporting import StepClock, TrainingReporter, epoch_note
from alexnet_tf.training.run_folder import Saver
from alexnet_tf.training.run_settings import RunSettings
from alexnet_tf.training.schedule import LearningRateSchedule
from alexnet_tf.training.state import TrainState
from alexnet_tf.training.towers import make_step
from alexnet_tf.training.validation import chance_level_loss, stall_message, validate

StopRequested = Callable[[], bool]

_SECONDS_PER_CALL = 0.5  # as many updates as fit are made in one call into the graph
_STEPS_PER_CALL_OF_WORKERS = 4
# Beyond it a few layers overflow float32: a run that ends with such weights predicts nothing.
_LARGEST_WEIGHT = 1e8
_CHECKED_IMAGES = 32  # without validation: finite weights can still be too large to predict


class StoppedError(Exception):
    """Training stopped because it was requested; the state is saved."""


class Trainer:
    """Trains a network, which is built under the strategy's scope, epoch by epoch.

    In its methods `saver` writes checkpoints, and `stop` returns True once the run is to stop.
    """

    def __init__(
        self,
        model: keras.Model,
        settings: RunSettings,
        devices: DeviceConfiguration,
        splits: TrainingSplits,
        statistics: Statistics,
        reporter: TrainingReporter,
    ) -> None:
        self.model = model
        self.state = TrainState()
        self._settings = settings
        self._recipe = recipe = settings.recipe
        self._devices = devices
        self._splits = splits
        self._reporter = reporter
        self._clock = StepClock()
        self._stop_voted = False  # whether any worker wanted to stop before the last call
        self._validation_seconds = 0.0
        labels, balanced = splits.train.labels, settings.options.class_weights == "balanced"
        self._chance_level_loss = chance_level_loss(labels, balanced)
        class_weights = balanced_weights(labels, int(model.output_shape[-1])) if balanced else None
        self.input = TrainingInput(
            devices, splits.train, recipe, statistics, settings.seed, class_weights
        )
        self._steps = steps_per_epoch(len(labels), recipe.batch_size)
        variables = model.trainable_variables  # the schedule changes `state.schedule` itself
        self._schedule = LearningRateSchedule(
            recipe, self._steps, [v.path for v in variables], self.state.schedule
        )
        with devices.strategy.scope():
            self.optimizer = make_optimizer(recipe)
            self.optimizer.build(variables)
        self._step = make_step(devices, model, self.optimizer, recipe, settings.seed)

    def epochs(self) -> Iterator[int]:
        """Yields the number, from 0, of each epoch that is left to train."""
        patience = self._recipe.patience or math.inf
        while self.state.epoch < self._settings.epochs:
            if self.state.epochs_since_best >= patience:
                self._reporter.message(f"no better validation result in {patience} epochs: done")
                return
            yield self.state.epoch

    def train_epoch(self, saver: Saver, stop: StopRequested) -> None:
        """Makes the updates of the epoch that are left, and saves a checkpoint.

        It is saved before validation: a run that is stopped or killed in validation resumes there.
        Raises DivergedError if the loss or a weight became NaN, infinite or huge.
        """
        state = self.state
        has_colors = self._splits.train.channels == 3 and self._recipe.lighting_std > 0
        lighting = has_colors and self._schedule.has_lighting(state.epoch)
        batches = self.input.epoch(state.epoch, lighting, skip_batches=state.updates_in_epoch)
        self._clock, earlier = StepClock(state.totals.examples), state.epoch_seconds
        with self._reporter.progress(self._epoch_name(), self._steps) as bar:
            while state.updates_in_epoch < self._steps:
                steps = self._steps_in_next_call(saver)
                learning_rates = [self._schedule.at(state.step + n).variables for n in range(steps)]
                with saver.profiling():
                    sums = self._step(batches, steps, np.stack(learning_rates), stop(), lighting)
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
                if state.updates_in_epoch < self._steps:
                    self._save_inside_epoch(saver, stop)
        with self._reporter.status("saving"):
            self._save_checkpoint(saver)
        if self._stops(stop) and self._splits.validation is not None:
            raise StoppedError(f"stopped before the validation of {self._epoch_name()}; saved")

    def validate(self, saver: Saver, stop: StopRequested) -> tuple[EpochRecord, bool]:
        """Evaluates the network on the validation examples and finishes the epoch.

        Returns the epoch's record, and whether it is the best so far. Raises DivergedError, and
        removes the epoch's checkpoint, if the loss is NaN or infinite.
        """
        state = self.state
        learning_rate = self._schedule.at(state.step - 1).kernels  # of the last update
        started = time.monotonic()
        errors = self._validation_errors(saver, stop)
        improved = True
        if errors is not None and self._splits.selects_best:
            improved = state.update_best(errors.top1_errors, errors.loss)
            if self._schedule.observe(errors.top1_errors):
                self._reporter.after_epoch(
                    "validation error has stopped improving: learning rate is now "
                    f"{self._schedule.at(state.step).kernels:.2g}"
                )
        self._validation_seconds = time.monotonic() - started
        names = ("loss", "top1_error", "top5_error", "top1_errors", "examples")
        validation = {f"validation_{n}": getattr(errors, n) for n in names} if errors else {}
        waiting = state.totals.waiting_seconds / max(state.epoch_seconds, 1e-9)
        record = EpochRecord(
            epoch=state.epoch + 1,
            step=state.step,
            learning_rate=learning_rate,
            training_loss=state.totals.loss,
            training_top1_error=state.totals.top1_error,
            training_top5_error=state.totals.top5_error,
            images_per_second=state.images_per_second,
            waiting_fraction=None if self._devices.on_gpus else waiting,
            seconds=state.epoch_seconds,
            **validation,
        )
        state.finish_epoch(record, record.seconds + self._validation_seconds)
        if state.stalled is None:  # warned of once in a run
            state.stalled = stall_message(record, self._chance_level_loss, self._recipe)
            if state.stalled is not None:
                self._reporter.after_epoch(state.stalled, is_warning=True)
        return record, improved

    def check_stop(self, stop: StopRequested) -> None:
        """Raises StoppedError between two epochs if a stop was requested; the state is saved."""
        if self._stops(stop) and self.state.epoch < self._settings.epochs:
            raise StoppedError(
                f"stopped after epoch {self.state.epoch} of {self._settings.epochs}; saved"
            )

    def tensors(self) -> dict[str, np.ndarray]:
        """Returns the weights, the optimizer's slots and the loss scale, by name."""
        return self._step.tensors()

    def restore(self, tensors: dict[str, np.ndarray], state: TrainState) -> None:
        """Restores a checkpoint; raises TrainingError if it belongs to another network."""
        self._step.restore(tensors, state.step)
        self.state = state
        self._schedule.plateau = state.schedule

    def _epoch_name(self) -> str:
        return f"epoch {self.state.epoch + 1} of {self._settings.epochs}"

    def _steps_in_next_call(self, saver: Saver) -> int:
        """Returns how many updates the next call into the graph makes."""
        steps = self._clock.steps_in(_SECONDS_PER_CALL)
        if self._devices.workers > 1:  # the workers' clocks differ, their calls must not
            steps = _STEPS_PER_CALL_OF_WORKERS
        left = self._steps - self.state.updates_in_epoch
        until_checkpoint = saver.steps_until_due(self.state.step)
        return min(steps, left, left if until_checkpoint is None else until_checkpoint)

    def _stops(self, stop: StopRequested) -> bool:
        """Returns whether the run stops; several workers all stop at the same update."""
        return stop() if self._devices.workers == 1 else self._stop_voted

    def _save_checkpoint(self, saver: Saver) -> None:
        """Saves a checkpoint; raises DivergedError if a weight or a velocity is unusable."""
        tensors = self.tensors()
        finite = all(np.isfinite(values).all() for values in tensors.values())
        weights = self.model.trainable_variables
        if not finite or max(np.abs(v.numpy()).max() for v in weights) > _LARGEST_WEIGHT:
            raise self._divergence(saver)
        saver.checkpoint(tensors, self.state)

    def _save_inside_epoch(self, saver: Saver, stop: StopRequested) -> None:
        """Saves a checkpoint if one is due, or if the run stops here."""
        stops = self._stops(stop)
        if stops or saver.is_due(self.state.step):
            self._save_checkpoint(saver)
        if stops:
            raise StoppedError(
                f"stopped in {self._epoch_name()} after update {self.state.updates_in_epoch} of "
                f"{self._steps}; saved"
            )

    def _divergence(self, saver: Saver) -> DivergedError:
        """Returns the error for a loss or a weight that became NaN, infinite or huge."""
        saved = saver.newest_checkpoint()
        kept = f"the last good checkpoint is {saved}" if saved else "no checkpoint was saved"
        return DivergedError(
            f"the loss or a weight became NaN, infinite or huge (epoch {self.state.epoch + 1}, "
            f"update {self.state.updates_in_epoch} of {self._steps}): try a --learning-rate below "
            f"{self._recipe.learning_rate:g}, or --init stable; {kept}"
        )

    def _show(self, bar: ProgressBar) -> None:
        """Moves the progress bar; the time left includes validation."""
        epochs = self._settings.epochs - self.state.epoch
        steps = epochs * self._steps - self.state.updates_in_epoch
        left = steps * self._clock.seconds_per_step + epochs * self._validation_seconds
        totals = self.state.totals
        note = epoch_note(self._clock.images_per_second, left, totals.loss, totals.top1_error)
        bar.update(self.state.updates_in_epoch, note=note)

    def _validation_errors(self, saver: Saver, stop: StopRequested) -> Errors | None:
        """Returns the errors on the validation examples, or None if there are none."""
        examples, name = self._splits.validation, self._epoch_name()
        if examples is None:
            few = np.arange(min(_CHECKED_IMAGES, len(self._splits.train)))
            errors = validate(self.model, self._splits.train.subset(few), self._devices)
        else:
            with self._reporter.progress(f"validation {self.state.epoch + 1}") as bar:

                def on_progress(done: int, total: int) -> None:
                    bar(done, total)
                    # Several workers wait for each other's results, so none leaves alone.
                    if self._devices.workers == 1 and stop() and done < total:
                        raise StoppedError(f"stopped in the validation of {name}; saved")

                errors = validate(self.model, examples, self._devices, on_progress)
        if not math.isfinite(errors.loss):
            saver.remove_newest_checkpoint()
            raise self._divergence(saver)
        return None if examples is None else errors
