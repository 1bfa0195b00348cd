"""Warm-up requests: what TF Serving replays when it loads a version, before it takes others.

Without them the first request of each kind pays for the start of the graph.
"""

import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from alexnet_tf.data.images import center_crop
from alexnet_tf.system import import_optional

FOLDER = "assets.extra"
FILE = "tf_serving_warmup_requests"  # the name that TF Serving looks for


def write_warmup(folder: Path, name: str, squares: np.ndarray, input_pixels: int) -> None:
    """Writes one request for every signature into a SavedModel's folder.

    Args:
      folder: The SavedModel.
      name: What the model will be served as.
      squares: uint8 [b, r, r, c], resized images; they are in each request, all b of them.
      input_pixels: Side of the network's crop.

    Raises:
      InputError: The protos of TF Serving are not installed.
    """
    prediction_log_pb2 = import_optional(
        "tensorflow_serving.apis.prediction_log_pb2", "writing warm-up requests", "export"
    )
    encoded = tf.constant([tf.io.encode_jpeg(square).numpy() for square in squares])
    crops = center_crop(tf.constant(squares), input_pixels)
    inputs = {
        "serving_default": {"image_bytes": encoded},
        "ten_crop": {"image_bytes": encoded},
        "features": {"image_bytes": encoded},
        "predict_images": {"images": tf.cast(crops, tf.float32)},
        "predict_images_uint8": {"images": crops},
    }
    path = folder / FOLDER / FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for signature, tensors in inputs.items():
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            for key, tensor in tensors.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(tensor))
            writer.write(log.SerializeToString())
