"""Convert a network to TFLite with builtin operations only, in one of four precisions.

The file contains TFLite metadata, from which tools on phones read a model's input and labels: a
flatbuffer inside the model, by the schema of TensorFlow Lite Support (`metadata_schema.fbs`, root
`ModelMetadata`, identifier "M001"). No maintained package writes it, so that it is built here slot
by slot. The label file is in a ZIP archive appended to the model, which `unzip` opens.
"""

import contextlib
import io
import os
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flatbuffers
import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from alexnet_tf.errors import InputError, choose
from alexnet_tf.evaluation.classifiers import (
    CLASS_NAMES,
    PREPROCESSING,
    Preprocessing,
    names_of,
    names_to_text,
    preprocessing_of,
)
from alexnet_tf.export.saved_model import module_of
from alexnet_tf.model.layers import LocalResponseNormalization
from alexnet_tf.system import quiet_stderr

QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
NO_TRAINING_IMAGES = "--quantize int8 needs training images: give --dataset"
# Operations of response normalization and the softmax, which int8 files keep in float32. Sums of
# squares span more than 8 bits can hold: the rms error at conv1's scale is 12% in int8.
_KEPT_IN_FLOAT = ["SQUARE", "MUL", "SQRT", "RSQRT", "ADD", "SOFTMAX"]

_DESCRIPTIONS = np.uint8(1)  # AssociatedFileType.DESCRIPTIONS
_TENSOR_AXIS_LABELS = np.uint8(2)  # AssociatedFileType.TENSOR_AXIS_LABELS
_RGB, _GRAYSCALE = np.uint8(1), np.uint8(2)  # ColorSpaceType
_IMAGE = np.uint8(2)  # ImageProperties in the union ContentProperties
_NORMALIZATION = np.uint8(1)  # NormalizationOptions in the union ProcessUnitOptions
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # constant, so that the same model gives the same file


def to_tflite(
    model: keras.Model, quantize: str = "none", calibration: np.ndarray | None = None
) -> bytes:
    """Converts a network to the content of a `.tflite` file with metadata.

    Its input is `images` float32 [b, n, n, c], RGB or gray, 0..255; its output is `probabilities`
    float32 [b, classes]. Memory is allocated for b = 1; an interpreter may resize the batch to any
    b from 1 on.

    Args:
      model: From `build_model` or `load_model`.
      quantize: "none" (float32), "float16" (weights), "dynamic" (weights in int8, activations
        quantized at run time), or "int8" (weights and activations; response normalization and the
        last layer in float32).
      calibration: For "int8": float32 [m, n, n, c], some hundred crops of training images, which
        give the ranges of the activations.

    Raises:
      InputError: The quantization is unknown, or int8 lacks calibration images.
    """
    choose(quantize, QUANTIZATIONS, "--quantize")
    if quantize == "int8" and (calibration is None or not len(calibration)):
        raise InputError(NO_TRAINING_IMAGES)
    with _plain_saved_model(model) as folder, quiet_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter calls functions that it deprecates
        converter = tf.lite.TFLiteConverter.from_saved_model(os.fspath(folder))
        if quantize != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantize == "int8":
            converted = _to_int8(converter, calibration, _float_nodes(model, folder))
        else:
            converted = converter.convert()
        return _with_metadata(converted, model)


def _float_nodes(model: keras.Model, folder: Path) -> list[str]:
    """Returns the names of further operations that stay in float32 in an int8 file.

    These are the sums of response normalization, and the last layer with its logits: of two classes
    that are about equally probable, int8 often gives both the same logit, and then the wrong class.
    """
    content = tf.lite.TFLiteConverter.from_saved_model(os.fspath(folder)).convert()
    graph = flatbuffer_utils.convert_bytearray_to_object(content).subgraphs[0]
    outputs = [graph.tensors[operator.outputs[0]].name.decode() for operator in graph.operators]
    last = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dense)][-1]
    norms = [x.name for x in model.layers if isinstance(x, LocalResponseNormalization)]
    # An operation is named by its layer: "alexnet/norm1_1/Conv2D".
    pattern = re.compile(rf"\b({'|'.join([last, *norms])})(_\d+)?/")
    return [name for name in outputs if pattern.search(name)]


