"""Models on disk: one `.keras` file that holds everything, whole or not at all."""

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from alexnet_tf.errors import InputError
from alexnet_tf.files import atomic_path, check_local_path
from alexnet_tf.model.batch_normalization import BatchNormalization
from alexnet_tf.model.dropout import InvertedDropout, PaperDropout
from alexnet_tf.model.grouped_convolution import GroupedConv2D
from alexnet_tf.model.inputs import MeanSubtraction
from alexnet_tf.model.local_response_normalization import LocalResponseNormalization
from alexnet_tf.model.max_pooling import MaxPooling2D
from alexnet_tf.model.probabilities import Probabilities
from alexnet_tf.model.spatial_response_normalization import SpatialResponseNormalization

_LAYERS = (
    BatchNormalization,
    GroupedConv2D,
    InvertedDropout,
    LocalResponseNormalization,
    MaxPooling2D,
    MeanSubtraction,
    PaperDropout,
    Probabilities,
    SpatialResponseNormalization,
)
# What Keras, h5py, zipfile and json raise on files that are no models, or no longer.
_DAMAGE = (AttributeError, EOFError, KeyError, OSError, TypeError, ValueError)


def custom_objects() -> dict[str, type[keras.layers.Layer]]:
    """Returns this package's layers for `keras.models.load_model(path, custom_objects=...)`.

    Whoever imports this module has them registered and can leave that argument out.
    """
    return {f"alexnet_tf>{layer.__name__}": layer for layer in _LAYERS}


def save_model(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Writes a model as a `.keras` file: architecture, weights, input normalization, class names.

    It is written in float32 and for one device, whatever the model computes in and on: these belong
    to a run, and a model saved as bfloat16 would come back as such. The model itself is left as it
    is.

    Args:
      model: From `build_model`, or any Functional model.
      path: The file, ending in `.keras`; replaced only by a complete one.

    Raises:
      InputError: The path does not end in `.keras`.
      OSError: It cannot be written.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise InputError(f"{path}: a model's file must end in .keras")
    plain = keras.models.clone_model(model, clone_function=_in_float32)
    plain.set_weights(model.get_weights())
    with atomic_path(path) as temporary:
        plain.save(temporary)


def _in_float32(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns a new layer with the same arguments that computes in float32, on one device."""
    config = {**layer.get_config(), "dtype": "float32"}
    if isinstance(layer, keras.layers.BatchNormalization):
        config["synchronized"] = False
    return layer.__class__.from_config(config)


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """Reads a model that `save_model` wrote; nothing in the file is run as code.

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
        raise InputError(f"{path}: there is no such model")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: is no .keras file, or damaged")
    try:
        model: Any = keras.saving.load_model(
            path, custom_objects=custom_objects(), compile=False, safe_mode=True
        )
    except (*_DAMAGE, zipfile.BadZipFile, zlib.error) as error:
        reason = next(iter(str(error).strip().splitlines()), "it is damaged")
        raise InputError(f"{path}: cannot be read as a model: {reason}") from error
    layers = {type(layer) for layer in model.layers}
    if not {MeanSubtraction, Probabilities} <= layers:
        raise InputError(f"{path}: holds a model, but none of this package")
    check_finite(model, path)
    return model


def check_finite(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Checks that a model's weights are finite numbers.

    Args:
      model: Any model.
      path: The model's file, for the message.

    Raises:
      InputError: A weight is NaN or infinite; the message names the layer.
    """
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
