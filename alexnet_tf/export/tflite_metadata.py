"""TFLite metadata: what tools on phones read to know a model's input and its labels.

The metadata is a flatbuffer of its own inside the model, by the schema that TensorFlow Lite Support
publishes (`metadata_schema.fbs`, root `ModelMetadata`, identifier "M001"); no package writes it any
more, so that it is built here, slot by slot. The label file itself is a ZIP archive appended to the
model, which `unzip` opens.
"""

import dataclasses
import io
import zipfile
from collections.abc import Sequence
from typing import Any

import flatbuffers
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from alexnet_tf.evaluation.preprocessing import (
    CLASS_NAMES,
    PREPROCESSING,
    Preprocessing,
    names_to_text,
)

BUFFER_NAME = "TFLITE_METADATA"
IDENTIFIER = b"M001"
_LABELS_OF_AN_AXIS = 2  # AssociatedFileType.TENSOR_AXIS_LABELS
_RGB, _GREY = 1, 2  # ColorSpaceType
_IMAGE = 2  # ImageProperties in the union ContentProperties
_NORMALIZATION = 1  # NormalizationOptions in the union ProcessUnitOptions
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # so that the same model gives the same file


def with_metadata(
    model: bytes, class_names: tuple[str, ...], preprocessing: Preprocessing
) -> bytes:
    """Returns a TFLite model with metadata, labels and preprocessing.

    Args:
      model: One input, images on the 0..255 scale; one output, probabilities.
      class_names: By class number.
      preprocessing: What images go through first.
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
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), text)
    return file.getvalue()


@dataclasses.dataclass(frozen=True)
class _Table:
    """A flatbuffer table: (slot, value) pairs, a value being a string, table, list or _Number."""

    fields: Sequence[tuple[int, Any]]


@dataclasses.dataclass(frozen=True)
class _Number:
    """A number inside a table; `size` in bytes, unsigned."""

    value: int
    size: int


def _metadata(preprocessing: Preprocessing) -> bytes:
    """Returns the flatbuffer; the slots are the schema's."""
    pixels = _Number(preprocessing.input_pixels, 4)
    colors = _Number(_RGB if preprocessing.channels == 3 else _GREY, 1)
    properties = _Table([(0, colors), (1, _Table([(0, pixels), (1, pixels)]))])
    # The network subtracts its mean itself: pixels go in as they are.
    as_they_are = _Table([(0, [0.0]), (1, [1.0])])
    image = _Table(
        [
            (0, "images"),
            (1, "The center of a photo resized to preprocessing.json's resize_pixels; 0..255."),
            (3, _Table([(0, _Number(_IMAGE, 1)), (1, properties)])),
            (4, [_Table([(0, _Number(_NORMALIZATION, 1)), (1, as_they_are)])]),
            (5, _Table([(0, [255.0]), (1, [0.0])])),
        ]
    )
    labels = _Table(
        [(0, CLASS_NAMES), (1, "Class names, one a line."), (2, _Number(_LABELS_OF_AN_AXIS, 1))]
    )
    probabilities = _Table(
        [
            (0, "probabilities"),
            (1, "One per class; they sum to 1."),
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
    """Writes a value, what it refers to first, and returns its offset."""
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
