"""The loss scale of training in float16."""

from collections.abc import Sequence

import tensorflow as tf

INITIAL_LOSS_SCALE = 2.0**15
_UPDATES_UNTIL_LARGER = 2000


class LossScale:
    """A factor of the loss that is as large as float16 allows (Micikevicius et al., 2018).

    Without it, small gradients become zero in float16. Gradients are divided by it before the
    update. If one of them is not finite, the update is skipped and the factor halved; after
    `_UPDATES_UNTIL_LARGER` updates without that, the factor is doubled. Create it under the
    strategy's scope.

    Attributes:
      value: float32 scalar variable, the factor.
      good_in_row: int64 scalar variable, updates since it changed.
      good: bool scalar variable, whether all gradients of this update are finite.
    """

    def __init__(self) -> None:
        def variable(value: float, dtype: tf.DType) -> tf.Variable:
            # Every replica computes the same value.
            same = tf.VariableAggregation.ONLY_FIRST_REPLICA
            return tf.Variable(value, trainable=False, dtype=dtype, aggregation=same)

        self.value = variable(INITIAL_LOSS_SCALE, tf.float32)
        self.good_in_row = variable(0, tf.int64)
        self.good = variable(True, tf.bool)

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        """Returns the loss whose gradients `unscaled` takes."""
        return loss * self.value

    def unscaled(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the gradients of the loss itself, and updates the factor.

        Args:
          gradients: This replica's gradients of the scaled loss, float32.
        """
        replica = tf.distribute.get_replica_context()
        factor = tf.convert_to_tensor(self.value)
        unscaled = [gradient / factor for gradient in gradients]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        if replica.num_replicas_in_sync > 1:
            bad = replica.all_reduce(tf.distribute.ReduceOp.SUM, 1.0 - tf.cast(finite, tf.float32))
            finite = tf.equal(bad, 0.0)
        in_row = tf.where(finite, self.good_in_row + 1, 0)
        larger = in_row >= _UPDATES_UNTIL_LARGER
        changed = tf.where(finite, tf.where(larger, 2 * factor, factor), factor / 2)
        self.value.assign(tf.clip_by_value(changed, 1.0, 2.0**30))
        self.good_in_row.assign(tf.where(larger, tf.zeros_like(in_row), in_row))
        self.good.assign(finite)
        return unscaled
