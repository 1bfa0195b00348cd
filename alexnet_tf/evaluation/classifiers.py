"""One face for a trained network, whatever file it lies in: .keras, SavedModel, .tflite, .onnx."""

import dataclasses
import importlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.preprocessing import (
    CLASS_NAMES,
    PREPROCESSING,
    Preprocessing,
    names_from_text,
)
from alexnet_tf.evaluation.target import resized_pixels
from alexnet_tf.files import check_local_path
from alexnet_tf.model.inspection import class_names
from alexnet_tf.model.persistence import load_model
from alexnet_tf.runs import is_run, model_file
from alexnet_tf.system import available_cores, import_optional, quiet_stderr


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A network ready to be asked.

    Attributes:
      name: The file it came from.
      class_names: By class number.
      preprocessing: What images go through first.
      probabilities: float32 [b, n, n, c], RGB or gray, 0..255, to float32 [b, classes].
    """

    name: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    probabilities: Callable[[np.ndarray], np.ndarray]


def open_classifier(path: str | os.PathLike[str]) -> Classifier:
    """Opens a network from any file that training or `export` writes.

    Args:
      path: A run's folder, a `.keras`, `.tflite` or `.onnx` file, a SavedModel's folder, or the
        folder of its versions (the highest is taken).

    Raises:
      InputError: It is none of these, is damaged, or carries no class names and preprocessing.
    """
    check_local_path(path, "--model")
    path = Path(path)
    if path.is_dir():
        if is_run(path):
            return open_classifier(model_file(path))
        return _from_saved_model(saved_model_folder(path))
    if not path.is_file():
        raise InputError(f"{path}: there is no such model")
    openers = {".keras": _from_keras_file, ".tflite": _from_tflite, ".onnx": _from_onnx}
    if path.suffix not in openers:
        raise InputError(
            f"{path}: no model by its name: expected a run's folder, a SavedModel's folder, or a "
            f"file ending in {', '.join(openers)}"
        )
    return openers[path.suffix](path)


def saved_model_folder(path: Path) -> Path:
    """Returns the folder that holds saved_model.pb: this one, or its highest version.

    Raises:
      InputError: There is none.
    """
    if (path / "saved_model.pb").is_file():
        return path
    versions = [
        v for v in path.iterdir() if v.name.isdecimal() and (v / "saved_model.pb").is_file()
    ]
    if not versions:
        raise InputError(f"{path}: neither a run's folder nor a SavedModel's")
    return max(versions, key=lambda version: int(version.name))


def from_model(model: keras.Model, name: str) -> Classifier:
    """Returns a Keras model of this package as a classifier.

    Args:
      model: From `build_model` or `load_model`.
      name: What messages call it.
    """
    step = tf.function(
        lambda images: model(images, training=False),
        input_signature=[tf.TensorSpec(model.input_shape, tf.float32)],
    )
    return Classifier(
        name,
        names_of(model),
        preprocessing_of(model),
        lambda images: step(tf.convert_to_tensor(images, tf.float32)).numpy(),
    )


def preprocessing_of(model: keras.Model) -> Preprocessing:
    """Returns what a Keras model of this package has in its layers."""
    pixels, channels = int(model.input_shape[1]), int(model.input_shape[3])
    return Preprocessing(resized_pixels(model), pixels, channels)


def names_of(model: keras.Model) -> tuple[str, ...]:
    """Returns a model's class names; numbers where it has none."""
    classes = int(model.output_shape[-1])
    return tuple(class_names(model) or (str(number) for number in range(classes)))


def _from_keras_file(path: Path) -> Classifier:
    return from_model(load_model(path), os.fspath(path))


def _from_saved_model(folder: Path) -> Classifier:
    try:
        names = names_from_text((folder / "assets" / CLASS_NAMES).read_bytes())
        preprocessing = Preprocessing.from_text((folder / "assets" / PREPROCESSING).read_bytes())
        loaded: Any = tf.saved_model.load(folder)
        predict = loaded.signatures["predict_images"]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise _not_ours(folder, error) from error

    def probabilities(images: np.ndarray) -> np.ndarray:
        return predict(images=tf.constant(images, tf.float32))["all_probabilities"].numpy()

    classifier = Classifier(os.fspath(folder), names, preprocessing, probabilities)
    # The loaded object owns the weights, and a signature alone does not keep it alive.
    object.__setattr__(classifier, "_loaded", loaded)
    return classifier


def _from_tflite(path: Path) -> Classifier:
    interpreter_module = import_optional(
        "ai_edge_litert.interpreter", "running .tflite files", "export"
    )
    try:
        with zipfile.ZipFile(path) as archive:
            names = names_from_text(archive.read(CLASS_NAMES))
            preprocessing = Preprocessing.from_text(archive.read(PREPROCESSING))
        interpreter = interpreter_module.Interpreter(
            model_path=os.fspath(path), num_threads=available_cores()
        )
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise _not_ours(path, error) from error
    given, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = [0]  # of the batch that memory is laid out for

    def probabilities(images: np.ndarray) -> np.ndarray:
        if not len(images):  # which TFLite does not support
            return np.zeros((0, answer["shape"][-1]), np.float32)
        if rows[0] != len(images):
            interpreter.resize_tensor_input(given["index"], images.shape)
            with quiet_stderr():  # it announces its delegate
                interpreter.allocate_tensors()
            rows[0] = len(images)
        interpreter.set_tensor(given["index"], np.asarray(images, np.float32))
        interpreter.invoke()
        return interpreter.get_tensor(answer["index"])

    return Classifier(os.fspath(path), names, preprocessing, probabilities)


def _from_onnx(path: Path) -> Classifier:
    runtime = import_optional("onnxruntime", "running .onnx files", "onnx")
    damage: tuple[type[Exception], ...] = (KeyError, ValueError, *_onnx_errors())
    try:
        session = runtime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
        properties = session.get_modelmeta().custom_metadata_map
        names = tuple(json.loads(properties[CLASS_NAMES]))
        preprocessing = Preprocessing.from_text(properties[PREPROCESSING])
    except damage as error:
        raise _not_ours(path, error) from error
    given = session.get_inputs()[0].name

    def probabilities(images: np.ndarray) -> np.ndarray:
        return session.run(None, {given: np.asarray(images, np.float32)})[0]

    return Classifier(os.fspath(path), names, preprocessing, probabilities)


def _onnx_errors() -> tuple[type[Exception], ...]:
    """Returns what ONNX Runtime raises on files that it cannot load; they have no common base."""
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile")
    return tuple(getattr(state, name) for name in (*names, "NotImplemented", "RuntimeException"))


def _not_ours(path: Path, error: Exception) -> InputError:
    """Returns the error for a file that cannot be read, or that `export` has not written."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return InputError(f"{path}: cannot be used as a model that `export` wrote: {reason[:200]}")
