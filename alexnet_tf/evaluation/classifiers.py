"""Open a trained network from a .keras, SavedModel, .tflite or .onnx file as a `Classifier`.

A `.keras` file has class names and preprocessing in its layers, the others as text and JSON.
"""

import dataclasses
import importlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.images import center_crop
from alexnet_tf.data.images import ten_crop as cut_ten_crops
from alexnet_tf.errors import InputError
from alexnet_tf.files import check_local_path
from alexnet_tf.model.inspection import class_names
from alexnet_tf.model.persistence import load_model
from alexnet_tf.paper import TEN_CROPS
from alexnet_tf.runs import is_run, model_file
from alexnet_tf.system import available_cores, import_optional, quiet_stderr

# Names in a SavedModel's assets, in a .tflite file's archive and in an .onnx file's metadata.
CLASS_NAMES = "class_names.txt"
PREPROCESSING = "preprocessing.json"
# The same for all networks; for programs that read exported files.
_FIXED_STEPS = {
    "resize": "shorter side to resize_pixels; longer side times resize_pixels / shorter, rounded",
    "resize_filter": "bilinear",
    "antialias": True,
    "resize_rounding": "nearest integer",
    "crop": "center",
    "value_range": [0, 255],
    "layout": "NHWC",
    "mean_subtraction": "in the network",
}
_CENTER = 4  # index of the center crop among the ten, after the four corners


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Steps from an image to the network's input. The network subtracts the mean itself.

    Attributes:
      resize_pixels: Side r of a resized image, cropped to r x r.
      input_pixels: Side of the network's input, a crop of the resized image.
      channels: 3 (RGB) or 1 (gray), 0..255.
    """

    resize_pixels: int
    input_pixels: int
    channels: int

    def to_text(self) -> str:
        """Returns the JSON that exported files store: these values and the fixed steps."""
        order = {"channel_order": "RGB" if self.channels == 3 else "gray"}
        return json.dumps({**dataclasses.asdict(self), **order, **_FIXED_STEPS})

    @classmethod
    def from_text(cls, text: str | bytes) -> "Preprocessing":
        """Parses the JSON that `to_text` wrote; earlier versions wrote the sizes alone.

        Raises:
          ValueError: The text is not such JSON, or describes other steps.
        """
        values: Any = json.loads(text)
        names = [field.name for field in dataclasses.fields(cls)]
        sizes = [values.get(name) for name in names] if isinstance(values, dict) else [None]
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ValueError(f"not a preprocessing: {values!r}")
        found = cls(*sizes)
        if values not in (dataclasses.asdict(found), json.loads(found.to_text())):
            raise ValueError(f"preprocessing is not supported: {values!r}")
        return found


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained network, ready to predict.

    Attributes:
      name: The file that it was read from.
      class_names: Names ordered by class index.
      preprocessing: Preprocessing of its input.
      probabilities: Function from crops, float32 [b, n, n, c], RGB or gray, 0..255, to
        probabilities, float32 [b, classes].
    """

    name: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    probabilities: Callable[[np.ndarray], np.ndarray]


# What `evaluate` takes: a Keras model, whose step it compiles, or an opened file of `export`.
Network: TypeAlias = keras.Model | Classifier


def open_network(path: str | os.PathLike[str]) -> Network:
    """Opens a `.keras` file as a Keras model, and any other file as a `Classifier`.

    Raises:
      InputError: As for `open_classifier`.
    """
    is_keras = Path(path).is_file() and Path(path).suffix not in _OPENERS
    return load_model(path) if is_keras else open_classifier(path)


def open_classifier(path: str | os.PathLike[str]) -> Classifier:
    """Opens a network from any file that training or `export` writes.

    Args:
      path: A run folder, a `.keras`, `.tflite` or `.onnx` file, the folder of a SavedModel, or the
        folder of its versions, of which the highest is opened.

    Returns:
      The network with its class names and preprocessing, for `predict`.

    Raises:
      InputError: It is not found, is damaged, or has no class names and preprocessing.
    """
    check_local_path(path, "--model")
    path = Path(path)
    if path.is_dir():
        if is_run(path):
            return open_classifier(model_file(path))
        return _from_saved_model(_saved_model_folder(path))
    if not path.is_file():
        raise InputError(f"--model {path} not found")
    if path.suffix == ".keras":
        return from_model(load_model(path), os.fspath(path))
    if path.suffix not in _OPENERS:
        raise InputError(
            f"{path} is not a model: give a run folder, the folder of a SavedModel, or a .keras, "
            ".tflite or .onnx file"
        )
    return _OPENERS[path.suffix](path)


def from_model(model: keras.Model, name: str) -> Classifier:
    """Returns a Keras model of this package as a classifier; `name` is its name in messages."""
    spec = tf.TensorSpec(model.input_shape, tf.float32)
    step = tf.function(lambda images: model(images, training=False), input_signature=[spec])
    return Classifier(
        name,
        names_of(model),
        preprocessing_of(model),
        lambda images: step(tf.convert_to_tensor(images, tf.float32)).numpy(),
    )


