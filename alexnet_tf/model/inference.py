"""A trained network as a compiled function: for throughput, and for low latency in bfloat16."""

import contextlib

import keras
import tensorflow as tf

from alexnet_tf.errors import choose
from alexnet_tf.model.layers.compiled import native_kernels, training_kernels

PRECISIONS = ("float32", "bfloat16", "float16")


def inference_function(
    model: keras.Model, precision: str = "float32"
) -> tf.types.experimental.PolymorphicFunction:
    """Returns the forward pass of a model, compiled for this machine; the model is not changed.

    The function contains no operations of training, and uses `inference_kernels`. In half precision
    it has a copy of the weights: a fully connected layer reads each weight once per batch, so that
    half the bytes take half the time for a single image.

    Args:
      model: From `build_model` or `load_model`, in float32. In float32 the function shares the
        model's weights; in half precision it copies their present values.
      precision: One of `PRECISIONS`.

    Returns:
      A tf.function from pixels [batch, size, size, channels], RGB or gray, 0..255, of any dtype,
      to probabilities, float32 [batch, classes]. It is compiled once per batch size.

    Raises:
      InputError: The precision is not supported.
    """
    choose(precision, PRECISIONS, "precision")
    network = model if precision == "float32" else _in_half(model, precision)

    @tf.function
    def infer(images: tf.Tensor) -> tf.Tensor:
        with inference_kernels():
            return network(tf.cast(images, tf.float32), training=False)

    return infer


def inference_kernels() -> contextlib.AbstractContextManager[None]:
    """Returns the scope in which a forward pass is fastest on this machine.

    That is `native_kernels` on GPUs, whose kernels are cuDNN's, and `training_kernels` on CPUs. The
    first batch takes half a second longer.
    """
    return native_kernels() if tf.config.list_logical_devices("GPU") else training_kernels()


def _in_half(model: keras.Model, precision: str) -> keras.Model:
    """Returns a copy with weights in half precision; the mean and the softmax stay in float32."""

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": precision})

    network = keras.models.clone_model(model, clone_function=copy)
    network.set_weights(model.get_weights())
    return network
