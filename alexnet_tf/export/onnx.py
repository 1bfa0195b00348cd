"""Convert a network to ONNX, for ONNX Runtime and other tools."""

import json
import logging

import keras
import tensorflow as tf

from alexnet_tf.evaluation.classifiers import (
    CLASS_NAMES,
    PREPROCESSING,
    names_of,
    preprocessing_of,
)
from alexnet_tf.system import import_optional, quiet_stderr

_OPSET = 17


def to_onnx(model: keras.Model) -> bytes:
    """Converts a network to the content of an `.onnx` file.

    Its input is `images` float32 [b, n, n, c], RGB or gray, 0..255; its output is `probabilities`
    float32 [b, classes]. Class names and preprocessing are stored as metadata.

    Args:
      model: From `build_model` or `load_model`.

    Raises:
      InputError: tf2onnx is not installed.
    """
    tf2onnx = import_optional("tf2onnx", "writing .onnx files", "onnx")
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)

    def network(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(images, training=False)}

    spec = tf.TensorSpec(model.input_shape, tf.float32, name="images")
    with quiet_stderr():
        converted, _ = tf2onnx.convert.from_function(
            tf.function(network), input_signature=[spec], opset=_OPSET
        )
    names = json.dumps(names_of(model), ensure_ascii=False)
    preprocessing = preprocessing_of(model).to_text()
    for key, value in ((CLASS_NAMES, names), (PREPROCESSING, preprocessing)):
        converted.metadata_props.add(key=key, value=value)
    return converted.SerializeToString()
