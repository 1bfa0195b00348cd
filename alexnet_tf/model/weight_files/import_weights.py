"""Build a model with weights from Caffe, torchvision or Keras.

Names, shapes and types are checked before an array is read, and its numbers before they are used.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import keras
import numpy as np

from alexnet_tf import imagenet, paper
from alexnet_tf.errors import InputError, choose
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import is_finite
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
from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import Recipe

# The mean RGB of ILSVRC-2012's training images, which BVLC's models subtract.
CAFFE_MEAN = (122.67891434, 116.66876762, 104.00698793)

_CONVERTED = ("float16", "float64")
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


class _Format(NamedTuple):
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
    ".onnx": _Format(read_onnx, "caffe", _onnx_name, True, "chw", has_constants=True),
    ".npy": _Format(read_npy, "caffe", _numbered_name, False, "hwc"),
    ".pth": _Format(read_torch, "torchvision", _torchvision_name, True, "chw"),
    ".pt": _Format(read_torch, "torchvision", _torchvision_name, True, "chw"),
    ".safetensors": _Format(read_safetensors, "torchvision", _torchvision_name, True, "chw"),
    ".caffemodel": _Format(read_caffemodel, "caffe", _numbered_name, True, "chw"),
    ".weights.h5": _Format(read_keras_weights, None, _numbered_name, False, "hwc"),
    ".h5": _Format(read_keras_h5, None, _numbered_name, False, "hwc"),
    ".hdf5": _Format(read_keras_h5, None, _numbered_name, False, "hwc"),
}


class _Source(NamedTuple):
    """The array in the file that a weight of the model is read from.

    Attributes:
      name: The array's name.
      shape: The array's shape.
      weight: The model's weight.
      outputs_first: Whether the array is a kernel with its outputs first, unlike Keras'.
      flattened: Height, width and channels of the layer's inputs before they were flattened, if
        the array has the channels first; else None.
    """

    name: str
    shape: tuple[int, ...]
    weight: Any
    outputs_first: bool
    flattened: tuple[int, int, int] | None


def import_weights(
    path: str | os.PathLike[str],
    *,
    recipe: str | Recipe | None = None,
    class_names: Sequence[str] | None = None,
    fc6_order: Fc6Order | None = None,
    on_message: Callable[[str], None] | None = None,
) -> keras.Model:
    """Builds a model with weights from Caffe, torchvision or Keras.

    Args:
      path: BVLC AlexNet as `.caffemodel`, `.onnx` or an `.npy` dictionary {"conv1": [weights,
        biases], ...}; torchvision's alexnet as `.pth` or `.safetensors`; or Keras weights, as
        `.weights.h5` of Keras 3 or `.h5` of Keras 1 or 2.
      recipe: The network that the weights belong to. None: `caffe` for BVLC's files, `torchvision`
        for torchvision's, `paper` for Keras'.
      class_names: By class index; None: ImageNet's if there are 1000 classes.
      fc6_order: How the inputs of the first dense layer are flattened, which its shape does not
        show: "chw" (channels first, as in Caffe and PyTorch) or "hwc" (channels last, as in Keras).
        None: "hwc" for `.npy` and Keras' files, "chw" for the others.
      on_message: Called with one line for each type that is converted to float32; or None.

    Returns:
      The model, in float32. Like every model of this package it takes RGB 0..255; channel order and
      mean are handled inside.

    Raises:
      InputError: The file does not exist, is damaged or is not of a supported format; a weight is
        missing, has another shape or type, or is NaN or infinite; or the number of class names is
        not the number of classes.
    """
    path = Path(path)
    file_format = _find_format(path)
    order = choose(fc6_order or file_format.fc6_order, get_args(Fc6Order), "--fc6-order")
    chosen = recipe or file_format.recipe or "paper"
    chosen = get_recipe(chosen) if isinstance(chosen, str) else chosen
    if file_format.recipe is not None and chosen.network.norm == "batch":
        raise InputError(
            f"{path}: {path.suffix} weights have no batch normalization, which {chosen.name} has: "
            f"give --recipe {file_format.recipe}"
        )
    arrays = file_format.read(path)
    classes = _classes(path, arrays, file_format, chosen.network)
    if class_names is None and classes == paper.CLASSES:
        class_names = imagenet.class_names()
    has_mean = file_format.read is read_keras_weights
    model = build_model(
        chosen,
        classes=classes,
        class_names=class_names,
        mean=None if has_mean or chosen.network.mean != "image" else CAFFE_MEAN,
    )
    sources = _sources(model, file_format, order, chosen.network, has_mean)
    _check(path, arrays, sources, file_format)
    for dtype in _CONVERTED:
        names = [source.name for source in sources if arrays[source.name].dtype == dtype]
        if names and on_message is not None:
            on_message(f"{path}: converted from {dtype} to float32: {_shortened(names)}")
    for source in sources:
        _assign(path, arrays, source)
    return model


def _find_format(path: Path) -> _Format:
    """Returns the format of a file by its extension; an error gives the conversion, if known."""
    for extension, file_format in _FORMATS.items():
        if path.name.endswith(extension):
            return file_format
    remedy = _CONVERSIONS.get(path.suffix.lower())
    raise InputError(
        f"{path}: {path.suffix or 'this file'} is not supported"
        + (f": {remedy}" if remedy else f": expected one of {', '.join(_FORMATS)}")
    )


def _classes(path: Path, arrays: StoredArrays, file_format: _Format, network: Network) -> int:
    """Returns the number of classes of the file's last layer."""
    last = f"fc{len(network.convolutions) + len(network.hidden_units) + 1}"
    name = file_format.name(last, 1, network)
    if name not in arrays:
        raise InputError(f"{path}: {name}, the biases of {last}, not found. {_found(arrays)}")
    shape = arrays[name].shape
    if len(shape) != 1 or shape[0] < 2:
        raise InputError(f"{path}: {name} is {shape}, expected one number per class")
    return int(shape[0])


