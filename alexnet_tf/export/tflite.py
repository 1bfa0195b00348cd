"""Converts a network to TFLite with builtin operations only, in one of four precisions.

The file carries TFLite metadata, from which tools on phones read a model's input and labels: a
flatbuffer inside the model, by the schema of TensorFlow Lite Support (`metadata_schema.fbs`, root
`ModelMetadata`, identifier "M001"). No maintained package writes it, so that it is built here slot
by slot. The label file is in a ZIP archive appended to the model, which `unzip` opens.
"""

import contextlib
import dataclasses
import io
import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
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
from alexnet_tf.export.verify import NO_TRAINING_IMAGES
from alexnet_tf.system import quiet_stderr

QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
# The operations of local response normalization. Their sums of squares span more than 8 bits can
# hold: the rms error at conv1's scale is 12% in int8, 1% in float32.
_KEPT_IN_FLOAT = ("SQUARE", "MUL", "SQRT", "RSQRT", "ADD")

BUFFER_NAME = "TFLITE_METADATA"
IDENTIFIER = b"M001"
_TENSOR_AXIS_LABELS = 2  # AssociatedFileType.TENSOR_AXIS_LABELS
_RGB, _GRAYSCALE = 1, 2  # ColorSpaceType
_IMAGE = 2  # ImageProperties in the union ContentProperties
_NORMALIZATION = 1  # NormalizationOptions in the union ProcessUnitOptions
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # constant, so that the same model gives the same file


def to_tflite(
    model: keras.Model, quantize: str = "none", calibration: np.ndarray | None = None
) -> bytes:
    """Converts a network to a TFLite model with metadata.

    Its input is `images` float32 [b, n, n, c], RGB or gray, 0..255; its output is `probabilities`
    float32 [b, classes]. Memory is allocated for b = 1; an interpreter may resize the batch to any
    b from 1 on.

    Args:
      model: From `build_model` or `load_model`.
      quantize: "none" (float32), "float16" (weights), "dynamic" (weights in int8, activations
        quantized at run time), or "int8" (weights and activations; response normalization in
        float32).
      calibration: For "int8": float32 [m, n, n, c], some hundred crops of training images, which
        give the ranges of the activations.

    Returns:
      The content of a `.tflite` file.

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
        converted = _to_int8(converter, calibration) if quantize == "int8" else converter.convert()
        return with_metadata(converted, names_of(model), preprocessing_of(model))


def _to_int8(converter: Any, calibration: Any) -> bytes:
    """Converts to int8, with response normalization in float32."""

    def images() -> Iterator[list[np.ndarray]]:
        for image in calibration:
            yield [image[np.newaxis]]

    converter.representative_dataset = images
    # No other public interface keeps some operations in float.
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
    """Yields the folder of a temporary SavedModel from crops to probabilities."""

    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, tf.float32, name="images")])
    def network(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(images, training=False)}

    module = tf.Module()
    module.weights = [v.value for v in model.variables if "seed_generator" not in v.path]
    with tempfile.TemporaryDirectory() as folder:
        signatures = {"serving_default": network.get_concrete_function()}
        tf.saved_model.save(module, folder, signatures=signatures)
        yield Path(folder)


def with_metadata(
    model: bytes, class_names: tuple[str, ...], preprocessing: Preprocessing
) -> bytes:
    """Adds metadata, class names and preprocessing to a TFLite model.

    Args:
      model: A TFLite model with one input, images on the 0..255 scale, and one output,
        probabilities.
      class_names: Names ordered by class index.
      preprocessing: Size and channels of the input.

    Returns:
      The content of a `.tflite` file.
    """
    parsed = flatbuffer_utils.convert_bytearray_to_object(model)
    buffer = schema.BufferT()
    buffer.data = list(_metadata(preprocessing))
    entry = schema.MetadataT()
    entry.name, entry.buffer = BUFFER_NAME, len(parsed.buffers)
    parsed.buffers.append(buffer)
    parsed.metadata = [*(parsed.metadata or []), entry]
    file = io.BytesIO(flatbuffer_utils.convert_object_to_bytearray(parsed))
    texts = {CLASS_NAMES: names_to_text(class_names), PREPROCESSING: preprocessing.to_text()}
    with zipfile.ZipFile(file, "a") as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_DATE), text)
    return file.getvalue()


@dataclasses.dataclass(frozen=True)
class _Table:
    """A flatbuffer table: pairs of slot and value (a string, _Table, list or _Number)."""

    fields: Sequence[tuple[int, Any]]


@dataclasses.dataclass(frozen=True)
class _Number:
    """An unsigned number inside a table, of `size` bytes."""

    value: int
    size: int


def _metadata(preprocessing: Preprocessing) -> bytes:
    """Returns the metadata as a flatbuffer; the slots are those of the schema."""
    pixels = _Number(preprocessing.input_pixels, 4)
    colors = _Number(_RGB if preprocessing.channels == 3 else _GRAYSCALE, 1)
    properties = _Table([(0, colors), (1, _Table([(0, pixels), (1, pixels)]))])
    # The network subtracts the mean itself: its input is not normalized.
    no_normalization = _Table([(0, [0.0]), (1, [1.0])])
    image = _Table(
        [
            (0, "images"),
            (1, "Center crop of an image resized to resize_pixels of preprocessing.json; 0..255."),
            (3, _Table([(0, _Number(_IMAGE, 1)), (1, properties)])),
            (4, [_Table([(0, _Number(_NORMALIZATION, 1)), (1, no_normalization)])]),
            (5, _Table([(0, [255.0]), (1, [0.0])])),
        ]
    )
    labels = _Table(
        [(0, CLASS_NAMES), (1, "Class names, one per line."), (2, _Number(_TENSOR_AXIS_LABELS, 1))]
    )
    probabilities = _Table(
        [
            (0, "probabilities"),
            (1, "One probability per class; their sum is 1."),
            (5, _Table([(0, [1.0]), (1, [0.0])])),
            (6, [labels]),
        ]
    )
    graph = _Table([(2, [image]), (3, [probabilities])])
    root = _Table(
        [(0, "AlexNet"), (1, "Image classifier."), (3, [graph]), (5, "Apache-2.0"), (7, "1.0.0")]
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, root), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _write(builder: flatbuffers.Builder, value: Any) -> int:
    """Writes a value after all values that it refers to, and returns its offset."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, list):
        are_tables = isinstance(value[0], _Table)
        items = [_write(builder, item) for item in value] if are_tables else value
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            if are_tables:
                builder.PrependUOffsetTRelative(item)
            else:
                builder.PrependFloat32(item)
        return builder.EndVector()
    written = [
        (slot, field if isinstance(field, _Number) else _write(builder, field))
        for slot, field in value.fields
    ]
    builder.StartObject(max(slot for slot, _ in written) + 1)
    for slot, field in written:
        if not isinstance(field, _Number):
            builder.PrependUOffsetTRelativeSlot(slot, field, 0)
        elif field.size == 1:
            builder.PrependUint8Slot(slot, field.value, 0)
        else:
            builder.PrependUint32Slot(slot, field.value, 0)
    return builder.EndObject()
