"""`import_weights`: a model of this package from a file of somebody else's weights.

Every array is asked for by name; its shape and type are checked before anything is read, and its
numbers before anything is written.
"""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from alexnet_tf import imagenet, paper
from alexnet_tf.errors import InputError
from alexnet_tf.model.foreign.numpy_pickle import read_npy
from alexnet_tf.model.foreign.tensor_files import (
    read_keras_weights,
    read_onnx,
    read_safetensors,
    read_torch,
)
from alexnet_tf.model.foreign.weight_file import Entries
from alexnet_tf.model.networks import build_model
from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import Network, Recipe

# Of ILSVRC-2012's training images, averaged over all pixels, RGB: what BVLC's models subtract.
CAFFE_MEAN = (122.67891434, 116.66876762, 104.00698793)

Names = Callable[[str, int, Network], str]


class Source(NamedTuple):
    """Where one of the model's weights comes from.

    Attributes:
      name: In the file.
      shape: In the file.
      variable: The weight.
      convert: From the file's layout to the weight's.
    """

    name: str
    shape: tuple[int, ...]
    variable: Any
    convert: Callable[[np.ndarray], np.ndarray]


class _Format(NamedTuple):
    """A kind of file.

    Attributes:
      read: Gives the arrays.
      recipe: What the weights are of; None: the user says.
      name: Of a layer's kernel (0) or biases (1) in the file.
      outputs_first: Whether kernels are (out, in, height, width) and dense layers (out, in), whose
        inputs are flattened maps first; else as Keras has them.
      may_have_more: Whether constants that are no weights may be there too.
    """

    read: Callable[[Path], Entries]
    recipe: str | None
    name: Names
    outputs_first: bool
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
    place = 3 * hidden + 1 if hidden < len(network.hidden_units) else 3 * hidden
    return f"classifier.{place}.{part}"


_FORMATS = {
    ".onnx": _Format(read_onnx, "caffe", _onnx_name, outputs_first=True, may_have_more=True),
    ".npy": _Format(read_npy, "caffe", _numbered_name, outputs_first=False),
    ".pth": _Format(read_torch, "torchvision", _torchvision_name, outputs_first=True),
    ".pt": _Format(read_torch, "torchvision", _torchvision_name, outputs_first=True),
    ".safetensors": _Format(read_safetensors, "torchvision", _torchvision_name, outputs_first=True),
    ".weights.h5": _Format(read_keras_weights, None, _numbered_name, outputs_first=False),
}


def import_weights(
    path: str | os.PathLike[str],
    *,
    recipe: str | Recipe | None = None,
    class_names: Sequence[str] | None = None,
) -> keras.Model:
    """Builds a model with weights from elsewhere.

    Args:
      path: BVLC AlexNet as `.onnx` or as the well-known `.npy` dictionary; torchvision's alexnet as
        `.pth` or `.safetensors`; or what `model.save_weights` wrote, `.weights.h5`.
      recipe: What the weights are of. None: `caffe` for the first two, `torchvision` for the next
        two, `paper` for the last.
      class_names: By class number; None: ImageNet's, where there are 1000 classes.

    Returns:
      The model, float32. It takes RGB 0..255 as every model here; channel order and mean are
      handled inside.

    Raises:
      InputError: The file is no such file, is damaged, lacks a weight, or has one of another shape
        or type; the message names it. Or the class names are not as many as the classes.
    """
    path = Path(path)
    form = file_format(path)
    chosen = recipe or form.recipe or "paper"
    chosen = get_recipe(chosen) if isinstance(chosen, str) else chosen
    if form.recipe is not None and chosen.network.norm == "batch":
        raise InputError(
            f"{path}: weights of others' networks have no batch normalization, which "
            f"{chosen.name} has: give --recipe {form.recipe}"
        )
    entries = form.read(path)
    classes = _classes(path, entries, form, chosen.network)
    if class_names is None and classes == paper.CLASSES:
        class_names = imagenet.class_names()
    keeps_mean = form.read is read_keras_weights
    model = build_model(
        chosen,
        classes=classes,
        class_names=class_names,
        mean=None if keeps_mean or chosen.network.mean != "image" else CAFFE_MEAN,
    )
    sources = _sources(model, form, chosen.network, keeps_mean)
    _check(path, entries, sources, form)
    for source in sources:
        _assign(path, entries, source)
    return model