def _sources(
    model: keras.Model, file_format: _Format, order: str, network: Network, has_mean: bool
) -> list[_Source]:
    """Returns where each weight of the model is read from."""
    first_dense = f"fc{len(network.convolutions) + 1}"
    sources = []
    for layer in model.layers:
        if not layer.weights or "dropout" in layer.name or (layer.name == "mean" and not has_mean):
            continue
        for number, weight in enumerate(layer.weights):
            is_kernel = number == 0
            outputs_first = file_format.outputs_first and is_kernel
            shape = tuple(int(side) for side in weight.shape)
            if outputs_first:
                shape = (*shape[:-3:-1], *shape[:-2])
            flattened = None
            if order == "chw" and is_kernel and layer.name == first_dense:
                flattened = model.get_layer("flatten").input.shape[1:]
            name = file_format.name(layer.name, number, network)
            sources.append(_Source(name, shape, weight, outputs_first, flattened))
    return sources


def _in_keras_layout(array: np.ndarray, source: _Source) -> np.ndarray:
    """Returns an array with its axes, and the inputs of fc6, in Keras' order."""
    if source.outputs_first:
        array = array.transpose(*range(2, array.ndim), 1, 0)
    if source.flattened is not None:
        rows, columns, channels = source.flattened
        cube = array.reshape(channels, rows, columns, -1).transpose(1, 2, 0, 3)
        array = cube.reshape(array.shape)
    return array


def _check(path: Path, arrays: StoredArrays, sources: list[_Source], file_format: _Format) -> None:
    """Checks names, shapes and types before any array is read."""
    for source in sources:
        entry = arrays.get(source.name)
        if entry is None:
            raise InputError(f"{path}: {source.name} not found. {_found(arrays)}")
        if entry.shape != source.shape:
            raise InputError(f"{path}: {source.name} is {entry.shape}, expected {source.shape}")
        if entry.dtype not in ("float32", *_CONVERTED):
            raise InputError(f"{path}: {source.name} is {entry.dtype}, expected float32")
    extra = sorted(arrays.keys() - {source.name for source in sources})
    if extra and not file_format.has_constants:
        raise InputError(f"{path}: has {', '.join(extra[:5])}, which this network does not have")


def _assign(path: Path, arrays: StoredArrays, source: _Source) -> None:
    """Reads one array into the model: as the file declares it, and finite."""
    entry = arrays[source.name]
    try:
        array = entry.read()
    except (ValueError, TypeError, OSError, EOFError) as error:
        raise InputError(f"{path}: {source.name} is damaged: {error}") from error
    if array.shape != source.shape or array.dtype != entry.dtype:
        raise InputError(
            f"{path}: {source.name} is damaged: {array.shape} {array.dtype}, expected "
            f"{source.shape} {entry.dtype}"
        )
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not is_finite(array):
        raise InputError(f"{path}: {source.name} has NaN or infinite weights")
    source.weight.assign(_in_keras_layout(array, source))


def _found(arrays: StoredArrays) -> str:
    """Returns a sentence that lists the arrays in a file."""
    return f"Found: {_shortened(sorted(arrays)) or 'nothing'}"


def _shortened(names: list[str]) -> str:
    """Returns the first names and the number of others."""
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more
