"""What a network sees in images: the most probable classes of each."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from alexnet_tf.data.examples import decode
from alexnet_tf.data.images import center_crop, resize_and_crop, ten_crop
from alexnet_tf.data.repair import upright
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import Classifier
from alexnet_tf.evaluation.preprocessing import Preprocessing
from alexnet_tf.evaluation.topk import TOP_K
from alexnet_tf.paper import TEN_CROPS

_CROPS_IN_BATCH = 60


class Guess(NamedTuple):
    """One class for one image.

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
    """What a network says about one image.

    Attributes:
      image: The file's name as it was given.
      top: The most probable classes, the first one first; equal ones by class number.
      pixels: uint8 [p, p, c], the square that the crops were cut from.
    """

    image: str
    top: tuple[Guess, ...]
    pixels: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Returns plain values, without the pixels."""
        keys = ("index", "class", "probability")
        return {
            "image": self.image,
            "top": [dict(zip(keys, guess, strict=True)) for guess in self.top],
        }


@dataclasses.dataclass(frozen=True)
class Damaged:
    """An image that could not be read.

    Attributes:
      image: The file's name as it was given.
      reason: Why.
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
    """Classifies encoded images.

    Each is decoded, turned upright, resized and cut as prepared images are in training.

    Args:
      classifier: From `open_classifier`.
      images: Names and the bytes of JPEG, PNG, GIF (first frame) or BMP files; or names and,
        as a string, why there are no bytes.
      top: How many classes to name; not more than there are are named.
      ten_crops: Whether to average over ten crops (section 4.1) in place of the center crop.

    Yields:
      A prediction, or what is wrong, for every image, in order.

    Raises:
      InputError: `top` is below 1.
    """
    if top < 1:
        raise InputError(f"--top must be at least 1. Received: {top}")
    reader = SquareReader(classifier.preprocessing)
    waiting: list[tuple[str, np.ndarray] | Damaged] = []
    rows = max(1, _CROPS_IN_BATCH // (TEN_CROPS if ten_crops else 1))
    for name, content in images:
        waiting.append(reader.read(name, content))
        if len(waiting) == rows:
            yield from _answer(classifier, waiting, top, ten_crops)
            waiting = []
    yield from _answer(classifier, waiting, top, ten_crops)


def _answer(
    classifier: Classifier,
    batch: list[tuple[str, np.ndarray] | Damaged],
    top: int,
    ten_crops: bool,
) -> Iterator[Prediction | Damaged]:
    """Yields what is said about a batch, in its order."""
    squares = [entry[1] for entry in batch if not isinstance(entry, Damaged)]
    answers = iter(crop_probabilities(classifier, np.stack(squares), ten_crops) if squares else ())
    for entry in batch:
        if isinstance(entry, Damaged):
            yield entry
            continue
        name, pixels = entry
        probabilities = next(answers)
        order = np.argsort(-probabilities, kind="stable")[:top]
        guesses = (Guess(int(i), classifier.class_names[i], float(probabilities[i])) for i in order)
        yield Prediction(name, tuple(guesses), pixels)


def crop_probabilities(classifier: Classifier, squares: np.ndarray, ten_crops: bool) -> np.ndarray:
    """Returns the class probabilities of resized images: float32 [b, classes].

    Args:
      classifier: From `open_classifier`.
      squares: uint8 [b, r, r, c], r being the classifier's resize_pixels.
      ten_crops: Whether to average over ten crops, or to take the center one.

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
    """Makes squares of encoded images, by the same operations as training.

    People see photos as their EXIF orientation turns them and transparent images on white, and so
    does the network: `prepare` makes training images alike.

    Args:
      preprocessing: The classifier's.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
        def square(content: tf.Tensor) -> tf.Tensor:
            image = decode(content, preprocessing.channels)
            return resize_and_crop(image, preprocessing.resize_pixels)

        self._square = square

    def read(self, name: str, content: bytes | str) -> tuple[str, np.ndarray] | Damaged:
        """Returns a name with its square uint8 [r, r, c], or what is wrong."""
        if isinstance(content, str):
            return Damaged(name, content)
        if not content:
            return Damaged(name, "empty")
        try:
            return name, self._square(tf.constant(upright(content))).numpy()
        except tf.errors.OpError:
            return Damaged(name, "damaged, or no JPEG, PNG, WebP, GIF or BMP")
