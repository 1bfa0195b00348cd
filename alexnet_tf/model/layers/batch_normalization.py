"""Batch normalization in TensorFlow's fused kernels, which Keras's layer does without."""

from typing import Any

import keras
import tensorflow as tf

_FUSED_DTYPES = (tf.float32, tf.bfloat16, tf.float16)


@keras.saving.register_keras_serializable(package="alexnet_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's batch normalization, of images in fewer passes over memory (Ioffe and Szegedy, 2015).

    Keras casts to float32 and has an operation for each step of the formula; the fused kernels read
    and write activations as they are and sum in float32. What is computed is the same. Where they
    do not fit (several devices that normalize together, masks, renormalization, other axes, ranks
    and dtypes), it is Keras's.

    Input and output: [batch, height, width, maps], any float dtype; weights and averages are
    float32.
    """

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns the activations with mean beta and standard deviation gamma in each map.

        In training these are of the batch, and the moving averages follow; else of the averages.
        """
        inputs = tf.convert_to_tensor(inputs)
        training = bool(training) and self.trainable
        if mask is not None or not self._fits(inputs, training):
            return super().call(inputs, training=training, mask=mask)
        if training:
            return self._by_batch(inputs)
        return self._fused(inputs, self.moving_mean, self.moving_variance, training=False)[0]

    def _fits(self, inputs: tf.Tensor, training: bool) -> bool:
        maps_last = inputs.shape.rank == 4 and self.axis in (-1, 3)
        together = training and (self.synchronized or self.renorm)
        return maps_last and not together and inputs.dtype in _FUSED_DTYPES

    def _by_batch(self, inputs: tf.Tensor) -> tf.Tensor:
        nothing = tf.zeros([0])  # the kernel would move these itself, by another variance
        outputs, mean, variance = self._fused(inputs, nothing, nothing, training=True)
        # The kernel's variance is divided by one value less than there are, Keras's by all.
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)
        variance *= (count - 1.0) / count
        for average, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + new * (1.0 - self.momentum))
        return outputs

    def _fused(
        self, inputs: tf.Tensor, mean: Any, variance: Any, *, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        maps = inputs.shape[-1:]
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            # Cast, as a model for inference may hold its weights in another dtype.
            scale=tf.cast(self.gamma, tf.float32) if self.scale else tf.ones(maps),
            offset=tf.cast(self.beta, tf.float32) if self.center else tf.zeros(maps),
            mean=tf.cast(mean, tf.float32),
            variance=tf.cast(variance, tf.float32),
            epsilon=self.epsilon,
            is_training=training,
        )
        return outputs, mean, variance