def file_format(path: Path) -> _Format:
    """Returns how a file is read, by its name.

    Raises:
      InputError: It ends in none of the known ways.
    """
    for ending, form in _FORMATS.items():
        if path.name.endswith(ending):
            return form
    raise InputError(f"{path}: weights are read from files ending in {', '.join(_FORMATS)}")


def _classes(path: Path, entries: Entries, form: _Format, network: Network) -> int:
    """Returns how many classes the file's last layer tells apart."""
    last = f"fc{len(network.convolutions) + len(network.hidden_units) + 1}"
    name = form.name(last, 1, network)
    if name not in entries:
        raise InputError(f"{path}: has no {name}, the biases of {last}. It has {_some(entries)}")
    shape = entries[name].shape
    if len(shape) != 1 or shape[0] < 2:
        raise InputError(f"{path}: {name} is {shape}, expected one number per class")
    return int(shape[0])


def _sources(model: keras.Model, form: _Format, network: Network, keeps_mean: bool) -> list[Source]:
    """Returns where every weight of the model comes from."""
    sources = []
    maps: tuple[int, ...] | None = None  # what is flattened for the first dense layer
    for layer in model.layers:
        if layer.name == "flatten":
            maps = tuple(int(side) for side in layer.input.shape[1:])
        if (
            not layer.weights
            or "dropout" in layer.name
            or (layer.name == "mean" and not keeps_mean)
        ):
            continue
        for number, variable in enumerate(layer.weights):
            shape = tuple(int(side) for side in variable.shape)
            convert: Callable[[np.ndarray], np.ndarray] = _same
            if form.outputs_first and number == 0:
                shape, convert = _turned(
                    shape, maps if isinstance(layer, keras.layers.Dense) else None
                )
                maps = None if isinstance(layer, keras.layers.Dense) else maps
            name = form.name(layer.name, number, network)
            sources.append(Source(name, shape, variable, convert))
    return sources


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _turned(
    shape: tuple[int, ...], maps: tuple[int, ...] | None
) -> tuple[tuple[int, ...], Callable[[np.ndarray], np.ndarray]]:
    """Returns the shape of a kernel stored outputs first, and how to turn it into Keras's."""
    if len(shape) == 4:
        height, width, inputs, outputs = shape
        return (outputs, inputs, height, width), lambda a: a.transpose(2, 3, 1, 0)
    if maps is None:
        return shape[::-1], lambda a: a.T
    rows, columns, channels = maps

    def flattened_maps_last(array: np.ndarray) -> np.ndarray:
        cube = array.reshape(-1, channels, rows, columns)
        return cube.transpose(2, 3, 1, 0).reshape(math.prod(maps), -1)

    return shape[::-1], flattened_maps_last


def _check(path: Path, entries: Entries, sources: list[Source], form: _Format) -> None:
    """Checks names, shapes and types before anything is read.

    Raises:
      InputError: Something is missing, is too much, or differs.
    """
    for source in sources:
        entry = entries.get(source.name)
        if entry is None:
            raise InputError(f"{path}: has no {source.name}. It has {_some(entries)}")
        if entry.shape != source.shape:
            raise InputError(f"{path}: {source.name} is {entry.shape}, expected {source.shape}")
        if entry.dtype != "float32":
            raise InputError(f"{path}: {source.name} is {entry.dtype}, expected float32")
    extra = sorted(entries.keys() - {source.name for source in sources})
    if extra and not form.may_have_more:
        raise InputError(f"{path}: has {', '.join(extra[:5])}, which this network has not")


def _assign(path: Path, entries: Entries, source: Source) -> None:
    """Reads one array into the model.

    Raises:
      InputError: It is shorter than it says, or has numbers that are not finite.
    """
    try:
        array = entries[source.name].read()
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: {source.name} is damaged: {error}") from error
    if array.shape != source.shape or array.dtype != np.float32:
        raise InputError(f"{path}: {source.name} is {array.shape} {array.dtype} when read")
    if not np.isfinite(array).all():
        raise InputError(f"{path}: {source.name} has numbers that are not finite")
    source.variable.assign(source.convert(array))


def _some(entries: Entries) -> str:
    """Returns a few of a file's names."""
    names = sorted(entries)
    return (
        ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "") or "none"
    )
