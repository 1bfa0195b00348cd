"""A network as a SavedModel that TF Serving, or any program with TensorFlow, can load alone.

Signatures, all with an open batch dimension:

- `serving_default(image_bytes)`: encoded JPEG, PNG, WebP, GIF or BMP files. They are decoded,
  resized and cut in the graph, by the operations that training and evaluation use: an EXIF
  orientation is not looked at, and transparency is dropped.
- `ten_crop(image_bytes)`: likewise, averaged over ten crops (section 4.1).
- `predict_images(images)`: float32 [b, n, n, c] crops, RGB or gray, 0..255, and
  `predict_images_uint8(images)`, the same in a quarter of the bytes.
- `features(image_bytes)`: `features` float32 [b, units], the last hidden layer (4096 for AlexNet).

All but the last answer with `classes` string [b, k] and `probabilities` float32 [b, k], the most
probable classes, first one first, and `all_probabilities` float32 [b, classes].
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.data.examples import decode
from alexnet_tf.data.images import center_crop, resize_and_crop, ten_crop
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import names_of, preprocessing_of
from alexnet_tf.evaluation.preprocessing import CLASS_NAMES, PREPROCESSING, names_to_text
from alexnet_tf.evaluation.topk import TOP_K
from alexnet_tf.model.inspection import feature_output
from alexnet_tf.paper import TEN_CROPS

Tensors = dict[str, tf.Tensor]


class ServedNetwork(tf.Module):
    """What is saved: the weights, the assets, and nothing that needs Keras to load.

    The Keras model is used while tracing only. Were it an attribute, every weight would be stored
    twice: once as Keras' and once as the functions'.

    Args:
      model: From `build_model` or `load_model`.
      names_file: Class names, one a line, to become an asset.
      preprocessing_file: Likewise, the JSON of `Preprocessing`.
    """

    def __init__(self, model: keras.Model, names_file: Path, preprocessing_file: Path) -> None:
        super().__init__(name="alexnet")
        self.weights = [v.value for v in model.variables if "seed_generator" not in v.path]
        self.class_names = tf.saved_model.Asset(os.fspath(names_file))
        self.preprocessing = tf.saved_model.Asset(os.fspath(preprocessing_file))
        self._functions = _functions(model)

    @property
    def signatures(self) -> dict[str, Any]:
        """The functions by signature name, as `tf.saved_model.save` takes them."""
        return {
            name: function.get_concrete_function() for name, function in self._functions.items()
        }


def _functions(model: keras.Model) -> dict[str, Any]:
    """Returns the traceable functions of the signatures by name."""
    preprocessing = preprocessing_of(model)
    names = tf.constant(names_of(model))
    pixels, resized = preprocessing.input_pixels, preprocessing.resize_pixels
    channels = preprocessing.channels
    both = keras.Model(model.input, [model.output, feature_output(model)])
    crops_shape = (None, pixels, pixels, channels)

    # The network is traced once, and every signature calls it.
    @tf.function(input_signature=[tf.TensorSpec(crops_shape, tf.float32)])
    def network(crops: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tuple(both(crops, training=False))

    @tf.function(input_signature=[tf.TensorSpec((None, len(names)), tf.float32)])
    def answer(probabilities: tf.Tensor) -> Tensors:
        top, order = tf.math.top_k(probabilities, k=min(TOP_K, len(names)))
        return {
            "classes": tf.gather(names, order),
            "probabilities": top,
            "all_probabilities": probabilities,
        }

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def squares(image_bytes: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            lambda content: resize_and_crop(decode(content, channels), resized),
            image_bytes,
            fn_output_signature=tf.TensorSpec((resized, resized, channels), tf.uint8),
        )

    def of_bytes(image_bytes: tf.Tensor) -> Tensors:
        crops = center_crop(squares(image_bytes), pixels)
        return answer(network(tf.cast(crops, tf.float32))[0])

    def of_ten_crops(image_bytes: tf.Tensor) -> Tensors:
        crops = tf.cast(ten_crop(squares(image_bytes), pixels), tf.float32)
        each = network(tf.reshape(crops, (-1, *crops_shape[1:])))[0]
        return answer(tf.reduce_mean(tf.reshape(each, (-1, TEN_CROPS, len(names))), axis=1))

    def features(image_bytes: tf.Tensor) -> Tensors:
        crops = center_crop(squares(image_bytes), pixels)
        return {"features": network(tf.cast(crops, tf.float32))[1]}

    def of_images(images: tf.Tensor) -> Tensors:
        return answer(network(tf.cast(images, tf.float32))[0])

    encoded = tf.TensorSpec((None,), tf.string, name="image_bytes")

    def signature(function: Callable[..., Tensors], spec: tf.TensorSpec) -> Any:
        return tf.function(function, input_signature=[spec])

    def crops_of(dtype: tf.DType) -> tf.TensorSpec:
        return tf.TensorSpec(crops_shape, dtype, name="images")

    return {
        "serving_default": signature(of_bytes, encoded),
        "ten_crop": signature(of_ten_crops, encoded),
        "features": signature(features, encoded),
        "predict_images": signature(of_images, crops_of(tf.float32)),
        "predict_images_uint8": signature(of_images, crops_of(tf.uint8)),
    }


def write_saved_model(
    model: keras.Model,
    base: Path,
    version: int | None = None,
    finish: Callable[[Path], None] | None = None,
) -> Path:
    """Writes a SavedModel as a version below a model's folder, whole or not at all.

    TF Serving watches `base` and loads a folder named by a number as soon as it is there, so the
    version is written under another name and renamed. One that exists is never touched.

    Args:
      model: From `build_model` or `load_model`.
      base: `<out>/<name>`; made if it is not there.
      version: A number from 1; None: one more than the highest there.
      finish: Called with the folder before it is renamed, to add to it.

    Returns:
      `base/<version>`.

    Raises:
      InputError: The version is there already, or is below 1.
    """
    check_version(base, version)
    base.mkdir(parents=True, exist_ok=True)
    with _folder_beside(base) as temporary, tempfile.TemporaryDirectory() as assets:
        names_file, preprocessing_file = Path(assets, CLASS_NAMES), Path(assets, PREPROCESSING)
        names_file.write_text(names_to_text(names_of(model)), encoding="utf-8")
        preprocessing_file.write_text(preprocessing_of(model).to_text(), encoding="utf-8")
        module = ServedNetwork(model, names_file, preprocessing_file)
        tf.saved_model.save(module, os.fspath(temporary), signatures=module.signatures)
        if finish is not None:
            finish(temporary)
        while True:
            target = base / str(next_version(base) if version is None else version)
            try:
                # A folder is renamed onto no folder that has something in it: of two exports at
                # the same time one is told so, and takes the next number.
                temporary.rename(target)
            except OSError:
                if not target.exists():
                    raise
                check_version(base, version)
                continue
            return target


def check_version(base: Path, version: int | None) -> None:
    """Checks that a version can be written.

    Raises:
      InputError: It is there already, or is below 1.
    """
    if version is None:
        return
    if version < 1:
        raise InputError(f"--version must be at least 1. Received: {version}")
    if (base / str(version)).exists():
        raise InputError(
            f"--version {version}: {base / str(version)} exists and is never overwritten; leave "
            f"the option out for version {next_version(base)}"
        )


def next_version(base: Path) -> int:
    """Returns one more than the highest version below a model's folder; 1 where there is none."""
    names = [entry.name for entry in base.iterdir()] if base.is_dir() else []
    return 1 + max((int(name) for name in names if name.isdecimal()), default=0)


@contextlib.contextmanager
def _folder_beside(base: Path) -> Iterator[Path]:
    """Gives a folder in `base` that no server takes for a version; what is left of it goes."""
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=base))
    temporary.chmod(0o755)  # a server runs as another user
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
