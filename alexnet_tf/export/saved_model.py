"""Export a network as a SavedModel, which TF Serving or any program with TensorFlow loads alone.

Signatures, all with an open batch dimension, which may be 0:

- `serving_default(image_bytes)`: encoded JPEG, PNG, WebP, GIF or BMP files, decoded, resized and
  cropped in the graph; see `image_decoding`.
- `ten_crop(image_bytes)`: the same, averaged over ten crops (section 4.1).
- `predict_images(images)`: float32 [b, n, n, c] crops, RGB or gray, 0..255, and
  `predict_images_uint8(images)`, the same in a quarter of the bytes.
- `features(image_bytes)`: `features` float32 [b, units], the last hidden layer (4096 for AlexNet).

All but the last return `classes` string [b, k] and `probabilities` float32 [b, k], the k most
probable classes in descending order, and `all_probabilities` float32 [b, classes].
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.images import center_crop
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import (
    CLASS_NAMES,
    PREPROCESSING,
    crop_probabilities,
    names_of,
    names_to_text,
    preprocessing_of,
)
from alexnet_tf.evaluation.metrics import TOP_K
from alexnet_tf.export.image_decoding import decode_and_resize
from alexnet_tf.model.inspection import feature_output
from alexnet_tf.system import import_optional

# TF Serving looks for this name.
_WARM_UP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
# 60 crops go through the network together. Without this limit ten-crop predictions of 32 images
# need 1.3 GB more memory.
_TEN_CROP_IMAGES = 6
_FOLDER_MODE, _FILE_MODE = 0o755, 0o644

Tensors = dict[str, tf.Tensor]


def module_of(model: keras.Model) -> tf.Module:
    """Returns an object to save that has the model's weights as attributes, and nothing else.

    The Keras model would save every weight twice, and `tf.function`s would be traced again.
    """
    module = tf.Module(name="alexnet")
    module.weights = [v.value for v in model.variables if "seed_generator" not in v.path]
    return module


def _signatures(model: keras.Model) -> dict[str, Any]:
    """Returns the concrete function of each signature by name."""
    preprocessing, names = preprocessing_of(model), tf.constant(names_of(model))
    pixels, channels = preprocessing.input_pixels, preprocessing.channels
    network = _network(model)

    @tf.function(input_signature=[tf.TensorSpec((None, len(names)), tf.float32)])
    def top_classes(probabilities: tf.Tensor) -> Tensors:
        top, order = tf.math.top_k(probabilities, k=min(TOP_K, len(names)))
        return {
            "classes": tf.gather(names, order),
            "probabilities": top,
            "all_probabilities": probabilities,
        }

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def resized(image_bytes: tf.Tensor) -> tf.Tensor:
        return decode_and_resize(image_bytes, channels, preprocessing.resize_pixels)

    def predict_bytes(image_bytes: tf.Tensor) -> Tensors:
        crops = center_crop(resized(image_bytes), pixels)
        return top_classes(network(tf.cast(crops, tf.float32))[0])

    def predict_ten_crops(image_bytes: tf.Tensor) -> Tensors:
        return top_classes(_average_ten_crops(network, resized(image_bytes), pixels, len(names)))

    def features(image_bytes: tf.Tensor) -> Tensors:
        crops = center_crop(resized(image_bytes), pixels)
        return {"features": network(tf.cast(crops, tf.float32))[1]}

    def predict_images(images: tf.Tensor) -> Tensors:
        return top_classes(network(tf.cast(images, tf.float32))[0])

    encoded = tf.TensorSpec((None,), tf.string, name="image_bytes")
    floats = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="images")
    integers = tf.TensorSpec(floats.shape, tf.uint8, name="images")
    functions = {
        "serving_default": (predict_bytes, encoded),
        "ten_crop": (predict_ten_crops, encoded),
        "features": (features, encoded),
        "predict_images": (predict_images, floats),
        "predict_images_uint8": (predict_images, integers),
    }
    return {
        name: tf.function(function, input_signature=[spec]).get_concrete_function()
        for name, (function, spec) in functions.items()
    }


def _network(model: keras.Model) -> Any:
    """Returns a function from crops to probabilities and features: one for all signatures."""
    outputs = [model.output, feature_output(model)]
    network_with_features = keras.Model(model.input, outputs)

    @tf.function(input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)])
    def network(crops: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Convolutions fail on an empty batch.
        return tf.cond(
            tf.equal(tf.shape(crops)[0], 0),
            lambda: tuple(tf.zeros((0, output.shape[-1])) for output in outputs),
            lambda: tuple(network_with_features(crops, training=False)),
        )

    return network


def _average_ten_crops(network: Any, images: tf.Tensor, pixels: int, classes: int) -> tf.Tensor:
    """Returns float32 [b, classes], computed for a few images at a time."""

    def add_part(start: tf.Tensor, averages: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        part = images[start : start + _TEN_CROP_IMAGES]
        _, average = crop_probabilities(
            lambda crops: network(crops)[0], part, pixels, ten_crop=True
        )
        return start + _TEN_CROP_IMAGES, tf.concat([averages, average], axis=0)

    _, probabilities = tf.while_loop(
        lambda start, _: start < tf.shape(images)[0],
        add_part,
        (0, tf.zeros((0, classes))),
        shape_invariants=(tf.TensorShape(()), tf.TensorShape((None, classes))),
        parallel_iterations=1,  # to bound the memory
    )
    return probabilities


def write_saved_model(
    model: keras.Model,
    base: Path,
    version: int | None = None,
    finish: Callable[[Path], None] = lambda _: None,
) -> Path:
    """Writes a SavedModel atomically as a version below a model's folder.

    TF Serving watches `base` and loads a folder named by a number as soon as it exists, so that the
    version is written under another name and renamed. An existing version is never changed. All
    users may read the files whatever the umask is, since the server runs as another user.

    Args:
      model: From `build_model` or `load_model`.
      base: `<out>/<name>`; created if it does not exist.
      version: A number from 1; None: one more than the highest existing version.
      finish: Called with the folder before it is renamed, to add files to it.

    Returns:
      `base/<version>`.

    Raises:
      InputError: The version already exists, or is below 1.
    """
    check_version(base, version)
    make_readable_folders(base)
    with (
        tempfile.TemporaryDirectory(
            prefix=".writing-", dir=base, ignore_cleanup_errors=True
        ) as folder,
        tempfile.TemporaryDirectory() as assets,
    ):
        temporary = Path(folder)
        names_file, preprocessing_file = Path(assets, CLASS_NAMES), Path(assets, PREPROCESSING)
        names_file.write_text(names_to_text(names_of(model)), encoding="utf-8")
        preprocessing_file.write_text(preprocessing_of(model).to_text(), encoding="utf-8")
        module = module_of(model)
        module.class_names = tf.saved_model.Asset(os.fspath(names_file))
        module.preprocessing = tf.saved_model.Asset(os.fspath(preprocessing_file))
        tf.saved_model.save(module, folder, signatures=_signatures(model))
        finish(temporary)
        make_readable(temporary)
        while True:
            target = base / str(next_version(base) if version is None else version)
            try:
                # Renaming onto a folder that is not empty fails: if two exports run at the same
                # time, the later one takes the next number.
                return temporary.rename(target)
            except OSError:
                if not target.exists():
                    raise
                check_version(base, version)


def check_version(base: Path, version: int | None) -> None:
    """Raises an InputError if a version already exists or is below 1."""
    if version is None:
        return
    if version < 1:
        raise InputError(f"--version must be at least 1. Received: {version}")
    if (base / str(version)).exists():
        raise InputError(
            f"--version {version}: {base / str(version)} already exists and is never overwritten; "
            f"omit the option to write version {next_version(base)}"
        )


def next_version(base: Path) -> int:
    """Returns one more than the highest version below a model's folder; 1 if there is none."""
    names = [entry.name for entry in base.iterdir()] if base.is_dir() else []
    return 1 + max((int(name) for name in names if name.isdecimal()), default=0)