def _to_int8(converter: Any, calibration: Any, float_nodes: list[str]) -> bytes:
    """Converts to int8, with some operations in float32."""

    def images() -> Iterator[list[np.ndarray]]:
        for image in calibration:
            yield [image[np.newaxis]]

    converter.representative_dataset = images
    # No other public interface keeps some operations in float.
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=images,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(
            denylisted_ops=_KEPT_IN_FLOAT, denylisted_nodes=float_nodes
        ),
    )
    return debugger.get_nondebug_quantized_model()


@contextlib.contextmanager
def _plain_saved_model(model: keras.Model) -> Iterator[Path]:
    """Yields the folder of a temporary SavedModel from crops to probabilities."""

    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, tf.float32, name="images")])
    def network(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(images, training=False)}

    with tempfile.TemporaryDirectory() as folder:
        signatures = {"serving_default": network.get_concrete_function()}
        tf.saved_model.save(module_of(model), folder, signatures=signatures)
        yield Path(folder)


def _with_metadata(converted: bytes, model: keras.Model) -> bytes:
    """Adds metadata, class names and preprocessing of a Keras model to its TFLite model."""
    parsed = flatbuffer_utils.convert_bytearray_to_object(converted)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = list(_metadata(model))
    entry.name, entry.buffer = "TFLITE_METADATA", len(parsed.buffers)
    parsed.buffers.append(buffer)
    parsed.metadata = [*(parsed.metadata or []), entry]
    file = io.BytesIO(flatbuffer_utils.convert_object_to_bytearray(parsed))
    names, preprocessing = names_to_text(names_of(model)), preprocessing_of(model).to_text()
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo(CLASS_NAMES, _ZIP_DATE), names)
        archive.writestr(zipfile.ZipInfo(PREPROCESSING, _ZIP_DATE), preprocessing)
    return file.getvalue()


def _metadata(model: keras.Model) -> bytes:
    """Returns the metadata as a flatbuffer: tables are dicts from the schema's slots to values."""
    preprocessing = preprocessing_of(model)
    pixels = np.uint32(preprocessing.input_pixels)
    colors = _RGB if preprocessing.channels == 3 else _GRAYSCALE
    # The network subtracts the mean itself: its input is not normalized.
    no_normalization = {0: [0.0], 1: [1.0]}
    image = {
        0: "images",
        1: _input_description(preprocessing),
        3: {0: _IMAGE, 1: {0: colors, 1: {0: pixels, 1: pixels}}},
        4: [{0: _NORMALIZATION, 1: no_normalization}],
        5: {0: [255.0], 1: [0.0]},
        6: [{0: PREPROCESSING, 1: "All steps from an image to this input.", 2: _DESCRIPTIONS}],
    }
    probabilities = {
        0: "probabilities",
        1: "One probability per class; their sum is 1.",
        5: {0: [1.0], 1: [0.0]},
        6: [{0: CLASS_NAMES, 1: "Class names, one per line.", 2: _TENSOR_AXIS_LABELS}],
    }
    graph = {2: [image], 3: [probabilities]}
    root = {0: "AlexNet", 1: "Image classifier.", 3: [graph], 5: "Apache-2.0", 7: "1.0.0"}
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, root), file_identifier=b"M001")
    return bytes(builder.Output())


def _input_description(preprocessing: Preprocessing) -> str:
    """Returns the steps from an image to the input, for people."""
    resized, pixels = preprocessing.resize_pixels, preprocessing.input_pixels
    order = "RGB" if preprocessing.channels == 3 else "gray"
    return (
        f"{order} values 0..255 as float32. Resize the image so that its shorter side is {resized} "
        "pixels (bilinear with antialiasing, rounded to whole levels), and crop the central "
        f"{resized}x{resized}, then of it the central {pixels}x{pixels}. Do not subtract a mean: "
        "the network does."
    )


def _write(builder: flatbuffers.Builder, value: Any) -> int:
    """Writes a string, list or table after all values that it refers to, and returns its offset."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, list):
        are_tables = isinstance(value[0], dict)
        items = [_write(builder, item) for item in value] if are_tables else value
        prepend = builder.PrependUOffsetTRelative if are_tables else builder.PrependFloat32
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            prepend(item)
        return builder.EndVector()
    fields = {
        slot: field if isinstance(field, np.integer) else _write(builder, field)
        for slot, field in value.items()
    }
    builder.StartObject(max(fields) + 1)
    for slot, field in fields.items():
        if isinstance(field, np.uint8):
            builder.PrependUint8Slot(slot, int(field), 0)
        elif isinstance(field, np.uint32):
            builder.PrependUint32Slot(slot, int(field), 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, field, 0)
    return builder.EndObject()
