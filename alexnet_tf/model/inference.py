"""A trained network as a fast function: for throughput, and in bfloat16 for latency too."""

import keras
import tensorflow as tf

from alexnet_tf.errors import choose
from alexnet_tf.model.local_response_normalization import compiled_normalization

PRECISIONS = ("float32", "bfloat16", "float16")


def inference_function(
    model: keras.Model, precision: str = "float32"
) -> tf.types.experimental.PolymorphicFunction:
    """Returns a model's forward pass compiled for this machine; the model itself is not changed.

    Nothing of training is in it, and what local response normalization does to each number is
    compiled into one pass over memory. In half precision a copy of the weights is kept in it: a
    fully connected layer reads each weight once for a batch, so for a single image half of the
    bytes is half of the time.

    Args:
      model: From `build_model` or `load_model`, in float32; its weights as they are now are
        copied into half precision, or shared in float32.
      precision: One of `PRECISIONS`.

    Returns:
      A tf.function from pixels [b, n, n, c], RGB or gray, 0..255, of any dtype, to probabilities,
      float32 [b, classes]. It is compiled anew for each batch size.

    Raises:
      InputError: The precision is unknown.
    """
    choose(precision, PRECISIONS, "precision")
    network = model if precision == "float32" else _in_half(model, precision)

    @tf.function
    def infer(images: tf.Tensor) -> tf.Tensor:
        with compiled_normalization():
            return network(tf.cast(images, tf.float32), training=False)

    return infer


def _in_half(model: keras.Model, precision: str) -> keras.Model:
    """Returns a copy with weights in half precision; the mean and the softmax stay in float32."""

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": precision})

    network = keras.models.clone_model(model, clone_function=copy)
    network.set_weights(model.get_weights())
    return network
