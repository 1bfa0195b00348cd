"""The weight file formats that can be imported, and the names of their arrays."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from alexnet_tf.errors import InputError
from alexnet_tf.model.foreign.caffemodel import read_caffemodel
from alexnet_tf.model.foreign.numpy_pickle import NPZ_REMEDY, PICKLE_REMEDY, read_npy
from alexnet_tf.model.foreign.tensor_files import (
    read_keras_h5,
    read_keras_weights,
    read_onnx,
    read_safetensors,
)
from alexnet_tf.model.foreign.torch_file import read_torch
from alexnet_tf.model.foreign.weight_file import Entries
from alexnet_tf.settings import Network

Fc6Order = Literal["chw", "hwc"]
_Names = Callable[[str, int, Network], str]
# Other files that people have, by their suffix, with how to convert them.
_CONVERSIONS = {
    ".npz": NPZ_REMEDY,
    ".pkl": PICKLE_REMEDY,
    ".pickle": PICKLE_REMEDY,
    ".keras": "a model of this package needs no import; of another model use "
    "model.save_weights('model.weights.h5')",
    ".bin": "if PyTorch wrote it, rename it to .pth",
}


class Format(NamedTuple):
    """A file format.

    Attributes:
      read: Returns the arrays.
      recipe: The network that the weights belong to; None: the user names it.
      name: Returns the name of a layer's kernel (0) or bias (1) in the file.
      outputs_first: Whether kernels are (out, in, height, width) and dense layers (out, in); else
        they have Keras' layout.
      fc6_order: How the inputs of fc6, the first dense layer, are flattened: "chw", as in Caffe and
        PyTorch, or "hwc", as in Keras.
      may_have_more: Whether the file may hold constants that are not weights.
    """

    read: Callable[[Path], Entries]
    recipe: str | None
    name: _Names
    outputs_first: bool
    fc6_order: Fc6Order
    may_have_more: bool = False


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
    ".onnx": Format(read_onnx, "caffe", _onnx_name, True, "chw", may_have_more=True),
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
    """Returns the format of a file, by its name.

    Raises:
      InputError: The name has another ending; the message says how to convert the file if known.
    """
    for ending, found in _FORMATS.items():
        if path.name.endswith(ending):
            return found
    remedy = _CONVERSIONS.get(path.suffix.lower())
    raise InputError(
        f"{path}: {path.suffix or 'this file'} is not supported"
        + (f": {remedy}" if remedy else f": expected one of {', '.join(_FORMATS)}")
    )
