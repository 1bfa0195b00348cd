"""Batch normalization in TensorFlow's fused kernels, over the real examples of a batch alone."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf

_FUSED_DTYPES = (tf.float32, tf.bfloat16, tf.float16)


class _BatchWeights(NamedTuple):
    """Which rows of a batch are real examples."""

    weights: tf.Tensor  # float32 [batch], 1 or 0
    is_full: tf.Tensor  # bool scalar: no row is a padding example


# Of this thread alone: a strategy runs each replica in a thread of its own.
_batch_weights: contextvars.ContextVar[_BatchWeights | None] = contextvars.ContextVar(
    "batch_weights", default=None
)


@contextlib.contextmanager
def padding_scope(weights: tf.Tensor) -> Iterator[None]:
    """Excludes the padding examples of a batch from the statistics of `BatchNormalization`.

    In a `tf.function`, and under a strategy, enter the scope inside the traced replica function.

    Args:
      weights: float [batch]: 1 for each real example, 0 for each padding example, of the batch
        that the layers called inside receive. On several replicas, the weights of this replica's
        rows; they may all be 0 as long as another replica has real examples.

    Yields:
      Nothing.
    """
    weights = tf.cast(weights, tf.float32)
    token = _batch_weights.set(_BatchWeights(weights, tf.reduce_all(weights == 1)))
    try:
        yield
    finally:
        _batch_weights.reset(token)


@keras.saving.register_keras_serializable(package="alexnet_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """Normalizes each channel to mean `beta` and standard deviation `gamma` (Ioffe, Szegedy, 2015).

        output = gamma * (input - mean) / sqrt(variance + epsilon) + beta

    In training, mean and variance are those of the batch, over all its positions, and the moving
    averages follow them with `momentum`. Otherwise they are the moving averages. Inside
    `padding_scope`, padding examples enter neither the statistics nor the moving averages.

    It computes what `keras.layers.BatchNormalization` computes, in fewer passes over memory: Keras
    casts images to float32 and has an operation for each step of the formula, the fused kernels
    read and write them in their own dtype and sum in float32. Where the kernels do not fit
    (`synchronized` or `renorm` in training, masks, other axes, ranks and dtypes) Keras' code runs.

    The arguments are those of `keras.layers.BatchNormalization`. With `synchronized`, the
    statistics are those of the batch of all replicas.

    Input shape: `(batch, height, width, channels)`, any float dtype; other ranks as in Keras.
    Output shape: The input's. Weights and moving averages are float32, or wider.

    Raises:
      ValueError: In training inside `padding_scope`: `renorm` is set, a mask is passed, or the
        channels are not the last axis.

    Examples:
      >>> pixels = np.array([10.0, 30.0]).reshape(2, 1, 1, 1)
      >>> an.BatchNormalization()(pixels, training=True).numpy().ravel().round(3).tolist()
      [-1.0, 1.0]
    """

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns the normalized activations."""
        inputs = tf.convert_to_tensor(inputs)
        training = bool(training) and self.trainable
        batch = _batch_weights.get() if training else None
        is_fused = mask is None and self._fits(inputs, training)
        if batch is not None:
            return self._by_real_examples(inputs, batch, mask, is_fused)
        if not is_fused:
            return super().call(inputs, training=training, mask=mask)
        if training:
            outputs, mean, variance = self._by_batch(inputs)
            self._update_averages(mean, variance)
            return outputs
        return self._fused(inputs, self.moving_mean, self.moving_variance, training=False)[0]

    def _fits(self, inputs: tf.Tensor, training: bool) -> bool:
        channels_last = inputs.shape.rank == 4 and self.axis in (-1, 3)
        has_other_statistics = training and (self.synchronized or self.renorm)
        return channels_last and not has_other_statistics and inputs.dtype in _FUSED_DTYPES

    def _by_batch(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns (outputs, mean, variance), with the statistics of all rows."""
        empty = tf.zeros([0])  # the kernel would update the averages with an unbiased variance
        outputs, mean, variance = self._fused(inputs, empty, empty, training=True)
        # The kernel divides the variance by one value less than there are, Keras by all.
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)
        return outputs, mean, variance * ((count - 1.0) / count)

    def _by_real_examples(
        self, inputs: tf.Tensor, batch: _BatchWeights, mask: Any, is_fused: bool
    ) -> tf.Tensor:
        """Returns the outputs of all rows, with the statistics of the real examples."""
        if mask is not None or self.renorm or self.axis not in (-1, inputs.shape.rank - 1):
            raise ValueError(
                "Inside padding_scope, BatchNormalization supports neither masks nor renorm, and "
                f"only the last axis. Received: mask={mask}, renorm={self.renorm}, "
                f"axis={self.axis}"
            )
        if is_fused:  # only the last batch of an epoch has padding examples
            outputs, mean, variance = tf.cond(
                batch.is_full,
                lambda: self._by_batch(inputs),
                lambda: self._weighted(inputs, batch.weights),
            )
        else:
            outputs, mean, variance = self._weighted(inputs, batch.weights)
        self._update_averages(mean, variance)
        return outputs

    def _weighted(
        self, inputs: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns (outputs, mean, variance), with the statistics of the rows of weight 1.

        If `synchronized`, these are the rows of all replicas.
        """
        wide = tf.float64 if inputs.dtype == tf.float64 else tf.float32
        values = tf.cast(inputs, wide)
        weights = tf.cast(weights, wide)[tf.newaxis]
        positions = list(range(1, inputs.shape.rank - 1))
        per_row = tf.cast(tf.reduce_prod(tf.shape(inputs)[1:-1]), wide)
        count = self._over_replicas(tf.reduce_sum(weights) * per_row)

        def mean_of(values: tf.Tensor) -> tf.Tensor:
            sums = tf.matmul(weights, tf.reduce_sum(values, positions))[0]
            return self._over_replicas(sums) / count

        mean = mean_of(values)
        variance = mean_of(tf.math.squared_difference(values, mean))
        outputs = tf.nn.batch_normalization(
            values,
            mean,
            variance,
            tf.cast(self.beta, wide) if self.center else None,
            tf.cast(self.gamma, wide) if self.scale else None,
            self.epsilon,
        )
        return tf.cast(outputs, inputs.dtype), mean, variance

    def _over_replicas(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the sum over the replicas if they are synchronized, else the values."""
        replica = tf.distribute.get_replica_context() if self.synchronized else None
        if replica is None:
            return values
        return replica.all_reduce(tf.distribute.ReduceOp.SUM, values)

    def _update_averages(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        for average, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + new * (1.0 - self.momentum))

    def _fused(
        self, inputs: tf.Tensor, mean: Any, variance: Any, *, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns (outputs, mean, variance) of TensorFlow's kernel."""
        channels = inputs.shape[-1:]
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            # Cast, since a model for inference may hold its weights in another dtype.
            scale=tf.cast(self.gamma, tf.float32) if self.scale else tf.ones(channels),
            offset=tf.cast(self.beta, tf.float32) if self.center else tf.zeros(channels),
            mean=tf.cast(mean, tf.float32),
            variance=tf.cast(variance, tf.float32),
            epsilon=self.epsilon,
            is_training=training,
        )
        return outputs, mean, variance
