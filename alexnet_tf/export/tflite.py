"""A network as a TFLite file: builtin operations only, in one of four precisions."""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.errors import InputError, choose
from alexnet_tf.evaluation.classifiers import names_of, preprocessing_of
from alexnet_tf.export.tflite_metadata import with_metadata
from alexnet_tf.system import quiet_stderr

QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
# What response normalization is made of. Its sums of squares span more than 8 bits can hold: in
# int8 it costs 12% of rms error at conv1's scale, in float32 1%.
_KEPT_IN_FLOAT = ("SQUARE", "MUL", "SQRT", "RSQRT", "ADD")


def to_tflite(
    model: keras.Model, quantize: str = "none", calibration: np.ndarray | None = None
) -> bytes:
    """Returns a network as a TFLite model with metadata.

    It takes `images` float32 [b, n, n, c], RGB or gray, 0..255 (laid out for one image; an
    interpreter may resize the batch), and gives `probabilities` float32 [b, classes].

    Args:
      model: From `build_model` or `load_model`.
      quantize: "none" (float32), "float16" (weights), "dynamic" (weights in int8, activations
        quantized as they come), or "int8" (activations too, but for response normalization).
      calibration: For "int8": float32 [m, n, n, c], training crops that show the activations'
        ranges; some hundred are enough.

    Raises:
      InputError: The quantization is unknown, or int8 is asked for without calibration images.
    """
    choose(quantize, QUANTIZATIONS, "--quantize")
    if quantize == "int8" and (calibration is None or not len(calibration)):
        raise InputError("--quantize int8 needs training images: name a --dataset")
    with _plain_saved_model(model) as folder, quiet_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own use of what it deprecates
        converter = tf.lite.TFLiteConverter.from_saved_model(os.fspath(folder))
        if quantize != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        converted = _to_int8(converter, calibration) if quantize == "int8" else converter.convert()
        return with_metadata(converted, names_of(model), preprocessing_of(model))


def _to_int8(converter: Any, calibration: Any) -> bytes:
    """Returns the model in int8, response normalization excepted."""

    def images() -> Iterator[list[np.ndarray]]:
        for image in calibration:
            yield [image[np.newaxis]]

    converter.representative_dataset = images
    # The debugger is the one public way to keep some operations in float.
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=images,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(
            denylisted_ops=list(_KEPT_IN_FLOAT)
        ),
    )
    return debugger.get_nondebug_quantized_model()


@contextlib.contextmanager
def _plain_saved_model(model: keras.Model) -> Iterator[Path]:
    """Gives a SavedModel of the network alone: crops in, probabilities out."""

    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, tf.float32, name="images")])
    def network(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(images, training=False)}

    module = tf.Module()
    module.weights = [v.value for v in model.variables if "seed_generator" not in v.path]
    with tempfile.TemporaryDirectory() as folder:
        signatures = {"serving_default": network.get_concrete_function()}
        tf.saved_model.save(module, folder, signatures=signatures)
        yield Path(folder)
