"""A network as an ONNX file, for ONNX Runtime and what else reads it."""

import json
import logging

import keras
import tensorflow as tf

from alexnet_tf.evaluation.classifiers import names_of, preprocessing_of
from alexnet_tf.evaluation.preprocessing import CLASS_NAMES, PREPROCESSING
from alexnet_tf.optional import needed
from alexnet_tf.quiet import quiet_stderr

_OPSET = 17


def to_onnx(model: keras.Model) -> bytes:
    """Returns a network as an ONNX model.

    It takes `images` float32 [b, n, n, c], RGB or gray, 0..255, and gives `probabilities` float32
    [b, classes]. Class names and preprocessing are in its metadata.

    Args:
      model: From `build_model` or `load_model`.

    Raises:
      InputError: tf2onnx is not installed.
    """
    tf2onnx = needed("tf2onnx", "writing .onnx files", "onnx")
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)

    def network(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(images, training=False)}

    spec = tf.TensorSpec(model.input_shape, tf.float32, name="images")
    with quiet_stderr():
        converted, _ = tf2onnx.convert.from_function(
            tf.function(network), input_signature=[spec], opset=_OPSET
        )
    properties = {
        CLASS_NAMES: json.dumps(names_of(model), ensure_ascii=False),
        PREPROCESSING: preprocessing_of(model).to_text(),
    }
    for key, value in properties.items():
        entry = converted.metadata_props.add()
        entry.key, entry.value = key, value
    return converted.SerializeToString()
