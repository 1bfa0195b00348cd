"""Predict the most probable classes of image files."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from alexnet_tf.data.decode import reason_not_decoded
from alexnet_tf.data.images import center_crop, decode_content, resize_and_crop, ten_crop
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import Classifier
from alexnet_tf.evaluation.preprocessing import Preprocessing
from alexnet_tf.evaluation.topk import TOP_K
from alexnet_tf.paper import TEN_CROPS

_CROPS_IN_BATCH = 60


class TopPrediction(NamedTuple):
    """One of the most probable classes of an image.

    Attributes:
      number: The class number.
      name: The class's name.
      probability: 0..1.
    """

    number: int
    name: str
    probability: float


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    Attributes:
      image: The file's name as given.
      top: The most probable classes in descending order; equal ones by class number.
      pixels: uint8 [p, p, c], the resized image that crops are taken from.
    """

    image: str
    top: tuple[TopPrediction, ...]
    pixels: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, without the pixels."""
        keys = ("index", "class", "probability")
        return {
            "image": self.image,
            "top": [dict(zip(keys, top, strict=True)) for top in self.top],
        }


@dataclasses.dataclass(frozen=True)
class Damaged:
    """An image that could not be read or decoded.

    Attributes:
      image: The file's name as given.
      reason: Why, in a few words.
    """

    image: str
    reason: str


def predict(
    classifier: Classifier,
    images: Iterable[tuple[str, bytes | str]],
    *,
    top: int = TOP_K,
    ten_crops: bool = False,
) -> Iterator[Prediction | Damaged]:
    """Classify image files, decoded and resized as in training.

    Args:
      classifier: From `open_classifier`.
      images: Pairs of a name and the bytes of a JPEG, PNG, WebP, GIF or BMP file; or of a name and,
        as a string, why the file could not be read.
      top: How many classes to return; at most the number of classes.
      ten_crops: Whether to average over ten crops (section 4.1) instead of the center crop.

    Yields:
      For each image, in order, a prediction or why there is none.

    Raises:
      InputError: `top` is below 1.
    """
    if top < 1:
        raise InputError(f"--top must be at least 1. Received: {top}")
    reader = SquareReader(classifier.preprocessing)
    batch: list[tuple[str, np.ndarray] | Damaged] = []
    batch_size = max(1, _CROPS_IN_BATCH // (TEN_CROPS if ten_crops else 1))
    for name, content in images:
        batch.append(reader.read(name, content))
        if len(batch) == batch_size:
            yield from _predict_batch(classifier, batch, top, ten_crops)
            batch = []
    yield from _predict_batch(classifier, batch, top, ten_crops)


def _predict_batch(
    classifier: Classifier,
    batch: list[tuple[str, np.ndarray] | Damaged],
    top: int,
    ten_crops: bool,
) -> Iterator[Prediction | Damaged]:
    """Yield the predictions of a batch, in its order."""
    squares = [entry[1] for entry in batch if not isinstance(entry, Damaged)]
    predicted = iter(
        crop_probabilities(classifier, np.stack(squares), ten_crops) if squares else ()
    )
    for entry in batch:
        if isinstance(entry, Damaged):
            yield entry
            continue
        name, pixels = entry
        probabilities = next(predicted)
        order = np.argsort(-probabilities, kind="stable")[:top]
        classes = (
            TopPrediction(int(i), classifier.class_names[i], float(probabilities[i])) for i in order
        )
        yield Prediction(name, tuple(classes), pixels)


def crop_probabilities(classifier: Classifier, squares: np.ndarray, ten_crops: bool) -> np.ndarray:
    """Return the class probabilities of resized images: float32 [b, classes].

    Args:
      classifier: From `open_classifier`.
      squares: uint8 [b, r, r, c], r being the classifier's resize_pixels.
      ten_crops: Whether to average over ten crops instead of the center crop.

    Raises:
      InputError: A probability is NaN or infinite.
    """
    pixels = classifier.preprocessing.input_pixels
    if ten_crops:
        crops = ten_crop(tf.constant(squares), pixels).numpy().astype(np.float32)
        each = classifier.probabilities(crops.reshape(-1, *crops.shape[2:]))
        probabilities = each.reshape(len(squares), TEN_CROPS, -1).mean(axis=1)
    else:
        probabilities = classifier.probabilities(center_crop(squares, pixels).astype(np.float32))
    if not np.isfinite(probabilities).all():
        raise InputError(f"{classifier.name}: the model's output is NaN or infinite")
    return probabilities


class SquareReader:
    """Decodes and resizes image files by the same operations as training and evaluation.

    Args:
      preprocessing: The classifier's preprocessing.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
        def square(content: tf.Tensor) -> tf.Tensor:
            image = decode_content(content, preprocessing.channels)
            return resize_and_crop(image, preprocessing.resize_pixels)

        self._square = square

    def read(self, name: str, content: bytes | str) -> tuple[str, np.ndarray] | Damaged:
        """Return the name and the resized square uint8 [r, r, c], or why there is none."""
        if isinstance(content, str):
            return Damaged(name, content)
        try:
            return name, self._square(tf.constant(content)).numpy()
        except tf.errors.InvalidArgumentError:
            return Damaged(name, reason_not_decoded(content))
