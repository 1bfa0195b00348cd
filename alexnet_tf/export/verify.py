"""Verifies exported files against the Keras model: same predictions, size, latency."""

import contextlib
import dataclasses
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_tf.data.classes import match_classes
from alexnet_tf.data.examples import Examples
from alexnet_tf.data.images import center_crop, resize_and_crop
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.splits import default_split, evaluation_split
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import Classifier, Preprocessing
from alexnet_tf.runs import ModelSource

_BATCH_SIZE = 50
_TIMED_IMAGES = 30
_SYNTHETIC_DATASET = "shapes"
NO_TRAINING_IMAGES = "--quantize int8 needs training images: give --dataset"


@dataclasses.dataclass(frozen=True)
class VerificationImages:
    """Validation images, ready for the network.

    Attributes:
      origin: Their data set and split, for the table's title.
      squares: uint8 [m, r, r, c], resized.
      crops: float32 [m, n, n, c], the center crops of `squares`.
      labels: int64 [m], or None if the data set's classes differ from the network's.
    """

    origin: str
    squares: np.ndarray
    crops: np.ndarray
    labels: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Verification:
    """How one exported file compares with the Keras model.

    Attributes:
      form: "SavedModel", "TFLite int8".
      path: The file, or the SavedModel's folder.
      size_bytes: Size of the file, or of all files in the folder.
      images: Number of images compared.
      largest_difference: Largest absolute difference of a probability, over images and classes.
      agreements: Number of images with the same most probable class.
      top1_errors: Number of images whose most probable class is not the label; None without labels.
      milliseconds: Median latency of a batch of one image, without reading and resizing.
    """

    form: str
    path: str
    size_bytes: int
    images: int
    largest_difference: float
    agreements: int
    top1_errors: int | None
    milliseconds: float

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        return dataclasses.asdict(self)


class Verifier:
    """Compares classifiers with a reference on the same images.

    Args:
      reference: The Keras model.
      images: Images to compare predictions on.
    """

    def __init__(self, reference: Classifier, images: VerificationImages) -> None:
        self._images = images
        self._expected = _all_probabilities(reference, images.crops)

    def compare(self, form: str, classifier: Classifier, path: Path) -> Verification:
        """Returns how a classifier compares with the reference."""
        probabilities = _all_probabilities(classifier, self._images.crops)
        top, labels = probabilities.argmax(axis=1), self._images.labels
        return Verification(
            form,
            str(path),
            size_bytes(Path(classifier.name)),
            len(probabilities),
            float(np.abs(probabilities - self._expected).max()),
            int(np.sum(top == self._expected.argmax(axis=1))),
            None if labels is None else int(np.sum(top != labels)),
            _median_milliseconds(classifier, self._images.crops),
        )


class VerificationData:
    """The data set to verify on: the requested one, the run's own, or synthetic images.

    Args:
      model: The exported model, with the run that it comes from.
      dataset: Requested data set, or None.
      data_dir: Folder of prepared TFDS data sets, or None.
      preprocessing: The network's preprocessing.

    Raises:
      InputError: The data set cannot be opened.
    """

    def __init__(
        self,
        model: ModelSource,
        dataset: str | os.PathLike[str] | None,
        data_dir: str | os.PathLike[str] | None,
        preprocessing: Preprocessing,
    ) -> None:
        self._preprocessing = preprocessing
        self._model = model if dataset is None and model.record is not None else None
        self.is_synthetic = dataset is None and self._model is None
        self._dataset = open_dataset(
            dataset or model.dataset or _SYNTHETIC_DATASET,
            data_dir=data_dir or model.data_dir,
            channels=preprocessing.channels,
        )

    def validation_images(self, count: int, class_names: tuple[str, ...]) -> VerificationImages:
        """Returns up to `count` images of the run's validation split, or of the default split."""
        split = self._validation_split()
        squares, labels = self._load(self._examples(split), count)
        match = match_classes(class_names, self._dataset.class_names)
        name = self._dataset.name
        origin = "synthetic images" if self.is_synthetic else f"{name}, {split} images"
        return VerificationImages(
            origin, squares, self._crops(squares), None if match is None else match[labels]
        )

    def training_crops(self, count: int) -> np.ndarray:
        """Returns up to `count` center crops of training images: float32 [m, n, n, c].

        Raises:
          InputError: The images are synthetic: they would calibrate int8 to wrong ranges.
        """
        if self.is_synthetic:
            raise InputError(NO_TRAINING_IMAGES)
        return self._crops(self._load(self._examples("train"), count)[0])

    def _crops(self, squares: np.ndarray) -> np.ndarray:
        return center_crop(squares, self._preprocessing.input_pixels).astype(np.float32)

    def _validation_split(self) -> str:
        """Returns "validation" (also for a held-out validation split), "test" or "train"."""
        own = None if self._model is None else self._model.split
        return own or default_split(self._dataset)

    def _examples(self, split: str) -> Examples:
        record = None if self._model is None else self._model.record
        hold_out, seed = (0.0, 0) if record is None else (record.recipe.hold_out, record.seed)
        return evaluation_split(self._dataset, split, hold_out, seed)

    def _load(self, examples: Examples, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns (squares, labels) of evenly spaced examples; damaged images are skipped.

        Raises:
          InputError: No image can be read.
        """
        chosen = np.unique(np.linspace(0, len(examples) - 1, count).astype(np.int64))
        squares, labels = [], []
        for index in chosen:
            try:
                image = examples.load(tf.constant(index))
            except tf.errors.OpError:
                continue
            squares.append(resize_and_crop(image, self._preprocessing.resize_pixels).numpy())
            labels.append(examples.labels[index])
        if not squares:
            raise InputError(f"{self._dataset.name}: no image can be read")
        return np.stack(squares), np.asarray(labels)


def size_bytes(path: Path) -> int:
    """Returns the size of a file, or of all files below a folder; 0 if `path` does not exist."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.is_file() else 0


def _all_probabilities(classifier: Classifier, crops: np.ndarray) -> np.ndarray:
    parts = [crops[start : start + _BATCH_SIZE] for start in range(0, len(crops), _BATCH_SIZE)]
    with _tensor_float_32_disabled():
        return np.concatenate([classifier.probabilities(part) for part in parts])


@contextlib.contextmanager
def _tensor_float_32_disabled() -> Iterator[None]:
    """Keeps TensorFlow from rounding to TF32 on GPUs while the block runs.

    TFLite and ONNX do not round: the difference would exceed that of the conversion.
    """
    was_enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(was_enabled)


def _median_milliseconds(classifier: Classifier, crops: np.ndarray) -> float:
    """Returns the median latency of one image, after a first call that allocates memory."""
    classifier.probabilities(crops[:1])
    seconds = []
    for index in range(_TIMED_IMAGES):
        image = crops[index % len(crops)][np.newaxis]
        started = time.perf_counter()
        classifier.probabilities(image)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)
