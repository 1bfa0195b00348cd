"""Exported files against the Keras model: the same answers, how large, how fast."""

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_tf.evaluation.classifiers import Classifier
from alexnet_tf.export.images import CheckImages

_BATCH = 50
_TIMED_IMAGES = 30


@dataclasses.dataclass(frozen=True)
class Check:
    """One form of a network against the Keras model.

    Attributes:
      form: "SavedModel", "TFLite int8".
      path: Where it is.
      size_bytes: Of the file, or of all files in the folder.
      images: How many it was checked on.
      largest_difference: Between probabilities, over all images and classes.
      agreements: Images for which the most probable class is the same.
      top1_errors: Images for which it is not the label; None where there are no labels.
      milliseconds: For one image alone, median, without reading and resizing it.
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
        """Returns plain values."""
        return dataclasses.asdict(self)


class Checker:
    """Holds the Keras model's answers to the images.

    Args:
      reference: The Keras model.
      images: What to ask.
    """

    def __init__(self, reference: Classifier, images: CheckImages) -> None:
        self._images = images
        self._expected = _all_probabilities(reference, images.crops)

    def check(self, form: str, classifier: Classifier, path: Path) -> Check:
        """Asks a classifier the same and returns how its answers compare."""
        found = _all_probabilities(classifier, self._images.crops)
        top, labels = found.argmax(axis=1), self._images.labels
        return Check(
            form,
            str(path),
            size_bytes(Path(classifier.name)),
            len(found),
            float(np.abs(found - self._expected).max()),
            int(np.sum(top == self._expected.argmax(axis=1))),
            None if labels is None else int(np.sum(top != labels)),
            _milliseconds(classifier, self._images.crops),
        )


def size_bytes(path: Path) -> int:
    """Returns the size of a file, or of all files below a folder; 0 for none."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.is_file() else 0


def _all_probabilities(classifier: Classifier, crops: np.ndarray) -> np.ndarray:
    parts = [crops[start : start + _BATCH] for start in range(0, len(crops), _BATCH)]
    with _true_float32():
        return np.concatenate([classifier.probabilities(part) for part in parts])


@contextlib.contextmanager
def _true_float32() -> Iterator[None]:
    """Keeps TensorFlow from rounding to TF32, as it does on newer GPUs, while the block runs.

    TFLite and ONNX do not: answers would differ by more than the conversion changed them.
    """
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _milliseconds(classifier: Classifier, crops: np.ndarray) -> float:
    """Returns the median time of one image; the first call, which lays out memory, is left out."""
    classifier.probabilities(crops[:1])
    seconds = []
    for index in range(_TIMED_IMAGES):
        image = crops[index % len(crops)][np.newaxis]
        started = time.perf_counter()
        classifier.probabilities(image)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)
