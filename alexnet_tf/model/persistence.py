"""Save and load models, and copy weights between them. A `.keras` file contains everything."""

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from alexnet_tf.errors import InputError
from alexnet_tf.files import atomic_path, check_local_path
from alexnet_tf.model import layers
from alexnet_tf.model.layers import InvertedDropout, MeanSubtraction, PaperDropout, Probabilities

_NEEDED = (
    "needed: an input of RGB or gray values 0 to 255, the layers of alexnet_tf.build_model from "
    "`mean` (MeanSubtraction) over conv1 ... fc8 to the output `prob` (Probabilities, with the "
    "class names); build that network and copy the weights into it"
)
# What Keras, h5py, zipfile and json raise for files that are damaged or are not models.
_DAMAGE = (AttributeError, EOFError, KeyError, OSError, TypeError, ValueError)


def custom_objects() -> dict[str, type[keras.layers.Layer]]:
    """Returns this package's layers for `keras.models.load_model(path, custom_objects=...)`.

    Importing this module also registers them, so that the argument can be omitted.

    Returns:
      The classes, by the names under which `.keras` files refer to them.

    Examples:
      >>> an.custom_objects()["alexnet_tf>MaxPooling2D"] is an.MaxPooling2D
      True
    """
    return {f"alexnet_tf>{name}": getattr(layers, name) for name in layers.__all__}


def save_model(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Writes a model as a `.keras` file: architecture, weights, input normalization, class names.

    The saved model computes in float32 on one device, whatever the model itself uses: precision
    and devices belong to a run, and a model saved in bfloat16 would be loaded in bfloat16. The
    model passed is not changed.

    Args:
      model: From `build_model`, or any Functional model.
      path: The file, ending in `.keras`. An existing file is replaced atomically.

    Raises:
      InputError: The path does not end in `.keras`.
      OSError: The file cannot be written.

    Examples:
      >>> an.save_model(an.build_model("lenet", classes=10), "lenet.keras")
      >>> an.load_model("lenet.keras").output_shape
      (None, 10)
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise InputError(f"{path}: the name of a model file must end in .keras")

    def in_float32(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = {**layer.get_config(), "dtype": "float32"}
        if isinstance(layer, keras.layers.BatchNormalization):
            config["synchronized"] = False  # on one device
        return layer.__class__.from_config(config)

    plain = keras.models.clone_model(model, clone_function=in_float32)
    plain.set_weights(model.get_weights())
    with atomic_path(path) as temporary:
        plain.save(temporary)


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """Loads a model that `save_model` wrote, without executing code from the file.

    Args:
      path: The `.keras` file.

    Returns:
      The model, in float32, not compiled.

    Raises:
      InputError: The file does not exist, is damaged, is not a model of this package, or has NaN or
        infinite weights.
    """
    check_local_path(path)
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: model file not found")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: is not a .keras file, or is damaged")
    foreign = InputError(f"{path}: is a Keras model, but not one of this package; {_NEEDED}")
    if _is_foreign(path):
        raise foreign
    try:
        model: Any = keras.saving.load_model(
            path, custom_objects=custom_objects(), compile=False, safe_mode=True
        )
    except (*_DAMAGE, zipfile.BadZipFile, zlib.error) as error:
        reason = next(iter(str(error).strip().splitlines()), "the file is damaged")
        raise InputError(f"{path}: cannot be loaded as a model: {reason}") from error
    if not {MeanSubtraction, Probabilities} <= {type(layer) for layer in model.layers}:
        raise foreign
    check_finite(model, path)
    return model


def _is_foreign(path: Path) -> bool:
    """Returns whether the configuration in a `.keras` file has no layers of this package."""
    try:
        with zipfile.ZipFile(path) as archive:
            config = archive.read("config.json")
    except (*_DAMAGE, zipfile.BadZipFile, zlib.error):
        return False  # damaged, which loading reports
    return any(layer.__name__.encode() not in config for layer in (MeanSubtraction, Probabilities))


def copy_weights(source: keras.Model, target: keras.Model, *, classes: np.ndarray | None) -> None:
    """Copies the weights of a model layer by layer, including the mean.

    Args:
      source: A trained model.
      target: A model of the same network; its number of classes may differ.
      classes: int64, the source's class number for each class of the target; None: the last layer
        is not copied.

    Raises:
      InputError: The networks differ. The message names the first layer that differs.
    """
    for ours, theirs in zip(target.layers, source.layers, strict=False):
        if ours.name != theirs.name:
            raise InputError(
                f"the network of the weights differs: it has the layer {theirs.name} where this "
                f"network has {ours.name}"
            )
    last = [layer.name for layer in target.layers if isinstance(layer, keras.layers.Dense)][-1]
    for ours, theirs in zip(target.layers, source.layers, strict=True):
        if isinstance(ours, PaperDropout | InvertedDropout) or (
            ours.name == last and classes is None
        ):
            continue
        for weight, value in zip(ours.weights, theirs.get_weights(), strict=True):
            if ours.name == last:
                value = value[..., classes]
            if tuple(weight.shape) != np.shape(value):
                raise InputError(
                    f"the weights of {ours.name} must have shape {tuple(weight.shape)}. "
                    f"Received: {np.shape(value)}"
                )
            weight.assign(value)


def check_finite(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Raises an InputError that names the file and the layer if a weight is NaN or infinite."""
    for layer in model.layers:
        if not all(map(is_finite, layer.get_weights())):
            raise InputError(
                f"{path}: the model has NaN or infinite weights in {layer.name}: use a model from "
                "before training diverged"
            )


def is_finite(array: np.ndarray) -> bool:
    """Returns whether an array of numbers has neither NaN nor infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        # The sum is several times faster, but may overflow where all numbers are finite.
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())
