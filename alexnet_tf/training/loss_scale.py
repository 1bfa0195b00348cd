"""Training in float16: the loss is scaled up, so that small gradients do not become zero."""

from collections.abc import Sequence

import tensorflow as tf

FIRST_SCALE = 2.0**15
UPDATES_UNTIL_LARGER = 2000


class LossScale:
    """A factor of the loss that is as large as float16 allows (Micikevicius et al., 2018).

    Gradients are divided by it before the update. Where one of them is not finite the update is
    left out and the factor halved; after `UPDATES_UNTIL_LARGER` good updates it is doubled. Make it
    under the strategy's scope.

    Attributes:
      value: float32 scalar variable, the factor.
      good_in_row: int64 scalar variable, updates since it changed.
      good: bool scalar variable, whether the gradients at hand are finite.
    """

    def __init__(self) -> None:
        def variable(value: float, dtype: tf.DType) -> tf.Variable:
            # Every replica computes the same value.
            same = tf.VariableAggregation.ONLY_FIRST_REPLICA
            return tf.Variable(value, trainable=False, dtype=dtype, aggregation=same)

        self.value = variable(FIRST_SCALE, tf.float32)
        self.good_in_row = variable(0, tf.int64)
        self.good = variable(True, tf.bool)

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        """Returns what the gradients are to be taken of."""
        return loss * self.value

    def unscaled(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the gradients of the loss itself, notes whether they are finite, and moves on.

        Args:
          gradients: This replica's, of `scaled`, float32.
        """
        replica = tf.distribute.get_replica_context()
        factor = tf.convert_to_tensor(self.value)
        unscaled = [gradient / factor for gradient in gradients]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        if replica.num_replicas_in_sync > 1:
            bad = replica.all_reduce(tf.distribute.ReduceOp.SUM, 1.0 - tf.cast(finite, tf.float32))
            finite = tf.equal(bad, 0.0)
        in_row = tf.where(finite, self.good_in_row + 1, 0)
        larger = in_row >= UPDATES_UNTIL_LARGER
        changed = tf.where(finite, tf.where(larger, 2 * factor, factor), factor / 2)
        self.value.assign(tf.clip_by_value(changed, 1.0, 2.0**30))
        self.good_in_row.assign(tf.where(larger, tf.zeros_like(in_row), in_row))
        self.good.assign(finite)
        return unscaled
