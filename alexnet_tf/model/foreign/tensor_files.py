"""Reads ONNX, PyTorch, safetensors and Keras HDF5 files, without running code in them."""

import functools
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import safetensors

from alexnet_tf.model.foreign.weight_file import (
    MOST_BYTES,
    Entries,
    Entry,
    check_size,
    refused,
)
from alexnet_tf.system import import_optional

# What torch's restricted unpickler and its readers raise for damaged or hostile files.
_TORCH_DAMAGE = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, OSError),
    *(AttributeError, IndexError, KeyError, TypeError, UnicodeDecodeError, OverflowError),
    *(AssertionError, struct.error, MemoryError),
)
_SAFETENSORS_NAMES = {"F16": "float16", "F32": "float32", "F64": "float64", "BF16": "bfloat16"}


def read_onnx(path: Path) -> Entries:
    """Returns the constants of an ONNX graph.

    Raises:
      InputError: The file is damaged, refers to other files, or stores a dense layer's matrix as
        (inputs, outputs), unlike Caffe; or onnx is not installed.
    """
    check_size(path)
    onnx = import_optional("onnx", "reading .onnx files", "onnx")
    helper = import_optional("onnx.numpy_helper", "reading .onnx files", "onnx")
    decode_error = import_optional(
        "google.protobuf.message", "reading .onnx files", "onnx"
    ).DecodeError
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except (decode_error, ValueError, TypeError) as error:
        raise refused(path, error) from error
    entries: Entries = {}
    for tensor in graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise refused(path, f"{tensor.name} is stored in another file")
        try:
            kind = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        except ValueError as error:
            raise refused(path, f"{tensor.name}: {error}") from None
        name = {"float": "float32", "double": "float64"}.get(kind, kind)
        entries[tensor.name] = Entry(
            tuple(tensor.dims), name, functools.partial(helper.to_array, tensor)
        )
    for node in graph.node:
        transposed = {a.name: a.i for a in node.attribute}.get("transB", 0)
        matrix = node.input[1] if len(node.input) > 1 else None
        if node.op_type == "Gemm" and matrix in entries and not transposed:
            raise refused(path, f"{matrix} is stored as (inputs, outputs)")
    return entries


def read_torch(path: Path) -> Entries:
    """Returns the tensors of a PyTorch state dict, read with `weights_only`.

    Raises:
      InputError: The file is damaged, holds more than tensors, or torch is not installed.
    """
    check_size(path)
    torch = import_optional("torch", "reading .pth files", "torch")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > MOST_BYTES:
                raise refused(path, f"it takes {unpacked:,} bytes uncompressed")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _TORCH_DAMAGE as error:
        raise refused(path, error) from error
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise refused(path, "it is not a state dict: {name: tensor}")
    return {
        str(name): Entry(
            tuple(tensor.shape),
            str(tensor.dtype).removeprefix("torch."),
            functools.partial(_numbers, tensor),
        )
        for name, tensor in state.items()
    }


def _numbers(tensor: Any) -> np.ndarray:
    numbers: np.ndarray = tensor.detach().contiguous().numpy()
    return numbers


def read_safetensors(path: Path) -> Entries:
    """Returns the tensors of a safetensors file.

    Raises:
      InputError: The file is damaged.
    """
    check_size(path)
    entries: Entries = {}
    try:
        with safetensors.safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                part = file.get_slice(name)
                dtype = _SAFETENSORS_NAMES.get(part.get_dtype(), part.get_dtype())
                entries[name] = Entry(
                    tuple(part.get_shape()), dtype, functools.partial(_tensor, path, name)
                )
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise refused(path, error) from error
    return entries


def _tensor(path: Path, name: str) -> np.ndarray:
    with safetensors.safe_open(path, framework="np") as file:
        tensor: np.ndarray = file.get_tensor(name)
        return tensor


def read_keras_weights(path: Path) -> Entries:
    """Returns the arrays of a Keras 3 `.weights.h5` file, named "<layer>/<number>".

    Raises:
      InputError: The file is damaged, was written by another Keras, or points to other files.
    """
    check_size(path)
    entries: Entries = {}
    try:
        with h5py.File(path, "r") as file:
            layers = file.get("layers")
            if not isinstance(layers, h5py.Group):
                raise refused(
                    path,
                    "it has no layers as Keras 3 writes them: use its save_weights",
                )
            for key in layers:
                entries.update(_layer(path, layers, key))
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise refused(path, error) from error
    return entries


def _layer(path: Path, layers: Any, key: str) -> Entries:
    """Returns one layer's arrays."""
    place = f"layers/{key}/vars"
    for group, name in ((layers, key), (layers[key], "vars")):
        _check_link(path, group, name)
    variables = layers[key]["vars"]
    layer = variables.attrs.get("name", key)
    entries: Entries = {}
    for number in variables:
        _check_link(path, variables, number)
        data = variables[number]
        if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
            raise refused(path, f"{place}/{number} is not a plain array")
        name = f"{place}/{number}"
        entries[f"{layer}/{number}"] = Entry(
            tuple(data.shape), str(data.dtype), functools.partial(_dataset, path, name)
        )
    return entries


def _check_link(path: Path, group: Any, name: str) -> None:
    """Checks that a member is stored in the file itself.

    Raises:
      InputError: It is a link to another place or file, or does not exist.
    """
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise refused(path, f"{group.name}/{name} points to another place")


def _dataset(path: Path, name: str) -> np.ndarray:
    with h5py.File(path, "r") as file:
        values: np.ndarray = file[name][...]
        return values
