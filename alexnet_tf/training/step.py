"""The compiled training step: forward, backward, update."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.images import augment_colors, flip_horizontally
from alexnet_tf.errors import TrainingError
from alexnet_tf.evaluation.metrics import count_errors
from alexnet_tf.model.layers.batch_normalization import padding_scope
from alexnet_tf.model.layers.compiled import native_kernels, uses_native_kernels
from alexnet_tf.model.layers.dropout import dropout_scope
from alexnet_tf.training.loss_scale import LossScale
from alexnet_tf.training.optimizers import PaperMomentum

# What a batch holds apart from the random draws of the augmentation.
_NOT_DRAWN = ("image", "label", "weight", "loss_weight", "flip")
# Compiled into one pass over memory.
_augment_colors = tf.function(augment_colors, jit_compile=True)


class TrainingStep:
    """Several updates per call into the graph, on one replica or on many.

    Loss and gradient are averages over the global batch, padding examples (weight 0) excluded.

    Args:
      model: Ends in the layer "prob"; the loss is computed from the logits that go into it.
      optimizer: Built under the strategy's scope.
      strategy: Where it runs.
      seed: Of the dropout masks, which depend on (seed, update, position in the global batch).
      lighting_divisor: Of `apply_lighting`, while PCA lighting is on.
      label_smoothing: Weight of the uniform distribution in the targets of the minimized loss.
      loss_scale: For a network that computes in float16; created under the strategy's scope.
      native: Whether to use TensorFlow's own kernels alone, without functions compiled by XLA.
      ahead: Whether to make updates without waiting for the one before: a GPU computes while the
        CPU starts the next operations.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: PaperMomentum,
        strategy: tf.distribute.Strategy,
        *,
        seed: int,
        lighting_divisor: float = 1.0,
        label_smoothing: float = 0.0,
        loss_scale: LossScale | None = None,
        native: bool = False,
        ahead: bool = False,
    ) -> None:
        self._native = native
        self.loss_scale = loss_scale
        if loss_scale is not None:
            optimizer.only_if = loss_scale.good
        self._model = keras.Model(model.input, model.get_layer("prob").input)
        self._mean = model.get_layer("mean").mean
        self._optimizer = optimizer
        self._optimizers = [optimizer]  # those that apply gradients
        self._strategy = strategy
        self._seed = seed
        self._lighting_divisor = lighting_divisor
        self._label_smoothing = label_smoothing
        # A variable: a tensor would be traced anew for every number of rows.
        width = len(model.trainable_variables)
        self._learning_rates = tf.Variable(tf.zeros([1, width]), False, shape=[None, width])
        self._ahead = ahead
        if ahead:
            with strategy.scope():  # each GPU has its own totals
                self._totals = tf.Variable(
                    tf.zeros([4], tf.float64),
                    trainable=False,
                    synchronization=tf.VariableSynchronization.ON_READ,
                    aggregation=tf.VariableAggregation.SUM,
                )

    def __call__(
        self,
        batches: Iterator[Any],
        steps: int,
        learning_rates: np.ndarray | None = None,
        stop: bool = False,
        lighting: bool = True,
    ) -> np.ndarray:
        """Makes `steps` updates.

        Args:
          batches: An iterator over batches of `training_batches`, distributed if need be.
          steps: Number of updates.
          learning_rates: float32 [steps, variables], the optimizer's multipliers for each update;
            None leaves them as they are.
          stop: Whether this process wants to stop.
          lighting: Whether PCA lighting is on. Without it images are not divided either; a change
            compiles the step anew.

        Returns:
          float64 [6]: the five sums of `Totals`, in its order, and a number above 0 if any process
          wants to stop. With `ahead` the time spent waiting is 0: it is not measured, since the
          next batch is requested while the GPU still computes.
        """
        if learning_rates is not None:
            self._learning_rates.assign(learning_rates)
        run = self._run_ahead if self._ahead else self._run
        return run(
            batches,
            tf.constant(steps),
            tf.constant(float(stop), tf.float64),
            divisor=self._lighting_divisor if lighting else 1.0,
            scheduled=learning_rates is not None,
        ).numpy()

    @tf.function
    def _run(
        self,
        batches: Iterator[Any],
        steps: tf.Tensor,
        stop: tf.Tensor,
        divisor: float,
        scheduled: bool,
    ) -> tf.Tensor:
        totals = tf.zeros([6], tf.float64)
        learning_rates = tf.convert_to_tensor(self._learning_rates)
        for number in tf.range(steps):
            # The clock starts when the step before is done, and stops when the batch is there.
            with tf.control_dependencies([totals]):
                before = tf.timestamp()
            with tf.control_dependencies([before]):
                batch = next(batches)
            with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
                waited = tf.subtract(tf.timestamp(), before, name="waited")
            if scheduled:
                for optimizer in self._optimizers:
                    optimizer.multipliers.assign(learning_rates[number])
            # In this thread, too: the optimizer updates mirrored variables in it.
            with native_kernels(self._native):
                sums = self._strategy.run(self._replica_step, args=(batch, waited, stop, divisor))
            totals += self._strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)
        return totals

    @tf.function
    def _run_ahead(
        self,
        batches: Iterator[Any],
        steps: tf.Tensor,
        stop: tf.Tensor,
        divisor: float,
        scheduled: bool,
    ) -> tf.Tensor:
        """Makes updates as `_run` does, without a value that passes from a GPU to the CPU.

        The totals stay on the devices, and are read once at the end. `steps` is an int32, whose
        arithmetic TensorFlow does on the CPU: the loop's condition does not wait for a GPU.
        """
        learning_rates = tf.convert_to_tensor(self._learning_rates)
        self._strategy.run(self._clear_totals)
        for number in tf.range(steps):
            batch = next(batches)
            if scheduled:
                for optimizer in self._optimizers:
                    optimizer.multipliers.assign(learning_rates[number])
            with native_kernels(self._native):  # as in `_run`
                self._strategy.run(self._replica_step_ahead, args=(batch, divisor))
        sums = self._strategy.run(self._read_totals, args=(stop,))
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    def _clear_totals(self) -> None:
        self._totals.assign(tf.zeros([4], tf.float64))

    def _replica_step_ahead(self, batch: dict[str, tf.Tensor], divisor: float) -> None:
        """Makes one update on this replica's part of the batch and adds to its totals."""
        with native_kernels(self._native):
            counts = self._counted_update(batch, divisor)
        self._totals.assign_add(tf.stack([tf.cast(value, tf.float64) for value in counts]))

    def _read_totals(self, stop: tf.Tensor) -> tf.Tensor:
        """Returns this replica's part of the result of a call."""
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        return tf.concat([self._totals.read_value(), [0.0, stop / replicas]], axis=0)

    def _replica_step(
        self, batch: dict[str, tf.Tensor], waited: tf.Tensor, stop: tf.Tensor, divisor: float
    ) -> tf.Tensor:
        """Makes one update on this replica's part of the batch and returns its part of the sums."""
        # The clock stops before any operation of the update begins. Operations that need no batch
        # could otherwise occupy the thread that reads the clock.
        with tf.control_dependencies([waited]), native_kernels(self._native):
            counts = self._counted_update(batch, divisor)
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        of_process = [value / replicas for value in (waited, stop)]
        return tf.stack([tf.cast(value, tf.float64) for value in (*counts, *of_process)])

    def _counted_update(
        self, batch: dict[str, tf.Tensor], divisor: float
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Makes an update and returns its part of the first four sums of `Totals`."""
        replica = tf.distribute.get_replica_context()
        labels, weights, images = batch["label"], batch["weight"], batch["image"]
        if "flip" in batch:
            images = flip_horizontally(images, batch["flip"])
        draws = {name: value for name, value in batch.items() if name not in _NOT_DRAWN}
        augment = augment_colors if uses_native_kernels() else _augment_colors
        images = augment(images, draws, divisor, tf.convert_to_tensor(self._mean))
        examples = tf.reduce_sum(weights)
        if replica.num_replicas_in_sync > 1:
            examples = replica.all_reduce(tf.distribute.ReduceOp.SUM, examples)
        rows = tf.shape(weights, tf.int64)[0]
        first_row = tf.cast(replica.replica_id_in_sync_group, tf.int64) * rows
        # Class weights and label smoothing change the loss that is minimized, not the one that is
        # reported.
        counted = batch.get("loss_weight", weights) / examples

        def loss(logits: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(_cross_entropy(labels, logits, self._label_smoothing) * counted)

        with padding_scope(weights):
            logits = self._update(images, first_row, loss)
        loss_sum = tf.reduce_sum(_cross_entropy(labels, logits) * weights)
        return loss_sum, *count_errors(logits, labels, weights)

    def _update(
        self, images: tf.Tensor, first_row: tf.Tensor, loss: Callable[[tf.Tensor], tf.Tensor]
    ) -> tf.Tensor:
        """Makes an update on this replica's images and returns their logits in float32.

        Args:
          images: float32 [n, p, p, c], as the network takes them.
          first_row: Position of this replica's first image in the global batch.
          loss: Returns this replica's part of the loss from the logits.
        """
        step = tf.convert_to_tensor(self._optimizer.iterations)
        with dropout_scope(self._seed, step, first_row), tf.GradientTape() as tape:
            logits = tf.cast(self._model(images, training=True), tf.float32)
            value = loss(logits)
            if self.loss_scale is not None:
                value = self.loss_scale.scaled(value)
        variables = self._model.trainable_variables
        gradients = tape.gradient(value, variables)
        if self.loss_scale is not None:
            gradients = self.loss_scale.unscaled(gradients)
        self._optimizer.apply(gradients, variables)
        return logits

    def tensors(self) -> dict[str, np.ndarray]:
        """Returns everything that training changes: weights, slots and loss scale, by name."""
        self._store()
        return {name: variable.numpy() for name, variable in self._state_variables().items()}

    def restore(self, tensors: dict[str, np.ndarray], update: int) -> None:
        """Restores what `tensors` returned after `update` updates.

        Raises:
          TrainingError: The tensors belong to another network.
        """
        variables = self._state_variables()
        if variables.keys() != tensors.keys():
            different = sorted(variables.keys() ^ tensors.keys())
            raise TrainingError(
                f"the checkpoint belongs to another network: {different[:4]} differ"
            )
        for name, variable in variables.items():
            variable.assign(tensors[name])
        self._optimizer.iterations.assign(update)
        self._load()

    def _state_variables(self) -> dict[str, keras.Variable | tf.Variable]:
        """Returns what training changes, by name.

        Seed generators are excluded: masks depend on the position, and their names are not stable.
        """
        kept = (v for v in self._model.variables if "seed_generator" not in v.path)
        variables = {f"model/{v.path}": v for v in kept}
        for name, slots in self._optimizer.slots.items():
            for slot, v in zip(slots, self._model.trainable_variables, strict=True):
                variables[f"{name}/{v.path}"] = slot
        if self.loss_scale is not None:
            variables["loss_scale/value"] = self.loss_scale.value
            variables["loss_scale/in_row"] = self.loss_scale.good_in_row
        return variables

    def _load(self) -> None:
        """Copies weights and slots from the model and the optimizer, if this step has its own."""

    def _store(self) -> None:
        """Copies weights and slots to the model and the optimizer, if this step has its own."""


def _cross_entropy(labels: tf.Tensor, logits: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Returns the loss of each example in nats.

    With label smoothing the targets are (1 - s) * one_hot(label) + s / classes, as in PyTorch.
    """
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if not label_smoothing:
        return loss
    uniform = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
    return (1 - label_smoothing) * loss + label_smoothing * uniform
