"""Read Caffe's `.caffemodel` files without Caffe: a few messages of caffe.proto.

Both layer formats are supported: V1, in which BVLC published its AlexNet, and the later one.
Numbers are not parsed until an array is read.
"""

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from alexnet_tf.model.weight_files.reading import StoredArray, StoredArrays, check_size, unreadable

_Field = descriptor_pb2.FieldDescriptorProto
_REPEATED = _Field.LABEL_REPEATED
# {message: {field: (number, type)}}: the required fields of caffe.proto. The type is a scalar or a
# message of this table.
#
# `data` and `double_data` are lists of packed numbers in caffe.proto. A packed list has the same
# encoding as `bytes`, which costs no parsing and no second copy of 244 MB.
_MESSAGES: dict[str, dict[str, tuple[int, int | str]]] = {
    "BlobShape": {"dim": (1, _Field.TYPE_INT64)},
    "BlobProto": {
        "num": (1, _Field.TYPE_INT32),  # num to width: the shape before `shape` was introduced
        "channels": (2, _Field.TYPE_INT32),
        "height": (3, _Field.TYPE_INT32),
        "width": (4, _Field.TYPE_INT32),
        "data": (5, _Field.TYPE_BYTES),
        "shape": (7, "BlobShape"),
        "double_data": (8, _Field.TYPE_BYTES),
    },
    "V1LayerParameter": {"name": (4, _Field.TYPE_STRING), "blobs": (6, "BlobProto")},
    "LayerParameter": {"name": (1, _Field.TYPE_STRING), "blobs": (7, "BlobProto")},
    "NetParameter": {"layers": (2, "V1LayerParameter"), "layer": (100, "LayerParameter")},
}
_LISTS = ("dim", "blobs", "layers", "layer")


def read_caffemodel(path: Path) -> StoredArrays:
    """Returns the arrays of a `.caffemodel` file, named "<layer>/<number>".

    Kernels are (out, in / groups, height, width) and dense layers (out, in), as in Caffe.

    Args:
      path: The file. Its layers must be in the order of BVLC's AlexNet: CaffeNet, whose arrays
        have the same names and shapes, pools before it normalizes.

    Raises:
      InputError: The file is damaged, is not a Caffe model, or is CaffeNet.
    """
    check_size(path)
    net = _net_class()()
    try:
        net.ParseFromString(path.read_bytes())
    except (message.DecodeError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    layers = [*net.layers, *net.layer]
    if not any(layer.blobs for layer in layers):
        raise unreadable(path, "it has no layers with weights")
    names = [layer.name for layer in layers]
    if "norm1" in names and "pool1" in names and names.index("pool1") < names.index("norm1"):
        raise unreadable(
            path, "this is CaffeNet, which pools before it normalizes; bvlc_alexnet is supported"
        )
    return {
        f"{layer.name}/{number}": _stored_array(path, f"{layer.name}/{number}", blob, number == 1)
        for layer in layers
        for number, blob in enumerate(layer.blobs)
    }


@functools.cache
def _net_class() -> Any:
    """Returns the class of NetParameter messages."""
    file = descriptor_pb2.FileDescriptorProto(name="caffemodel.proto", package="caffemodel")
    for message_name, fields in _MESSAGES.items():
        declared = file.message_type.add(name=message_name)
        for name, (number, kind) in fields.items():
            field = declared.field.add(name=name, number=number)
            field.label = _REPEATED if name in _LISTS else _Field.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".caffemodel.{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffemodel.NetParameter"))


def _stored_array(path: Path, name: str, blob: Any, is_bias: bool) -> StoredArray:
    """Returns an array whose numbers are read later; its shape must fit them."""
    is_double = not blob.data
    content = blob.double_data if is_double else blob.data
    dtype = np.dtype("<f8" if is_double else "<f4")
    if blob.HasField("shape"):
        shape = tuple(int(side) for side in blob.shape.dim)
    else:  # dense kernels are (1, 1, out, in) and biases (1, 1, 1, out)
        shape = (blob.num, blob.channels, blob.height, blob.width)
        while len(shape) > (1 if is_bias else 2) and shape[0] == 1:
            shape = shape[1:]
    if min(shape, default=0) < 1 or math.prod(shape) * dtype.itemsize != len(content):
        raise unreadable(path, f"{name} has {len(content):,} bytes for an array of shape {shape}")
    return StoredArray(shape, dtype.name, functools.partial(_numbers, content, dtype, shape))


def _numbers(content: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the numbers in this machine's byte order."""
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))
