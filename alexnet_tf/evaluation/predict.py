"""Predict the most probable classes of image files, and draw them (figure 4 left of the paper)."""

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.decode import reason_not_decoded
from alexnet_tf.data.images import decode_content, resize_and_crop
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import (
    Classifier,
    Preprocessing,
    crop_probabilities,
    preprocessing_of,
)
from alexnet_tf.evaluation.metrics import TOP_K
from alexnet_tf.figures.canvas import save_figure
from alexnet_tf.figures.text import display_name
from alexnet_tf.figures.tiles import Tile, draw_tiles
from alexnet_tf.files import check_picture_name
from alexnet_tf.paper import TEN_CROPS

MAX_DRAWN_IMAGES = 64
_CROPS_PER_BATCH = 60


class TopPrediction(NamedTuple):
    """One of the most probable classes of an image: class index, name, probability in 0..1."""

    number: int
    name: str
    probability: float


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    Attributes:
      image: The file's name as given.
      top: The most probable classes in descending order; equal ones by class index.
      pixels: uint8 [r, r, c], the resized image that crops are cut from.
    """

    image: str
    top: tuple[TopPrediction, ...]
    pixels: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values, without the pixels."""
        keys = ("index", "class", "probability")
        top = [dict(zip(keys, each, strict=True)) for each in self.top]
        return {"image": self.image, "top": top}


@dataclasses.dataclass(frozen=True)
class Damaged:
    """An image that cannot be read or decoded, and why."""

    image: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        return dataclasses.asdict(self)


def predict(
    classifier: Classifier,
    images: Iterable[tuple[str, bytes | str]],
    *,
    top: int = TOP_K,
    ten_crop: bool = False,
) -> Iterator[Prediction | Damaged]:
    """Classifies image files, decoded and resized as in training.

    Args:
      classifier: From `open_classifier`.
      images: Pairs of a name and the bytes of a JPEG, PNG, WebP, GIF or BMP file; or of a name and,
        as a string, why the file cannot be read.
      top: Number of classes, at least 1; at most the number of classes are returned.
      ten_crop: Whether to average over ten crops (section 4.1) instead of the center crop.

    Yields:
      For each image, in order, its prediction or why it cannot be read.

    Raises:
      InputError: `top` is below 1, or a probability is NaN or infinite.
    """
    if top < 1:
        raise InputError(f"--top must be at least 1. Received: {top}")
    reader, images = ImageReader(classifier.preprocessing), iter(images)
    batch_size = _CROPS_PER_BATCH // (TEN_CROPS if ten_crop else 1)
    while batch := [reader.read(*image) for image in itertools.islice(images, batch_size)]:
        yield from _predict_batch(classifier, batch, top, ten_crop)


def _predict_batch(
    classifier: Classifier,
    batch: list[tuple[str, np.ndarray] | Damaged],
    top: int,
    ten_crop: bool,
) -> Iterator[Prediction | Damaged]:
    """Yields the predictions of a batch, in its order."""
    images = [entry[1] for entry in batch if not isinstance(entry, Damaged)]
    predicted = iter(_probabilities(classifier, np.stack(images), ten_crop) if images else ())
    for entry in batch:
        if isinstance(entry, Damaged):
            yield entry
            continue
        probabilities = next(predicted)
        order = np.argsort(-probabilities, kind="stable")[:top]
        classes = (
            TopPrediction(int(i), classifier.class_names[i], float(probabilities[i])) for i in order
        )
        name, pixels = entry
        yield Prediction(name, tuple(classes), pixels)


def _probabilities(classifier: Classifier, images: np.ndarray, ten_crop: bool) -> np.ndarray:
    """Returns the probabilities, float32 [b, classes], of resized images, uint8 [b, r, r, c]."""
    *_, probabilities = crop_probabilities(
        lambda crops: classifier.probabilities(crops.numpy()),
        tf.constant(images),
        classifier.preprocessing.input_pixels,
        ten_crop=ten_crop,
    )
    if not np.isfinite(probabilities).all():
        raise InputError(f"{classifier.name}: the model's output is NaN or infinite")
    return np.asarray(probabilities)


class ImageReader:
    """Decodes and resizes image files by the same operations as training and evaluation."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
        def resized(content: tf.Tensor) -> tf.Tensor:
            image = decode_content(content, preprocessing.channels)
            return resize_and_crop(image, preprocessing.resize_pixels)

        self._resized = resized

    def read(self, name: str, content: bytes | str) -> tuple[str, np.ndarray] | Damaged:
        """Returns the name and the resized image, uint8 [r, r, c], or why it cannot be read."""
        if isinstance(content, str):
            return Damaged(name, content)
        try:
            return name, self._resized(tf.constant(content)).numpy()
        except tf.errors.InvalidArgumentError:
            return Damaged(name, reason_not_decoded(content))


def read_pixels(name: str, content: bytes, network: keras.Model) -> np.ndarray:
    """Returns an image file resized for a network: uint8 [r, r, c].

    Raises:
      InputError: The file is damaged or not an image; the message begins with `name`.
    """
    found = ImageReader(preprocessing_of(network)).read(name, content)
    if isinstance(found, Damaged):
        raise InputError(f"{name}: {found.reason}")
    return found[1]


def draw_predictions(predictions: Sequence[Prediction], path: str | os.PathLike[str]) -> None:
    """Draws images and below each the bars of its most probable classes.

    Args:
      predictions: At least one; only the first `MAX_DRAWN_IMAGES` are drawn.
      path: A `.png`, `.pdf` or `.svg` file, written atomically.
    """
    check_picture_name(path)
    tiles = [
        Tile(
            prediction.pixels,
            display_name(Path(prediction.image).name, "image"),
            [display_name(top.name, f"class {top.number}") for top in prediction.top],
            [top.probability for top in prediction.top],
        )
        for prediction in predictions[:MAX_DRAWN_IMAGES]
    ]
    save_figure(draw_tiles(tiles), path)
