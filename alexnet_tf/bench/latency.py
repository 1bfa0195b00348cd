"""Latency of a single image in every form in which a network is shipped."""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import open_classifier
from alexnet_tf.export.onnx import to_onnx
from alexnet_tf.export.saved_model import write_saved_model
from alexnet_tf.model.inference import inference_function
from alexnet_tf.model.networks import build_model
from alexnet_tf.settings import Recipe
from alexnet_tf.system import import_optional

_TURNS = 10  # of each form; the forms take turns
_CALLS = 20  # timed in a turn, after two that fill the caches
_CALIBRATION_IMAGES = 8  # of noise: they decide int8's ranges, not its speed

Predict = Callable[[np.ndarray], object]


@dataclasses.dataclass(frozen=True)
class Latency:
    """The latency of one form for one image.

    Attributes:
      form: Such as "TFLite, int8".
      median_ms: Median milliseconds of a call; None: not measured.
      percentile_99_ms: 99 of 100 calls are faster; None: not measured.
      reason: Why it was not measured, or "".
    """

    form: str
    median_ms: float | None
    percentile_99_ms: float | None
    reason: str = ""


def measure_latency(
    recipe: Recipe, precision: str, on_form: Callable[[str], None] = lambda _: None
) -> list[Latency]:
    """Measures every form with one float32 image in memory, from NumPy array to NumPy array.

    Args:
      recipe: The network, with 1000 classes.
      precision: The Keras function is measured in float32 and in this precision.
      on_form: Called with the name before each form is built, and before each turn.
    """
    model = build_model(recipe, classes=1000)
    image = np.random.default_rng(0).uniform(0, 255, (1, *model.input_shape[1:]))
    image = image.astype(np.float32)
    found: dict[str, Predict | str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for each in _keras_precisions(precision):
            form = f"Keras function, {each}"
            on_form(form)
            found[form] = _keras_function(model, each)
        for form, (name, package) in _FILES.items():
            on_form(form)
            try:
                found[form] = _open_file(name, package, recipe, Path(folder))
            except InputError as error:  # an optional package is missing
                found[form] = str(error)
        forms = {form: predict for form, predict in found.items() if not isinstance(predict, str)}
        seconds: dict[str, list[float]] = {form: [] for form in forms}
        for _ in range(_TURNS):
            for form, predict in forms.items():
                on_form(form)
                seconds[form] += _call_seconds(predict, image)
    return [_latency(form, predict, seconds.get(form)) for form, predict in found.items()]


def count_steps(precision: str) -> int:
    """Returns how often `measure_latency` calls `on_form` if all forms can be measured."""
    return (len(_keras_precisions(precision)) + len(_FILES)) * (1 + _TURNS)


def _keras_precisions(precision: str) -> list[str]:
    """Returns the precisions of the Keras function."""
    return list(dict.fromkeys(["float32", precision]))


def _keras_function(model: keras.Model, precision: str) -> Predict:
    """Returns the compiled forward pass as a function of arrays."""
    infer = inference_function(model, precision)
    return lambda images: infer(tf.constant(images)).numpy()


_TFLITE = ("ai_edge_litert.interpreter", "running .tflite files", "export")
_ONNX = ("onnxruntime", "running .onnx files", "onnx")
# The form's file, and the package that runs it.
_FILES: dict[str, tuple[str, tuple[str, str, str] | None]] = {
    "SavedModel": ("saved_model", None),
    "TFLite, float32": ("none.tflite", _TFLITE),
    "TFLite, dynamic int8": ("dynamic.tflite", _TFLITE),
    "TFLite, int8": ("int8.tflite", _TFLITE),
    "ONNX": ("model.onnx", _ONNX),
}
# Converting the paper's network takes gigabytes, which a process does not give back.
_WRITE = "import sys; from alexnet_tf.bench.latency import write_file; write_file(*sys.argv[1:])"


def _open_file(
    name: str, package: tuple[str, str, str] | None, recipe: Recipe, folder: Path
) -> Predict:
    """Writes a file in a process of its own, and opens it as `predict --model` does."""
    if package is not None:
        import_optional(*package)
    path = folder / name
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])}
    command = [sys.executable, "-c", _WRITE, recipe.name, str(path)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return open_classifier(path).probabilities


def write_file(recipe: str, path: str) -> None:
    """Writes a network with initial weights to a file in the form that its name says.

    Args:
      recipe: The recipe's name.
      path: A folder for a SavedModel, a `.onnx` file, or a `.tflite` file named after a
        quantization.
    """
    model, target = build_model(recipe, classes=1000), Path(path)
    if target.suffix == ".onnx":
        target.write_bytes(to_onnx(model))
    elif target.suffix == ".tflite":
        from alexnet_tf.export.tflite import to_tflite

        shape = (_CALIBRATION_IMAGES, *model.input_shape[1:])
        noise = np.random.default_rng(1).uniform(0, 255, shape).astype(np.float32)
        target.write_bytes(to_tflite(model, target.stem, noise if target.stem == "int8" else None))
    else:
        write_saved_model(model, target)


def _call_seconds(predict: Predict, image: np.ndarray) -> list[float]:
    """Returns the seconds of each timed call of one turn."""
    seconds = []
    for number in range(_CALLS + 2):
        started = time.perf_counter()
        predict(image)
        if number >= 2:
            seconds.append(time.perf_counter() - started)
    return seconds


def _latency(form: str, predict: Predict | str, seconds: list[float] | None) -> Latency:
    """Returns the latency of a form, or why it was not measured."""
    if seconds is None:
        return Latency(form, None, None, str(predict))
    median, percentile_99 = np.percentile(seconds, [50, 99]) * 1e3
    return Latency(form, float(median), float(percentile_99))
