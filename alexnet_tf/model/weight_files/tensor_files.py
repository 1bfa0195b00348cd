"""Read ONNX, safetensors and Keras HDF5 files, without running code in them."""

import functools
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import safetensors
from google.protobuf.message import DecodeError

from alexnet_tf.model.weight_files.reading import StoredArray, StoredArrays, check_size, unreadable
from alexnet_tf.system import import_optional

_SAFETENSORS_NAMES = {"F16": "float16", "F32": "float32", "F64": "float64", "BF16": "bfloat16"}


def read_onnx(path: Path) -> StoredArrays:
    """Returns the constants of an ONNX graph.

    Raises:
      InputError: The file is damaged, refers to other files, or stores a dense layer's matrix as
        (inputs, outputs), unlike Caffe; or onnx is not installed.
    """
    check_size(path)
    onnx = import_optional("onnx", "reading .onnx files", "onnx")
    helper = import_optional("onnx.numpy_helper", "reading .onnx files", "onnx")
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except (DecodeError, ValueError, TypeError) as error:
        raise unreadable(path, error) from error
    arrays: StoredArrays = {}
    for tensor in graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise unreadable(path, f"{tensor.name} is stored in another file")
        try:
            kind = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        except ValueError as error:
            raise unreadable(path, f"{tensor.name}: {error}") from None
        name = {"float": "float32", "double": "float64"}.get(kind, kind)
        arrays[tensor.name] = StoredArray(
            tuple(tensor.dims), name, functools.partial(helper.to_array, tensor)
        )
    for node in graph.node:
        transposed = {a.name: a.i for a in node.attribute}.get("transB", 0)
        matrix = node.input[1] if len(node.input) > 1 else None
        if node.op_type == "Gemm" and matrix in arrays and not transposed:
            raise unreadable(path, f"{matrix} is stored as (inputs, outputs)")
    return arrays


def read_safetensors(path: Path) -> StoredArrays:
    """Returns the tensors of a safetensors file.

    Raises:
      InputError: The file is damaged.
    """
    check_size(path)
    arrays: StoredArrays = {}
    try:
        with safetensors.safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                part = file.get_slice(name)
                dtype = _SAFETENSORS_NAMES.get(part.get_dtype(), part.get_dtype())
                arrays[name] = StoredArray(
                    tuple(part.get_shape()), dtype, functools.partial(_tensor, path, name)
                )
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return arrays


def _tensor(path: Path, name: str) -> np.ndarray:
    with safetensors.safe_open(path, framework="np") as file:
        tensor: np.ndarray = file.get_tensor(name)
        return tensor


def read_keras_weights(path: Path) -> StoredArrays:
    """Returns the arrays of a Keras 3 `.weights.h5` file, named "<layer>/<number>".

    Raises:
      InputError: The file is damaged, was written by another Keras, or points to other files.
    """
    check_size(path)
    arrays: StoredArrays = {}
    try:
        with h5py.File(path, "r") as file:
            layers = file.get("layers")
            if not isinstance(layers, h5py.Group):
                raise unreadable(
                    path, "it has no layers as Keras 3 writes them: use its save_weights"
                )
            for key in layers:
                _check_link(path, layers, key)
                _check_link(path, layers[key], "vars")
                variables = layers[key]["vars"]
                layer = variables.attrs.get("name", key)
                for number in variables:
                    arrays[f"{layer}/{number}"] = _array(path, variables, number)
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(path, error) from error
    return arrays


def read_keras_h5(path: Path) -> StoredArrays:
    """Returns the arrays of an `.h5` file of Keras 1 or 2, named "<layer>/<number>".

    The file was written by `model.save_weights` or `model.save`. Layers are identified by their
    order, since their names differ: those with 4-dimensional kernels are conv1, conv2, ..., and
    those with matrices follow as fc<number>. Other layers keep their names.

    Raises:
      InputError: The file is damaged, is not of this format, or points to other files.
    """
    check_size(path)
    arrays: StoredArrays = {}
    try:
        with h5py.File(path, "r") as file:
            group = file
            if "model_weights" in file:
                _check_link(path, file, "model_weights")
                group = file["model_weights"]
            if "layer_names" not in group.attrs:
                raise unreadable(path, "it has no layer_names as Keras 1 and 2 write them")
            layers = [_weight_names(path, group, _text(n)) for n in group.attrs["layer_names"]]
            counts = {4: 0, 2: 0}
            convolutions = sum(bool(names) and group[names[0]].ndim == 4 for names in layers)
            for names in filter(None, layers):
                rank = group[names[0]].ndim
                layer = names[0].partition("/")[0]
                if rank in counts:
                    counts[rank] += 1
                    layer = f"conv{counts[4]}" if rank == 4 else f"fc{convolutions + counts[2]}"
                for number, name in enumerate(names):
                    arrays[f"{layer}/{number}"] = _array(path, group, name)
    except (
        *(OSError, RuntimeError, KeyError, IndexError, TypeError, AttributeError),
        UnicodeDecodeError,
    ) as error:
        raise unreadable(path, error) from error
    return arrays


def _weight_names(path: Path, group: Any, layer: str) -> list[str]:
    """Returns the names of a layer's arrays below the group of all layers."""
    _check_link(path, group, layer)
    return [f"{layer}/{_text(name)}" for name in group[layer].attrs["weight_names"]]


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _array(path: Path, group: Any, name: str) -> StoredArray:
    """Returns an array, which must be stored in the file itself, with all groups above it."""
    for part in name.split("/")[:-1]:
        _check_link(path, group, part)
        group = group[part]
    name = name.rpartition("/")[2]
    _check_link(path, group, name)
    data = group[name]
    if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
        raise unreadable(path, f"{group.name}/{name} is not a plain array")
    return StoredArray(
        tuple(data.shape), str(data.dtype), functools.partial(_dataset, path, data.name)
    )


def _check_link(path: Path, group: Any, name: str) -> None:
    """Checks that a member exists and is stored in the file itself."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise unreadable(path, f"{group.name}/{name} is a link")


def _dataset(path: Path, name: str) -> np.ndarray:
    with h5py.File(path, "r") as file:
        values: np.ndarray = file[name][...]
        return values
