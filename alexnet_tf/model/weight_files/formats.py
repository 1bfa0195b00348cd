"""The supported formats of weight files, and the names of their arrays."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from alexnet_tf.errors import InputError
from alexnet_tf.model.weight_files.caffemodel import read_caffemodel
from alexnet_tf.model.weight_files.npy_file import NPZ_REMEDY, PICKLE_REMEDY, read_npy
from alexnet_tf.model.weight_files.reading import StoredArrays
from alexnet_tf.model.weight_files.tensor_files import (
    read_keras_h5,
    read_keras_weights,
    read_onnx,
    read_safetensors,
)
from alexnet_tf.model.weight_files.torch_file import read_torch
from alexnet_tf.network_settings import Network

Fc6Order = Literal["chw", "hwc"]
_Names = Callable[[str, int, Network], str]
# How to convert files of other formats, by suffix.
_CONVERSIONS = {
    ".npz": NPZ_REMEDY,
    ".pkl": PICKLE_REMEDY,
    ".pickle": PICKLE_REMEDY,
    ".keras": "a model of this package needs no import; of another model use "
    "model.save_weights('model.weights.h5')",
    ".bin": "if PyTorch wrote it, rename it to .pth",
}


class Format(NamedTuple):
    """A format of weight files.

    Attributes:
      read: Returns the arrays.
      recipe: The network that the weights belong to; None: the user names it.
      name: Returns the name, in the file, of a layer's kernel (0) or bias (1).
      outputs_first: Whether kernels are (out, in, height, width) and dense layers (out, in); else
        they have Keras' layout.
      fc6_order: How the inputs of fc6, the first dense layer, are flattened: "chw", as in Caffe and
        PyTorch, or "hwc", as in Keras.
      has_constants: Whether the file may contain constants that are not weights.
    """

    read: Callable[[Path], StoredArrays]
    recipe: str | None
    name: _Names
    outputs_first: bool
    fc6_order: Fc6Order
    has_constants: bool = False


def _onnx_name(layer: str, number: int, network: Network) -> str:
    return f"{layer}_{'wb'[number]}_0"


def _numbered_name(layer: str, number: int, network: Network) -> str:
    return f"{layer}/{number}"


def _torchvision_name(layer: str, number: int, network: Network) -> str:
    """Returns the name in torchvision's two Sequentials, where relu, pool and dropout count too."""
    part = ("weight", "bias")[number]
    index = int("".join(c for c in layer if c.isdecimal())) - 1
    blocks = network.convolutions
    if layer.startswith("conv"):
        return f"features.{index + sum(len(block.then) for block in blocks[:index])}.{part}"
    hidden = index - len(blocks)
    position = 3 * hidden + 1 if hidden < len(network.hidden_units) else 3 * hidden
    return f"classifier.{position}.{part}"


_FORMATS = {
    ".onnx": Format(read_onnx, "caffe", _onnx_name, True, "chw", has_constants=True),
    ".npy": Format(read_npy, "caffe", _numbered_name, False, "hwc"),
    ".pth": Format(read_torch, "torchvision", _torchvision_name, True, "chw"),
    ".pt": Format(read_torch, "torchvision", _torchvision_name, True, "chw"),
    ".safetensors": Format(read_safetensors, "torchvision", _torchvision_name, True, "chw"),
    ".caffemodel": Format(read_caffemodel, "caffe", _numbered_name, True, "chw"),
    ".weights.h5": Format(read_keras_weights, None, _numbered_name, False, "hwc"),
    ".h5": Format(read_keras_h5, None, _numbered_name, False, "hwc"),
    ".hdf5": Format(read_keras_h5, None, _numbered_name, False, "hwc"),
}


def find_format(path: Path) -> Format:
    """Returns the format of a file by its extension.

    Raises:
      InputError: The format is not supported; the message gives the conversion, if known.
    """
    for extension, found in _FORMATS.items():
        if path.name.endswith(extension):
            return found
    remedy = _CONVERSIONS.get(path.suffix.lower())
    raise InputError(
        f"{path}: {path.suffix or 'this file'} is not supported"
        + (f": {remedy}" if remedy else f": expected one of {', '.join(_FORMATS)}")
    )