def crop_probabilities(
    network: Callable[[tf.Tensor], Any], images: tf.Tensor, input_pixels: int, *, ten_crop: bool
) -> tuple[tf.Tensor, ...]:
    """Returns a network's probabilities for the center crop and, if wanted, for ten crops.

    Args:
      network: Function from float32 [n, p, p, c], 0..255, to probabilities, float32 [n, classes].
      images: uint8 [b, r, r, c], resized.
      input_pixels: Side p of a crop.
      ten_crop: Whether to return the average over ten crops too (section 4.1). The center crop is
        one of the ten.

    Returns:
      float32 [b, classes] of the center crop; with `ten_crop` followed by the average.
    """
    if not ten_crop:
        return (network(tf.cast(center_crop(images, input_pixels), tf.float32)),)
    crops = tf.cast(cut_ten_crops(images, input_pixels), tf.float32)
    probabilities = network(tf.reshape(crops, (-1, *crops.shape[2:])))
    by_image = tf.reshape(probabilities, (-1, TEN_CROPS, probabilities.shape[-1]))
    return by_image[:, _CENTER], tf.reduce_mean(by_image, axis=1)


def resized_pixels(model: Network) -> int:
    """Returns the side in pixels of the resized images that a model's crops are cut from."""
    return preprocessing_of(model).resize_pixels


def preprocessing_of(model: Network) -> Preprocessing:
    """Returns the preprocessing of a model."""
    if isinstance(model, Classifier):
        return model.preprocessing
    pixels, channels = int(model.input_shape[1]), int(model.input_shape[3])
    mean = next((layer for layer in model.layers if layer.name == "mean"), None)
    return Preprocessing(int(getattr(mean, "resize_pixels", 0) or pixels), pixels, channels)


def names_of(model: Network) -> tuple[str, ...]:
    """Returns the class names of a model; class indices if it has none."""
    if isinstance(model, Classifier):
        return model.class_names
    classes = int(model.output_shape[-1])
    return tuple(class_names(model) or (str(index) for index in range(classes)))


def names_to_text(names: tuple[str, ...]) -> str:
    """Returns class names as the text of a file, one per line."""
    return "".join(" ".join(name.split()) + "\n" for name in names)


def _saved_model_folder(path: Path) -> Path:
    """Returns the folder that contains saved_model.pb: `path`, or its highest version."""
    if (path / "saved_model.pb").is_file():
        return path
    folders = [file.parent for file in path.glob("*/saved_model.pb")]
    versions = [folder for folder in folders if folder.name.isdecimal()]
    if not versions:
        raise InputError(f"{path} is neither a run folder nor the folder of a SavedModel")
    return max(versions, key=lambda version: int(version.name))


def _from_saved_model(folder: Path) -> Classifier:
    """Opens the folder of a SavedModel."""
    try:
        names = (folder / "assets" / CLASS_NAMES).read_text(encoding="utf-8").splitlines()
        preprocessing = Preprocessing.from_text((folder / "assets" / PREPROCESSING).read_bytes())
        loaded: Any = tf.saved_model.load(folder)
        if "predict_images" not in loaded.signatures:
            raise KeyError("predict_images")
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise _unusable(folder, error) from error

    def probabilities(images: np.ndarray) -> np.ndarray:
        # Reached through `loaded`, which owns the weights: a function does not keep it alive.
        predict = loaded.signatures["predict_images"]
        return predict(images=tf.constant(images, tf.float32))["all_probabilities"].numpy()

    return Classifier(os.fspath(folder), tuple(names), preprocessing, probabilities)


def _from_tflite(path: Path) -> Classifier:
    """Opens a .tflite file."""
    litert = import_optional("ai_edge_litert.interpreter", "running .tflite files", "export")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.read(CLASS_NAMES).decode("utf-8").splitlines()
            preprocessing = Preprocessing.from_text(archive.read(PREPROCESSING))
        interpreter = litert.Interpreter(model_path=os.fspath(path), num_threads=available_cores())
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise _unusable(path, error) from error
    input_details = interpreter.get_input_details()[0]
    output_details = interpreter.get_output_details()[0]
    allocated = [0]  # batch size that memory is allocated for

    def probabilities(images: np.ndarray) -> np.ndarray:
        if not len(images):  # which TFLite does not support
            return np.zeros((0, output_details["shape"][-1]), np.float32)
        if allocated[0] != len(images):
            interpreter.resize_tensor_input(input_details["index"], images.shape)
            with quiet_stderr():  # TFLite prints the name of its delegate
                interpreter.allocate_tensors()
            allocated[0] = len(images)
        interpreter.set_tensor(input_details["index"], np.asarray(images, np.float32))
        interpreter.invoke()
        return interpreter.get_tensor(output_details["index"])

    return Classifier(os.fspath(path), tuple(names), preprocessing, probabilities)


def _from_onnx(path: Path) -> Classifier:
    """Opens an .onnx file."""
    runtime = import_optional("onnxruntime", "running .onnx files", "onnx")
    # Its errors for files that it cannot load; they have no common base class.
    state = vars(importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")).values()
    errors = [e for e in state if isinstance(e, type) and issubclass(e, Exception)]
    damage: tuple[type[Exception], ...] = (KeyError, ValueError, *errors)
    try:
        with quiet_stderr():  # it warns of a home folder that it cannot write to
            session = runtime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
        properties = session.get_modelmeta().custom_metadata_map
        names = tuple(json.loads(properties[CLASS_NAMES]))
        preprocessing = Preprocessing.from_text(properties[PREPROCESSING])
    except damage as error:
        raise _unusable(path, error) from error
    input_name = session.get_inputs()[0].name

    def probabilities(images: np.ndarray) -> np.ndarray:
        return session.run(None, {input_name: np.asarray(images, np.float32)})[0]

    return Classifier(os.fspath(path), names, preprocessing, probabilities)


_OPENERS = {".tflite": _from_tflite, ".onnx": _from_onnx}


def _unusable(path: Path, error: Exception) -> InputError:
    """Returns the error for a file that is damaged or was not written by `export`."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return InputError(f"{path} is damaged or was not written by `export`: {reason[:200]}")
