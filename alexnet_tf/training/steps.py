"""The compiled training step."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.images import apply_lighting, flip_horizontally
from alexnet_tf.evaluation.metrics import count_errors
from alexnet_tf.model.layers.batch_normalization import padding_scope
from alexnet_tf.model.layers.dropout import dropout_scope
from alexnet_tf.training.loss_scale import LossScale
from alexnet_tf.training.optimizer import PaperMomentum
from alexnet_tf.training.schedule import EpochRates


class TrainingStep:
    """Several updates per call into the graph, on one replica or on many.

    Loss and gradient are averages over the global batch; rows of weight 0 count for nothing.

    Args:
      model: Ends in the layer "prob"; the loss is taken from the logits that go into it.
      optimizer: Built under the strategy's scope.
      strategy: Where it runs.
      seed: Of the dropout masks, which depend on (seed, update, position in the global batch).
      lighting_divisor: Of `apply_lighting`, while lighting is on.
      loss_scale: For a network that computes in float16; made under the strategy's scope.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: PaperMomentum,
        strategy: tf.distribute.Strategy,
        *,
        seed: int,
        lighting_divisor: float = 1.0,
        loss_scale: LossScale | None = None,
    ) -> None:
        self.loss_scale = loss_scale
        if loss_scale is not None:
            optimizer.only_if = loss_scale.good
        self._model = keras.Model(model.input, model.get_layer("prob").input)
        self._mean = model.get_layer("mean").mean
        self._optimizer = optimizer
        self._optimizers = [optimizer]  # that have rates to set
        self._strategy = strategy
        self._seed = seed
        self._lighting_divisor = lighting_divisor

    def __call__(
        self, batches: Iterator[Any], steps: int, stop: bool = False, lighting: bool = True
    ) -> np.ndarray:
        """Makes `steps` updates.

        Args:
          batches: An iterator over batches of `training_batches`, distributed if need be.
          steps: How many updates.
          stop: Whether this process wants to stop.
          lighting: Whether PCA lighting is on. Without it nothing is divided either; a change
            compiles the step anew.

        Returns:
          float64 [6]: the five sums of `Totals`, in its order, and a number above 0 if any process
          wants to stop.
        """
        stop_votes = tf.constant(float(stop), tf.float64)
        divisor = self._lighting_divisor if lighting else 1.0
        return self._run(batches, tf.constant(steps, tf.int64), stop_votes, divisor).numpy()

    @tf.function
    def _run(
        self, batches: Iterator[Any], steps: tf.Tensor, stop: tf.Tensor, divisor: float
    ) -> tf.Tensor:
        totals = tf.zeros([6], tf.float64)
        for _ in tf.range(steps):
            # The clock starts when the step before is done, and stops when the batch is there.
            with tf.control_dependencies([totals]):
                before = tf.timestamp()
            with tf.control_dependencies([before]):
                batch = next(batches)
            with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
                waited = tf.subtract(tf.timestamp(), before, name="waited")
            sums = self._strategy.run(self._replica_step, args=(batch, waited, stop, divisor))
            totals += self._strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)
        return totals

    def _replica_step(
        self, batch: dict[str, tf.Tensor], waited: tf.Tensor, stop: tf.Tensor, divisor: float
    ) -> tf.Tensor:
        """One update on this replica's part of the global batch; returns its share of the sums."""
        # The clock stops before anything of the update begins, also what needs no batch: that would
        # take the clock's thread.
        with tf.control_dependencies([waited]):
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
        if images.shape[-1] == 3:  # gray has no colors to light
            mean = tf.convert_to_tensor(self._mean)
            images = _lit(images, batch["offset"], mean, divisor)
        else:
            images = tf.cast(images, tf.float32)
        examples = tf.reduce_sum(weights)
        if replica.num_replicas_in_sync > 1:
            examples = replica.all_reduce(tf.distribute.ReduceOp.SUM, examples)
        rows = tf.shape(weights, tf.int64)[0]
        first_row = tf.cast(replica.replica_id_in_sync_group, tf.int64) * rows
        # What is reported is the plain loss; classes may count differently in what is learnt.
        counted = batch.get("loss_weight", weights) / examples

        def loss(logits: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(_cross_entropy(labels, logits) * counted)

        with padding_scope(weights):
            logits = self._update(images, first_row, loss)
        loss_sum = tf.reduce_sum(_cross_entropy(labels, logits) * weights)
        return loss_sum, *count_errors(logits, labels, weights)

    def _update(
        self, images: tf.Tensor, first_row: tf.Tensor, loss: Callable[[tf.Tensor], tf.Tensor]
    ) -> tf.Tensor:
        """Makes an update on this replica's images and returns their logits in float32.

        Args:
          images: As the network takes them.
          first_row: Of this replica's images in the global batch.
          loss: Of the logits: this replica's share of what is made smaller.
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

    def set_rates(self, rates: EpochRates) -> None:
        """Sets the rates that hold from the next update on."""
        for optimizer in self._optimizers:
            optimizer.set_rates(
                rates.learning_rate,
                biases=rates.bias_learning_rate,
                layers=rates.layers,
                frozen=rates.frozen,
                factors=rates.factors,
            )

    def from_model(self) -> None:
        """Takes over the weights and velocities that were put into the model and the optimizer."""

    def to_model(self) -> None:
        """Puts the weights and velocities as they are now into the model and the optimizer."""


def _cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns each row's loss in nats."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


@tf.function(jit_compile=True)
def _lit(images: tf.Tensor, offsets: tf.Tensor, mean: tf.Tensor, divisor: float) -> tf.Tensor:
    """Returns uint8 images with PCA lighting, in float32: compiled, one pass over memory."""
    return apply_lighting(tf.cast(images, tf.float32), offsets, divisor, mean)