def write_warm_up(folder: Path, name: str, images: np.ndarray, input_pixels: int) -> None:
    """Writes one warm-up request per signature into a SavedModel's folder.

    TF Serving replays them when it loads a version. Without them the first request of each
    signature waits for the initialization of the graph.

    Args:
      folder: The SavedModel's folder.
      name: Name of the served model.
      images: uint8 [b, r, r, c], resized images; each request contains all of them.
      input_pixels: Side of the network's crop.

    Raises:
      InputError: tensorflow-serving-api is not installed.
    """
    prediction_log_pb2 = import_optional(
        "tensorflow_serving.apis.prediction_log_pb2", "writing warm-up requests", "export"
    )
    encoded = tf.constant([tf.io.encode_jpeg(image).numpy() for image in images])
    crops = center_crop(tf.constant(images), input_pixels)
    inputs = {
        "serving_default": ("image_bytes", encoded),
        "ten_crop": ("image_bytes", encoded),
        "features": ("image_bytes", encoded),
        "predict_images": ("images", tf.cast(crops, tf.float32)),
        "predict_images_uint8": ("images", crops),
    }
    path = folder / _WARM_UP_FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for signature, (key, tensor) in inputs.items():
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            request.inputs[key].CopyFrom(tf.make_tensor_proto(tensor))
            writer.write(log.SerializeToString())


def make_readable(path: Path) -> None:
    """Lets all users read a file, or a folder and all that is in it, whatever the umask was."""
    for entry in (path, *path.rglob("*")):
        entry.chmod(_FOLDER_MODE if entry.is_dir() else _FILE_MODE)


def make_readable_folders(path: Path) -> None:
    """Creates a folder and its missing parents, which all users may enter whatever the umask is."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        folder.chmod(_FOLDER_MODE)
