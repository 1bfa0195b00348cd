"""Top-1 and top-5 errors: counted exactly in the graph, for training and evaluation."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

TOP_K = 5  # the paper reports top-1 and top-5
Z_95 = 1.959963984540054  # 97.5% of a normal distribution lie below
_SMALLEST_PROBABILITY = 1e-37  # whose logarithm is computed: near float32's smallest


def rank_of_label(scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns how many classes have a higher score than the true one.

    An image is correct at top-1 for rank 0 and at top-5 for ranks below 5. Equal scores are ordered
    by class index, as argmax does, so that a network with equal scores for all classes is correct
    for class 0 only.

    Args:
      scores: float [b, classes]; probabilities or logits.
      labels: int [b], in 0..classes-1.

    Returns:
      int32 [b], in 0..classes-1, or the largest int32 if a score is NaN: wrong at any k.
    """
    # int64: on GPUs TensorFlow compares int32 on the CPU, and would wait for the values.
    labels = tf.cast(labels, tf.int64)
    score = tf.gather(scores, labels, axis=1, batch_dims=1)[:, tf.newaxis]
    classes = tf.range(scores.shape[1] or tf.shape(scores)[1], dtype=tf.int64)[tf.newaxis, :]
    ahead = (scores > score) | ((scores == score) & (classes < labels[:, tf.newaxis]))
    rank = tf.math.count_nonzero(ahead, axis=1, dtype=tf.int32)
    has_nan = tf.reduce_any(tf.math.is_nan(scores), axis=1)
    return tf.where(has_nan, tf.int32.max, rank)


def count_errors(
    scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the top-1 and top-5 error counts of a batch, and its number of images: int64 scalars.

    Args:
      scores: float [b, classes]; probabilities or logits.
      labels: int [b].
      weights: float [b], 0 for padding examples, which are not counted.
    """
    rank = tf.cast(rank_of_label(scores, labels), tf.int64)
    counted = weights > 0
    return (
        tf.math.count_nonzero((rank >= 1) & counted),
        tf.math.count_nonzero((rank >= TOP_K) & counted),
        tf.math.count_nonzero(counted),
    )


def batch_totals(probabilities: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns `count_errors` and the summed cross-entropy in nats of a batch: float64 [4].

    Args:
      probabilities: float32 [b, classes].
      labels: int64 [b].
      weights: float32 [b], 0 for padding examples.
    """
    of_label = tf.gather(probabilities, labels, axis=1, batch_dims=1)
    losses = -tf.math.log(tf.maximum(tf.cast(of_label, tf.float64), _SMALLEST_PROBABILITY))
    # Not multiplied by the weights: the loss of a padding example may be NaN.
    losses = tf.where(weights > 0, losses, tf.zeros_like(losses))
    counts = [tf.cast(n, tf.float64) for n in count_errors(probabilities, labels, weights)]
    return tf.stack([*counts, tf.reduce_sum(losses)])


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """Returns Wilson's 95% score interval of a proportion (1927), within 0..1.

    With p = count / n: (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n). Unlike
    p -+ z sqrt(p (1 - p) / n) it has a width if p is 0 or 1. For a total of 0 it is 0..1.

    Raises:
      ValueError: The count is not within 0..total.
    """
    if not 0 <= count <= total:
        raise ValueError(f"the count must be within 0 and the total. Received: {count=}, {total=}")
    if total == 0:
        return 0.0, 1.0
    p, divisor = count / total, 1 + Z_95 * Z_95 / total
    center = (p + Z_95 * Z_95 / (2 * total)) / divisor
    half = Z_95 * math.sqrt(p * (1 - p) / total + Z_95 * Z_95 / (4 * total * total)) / divisor
    # These two ends are exact; rounding must not move them.
    low = 0.0 if count == 0 else max(0.0, center - half)
    return low, 1.0 if count == total else min(1.0, center + half)


@dataclasses.dataclass(frozen=True)
class Errors:
    """The errors of a network on a number of images.

    Attributes:
      examples: Number of images.
      top1_errors: Images whose most probable class is wrong.
      top5_errors: Images whose class is not among the five most probable.
      loss: Mean cross-entropy in nats; NaN if an output is NaN.
    """

    examples: int
    top1_errors: int
    top5_errors: int
    loss: float

    @property
    def top1_error(self) -> float:
        """Top-1 error, 0..1."""
        return self.top1_errors / self.examples

    @property
    def top5_error(self) -> float:
        """Top-5 error, 0..1."""
        return self.top5_errors / self.examples

    @property
    def top1_interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the top-1 error, 0..1."""
        return wilson_interval(self.top1_errors, self.examples)

    @property
    def top5_interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the top-5 error, 0..1."""
        return wilson_interval(self.top5_errors, self.examples)

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values; the loss is None if it is NaN or infinite."""
        return {
            "examples": self.examples,
            "top1_errors": self.top1_errors,
            "top5_errors": self.top5_errors,
            "top1_error": self.top1_error,
            "top5_error": self.top5_error,
            "top1_interval": list(self.top1_interval),
            "top5_interval": list(self.top5_interval),
            "loss": self.loss if math.isfinite(self.loss) else None,
        }


class CropErrors(NamedTuple):
    """The errors of a network by kind of crop.

    Attributes:
      center_crop: Errors of the center crop (39.0% and 18.3% in the paper).
      ten_crop: Errors of the average over ten crops (37.5% and 17.0%), or None if not computed.
    """

    center_crop: Errors
    ten_crop: Errors | None = None

    @classmethod
    def from_totals(cls, totals: np.ndarray) -> "CropErrors":
        """Returns the errors from the sum of all batches' `batch_totals`: float64 [crops, 4]."""
        return cls(
            *(
                Errors(int(examples), int(top1), int(top5), float(loss / examples))
                for top1, top5, examples, loss in totals
            )
        )


class ClassMetrics(NamedTuple):
    """Precision, recall and F1 of a class, or an average over classes: 0..1, 0 where undefined.

    Attributes:
      precision: Fraction of the images predicted as the class that belong to it.
      recall: Fraction of the class's images that are predicted as it.
      f1: Harmonic mean of the two.
      support: Number of the class's images, or of all images.
    """

    precision: float
    recall: float
    f1: float
    support: int


@dataclasses.dataclass(frozen=True)
class ClassReport:
    """The metrics of each class, as scikit-learn's `classification_report` defines them.

    Attributes:
      classes: Index, name and metrics of every class that has images or is predicted, by ascending
        F1 and then by class index.
      macro_average: The mean over these classes.
      weighted_average: The mean over these classes, weighted by their number of images.
      calibration_error: Expected calibration error, 0..1, in 15 bins (Guo et al., 2017); NaN
        without images.
      confusion: int64 [k, 3], the cells of the confusion matrix that are not 0: label, prediction,
        number of images. Images with a NaN are not counted.
    """

    classes: tuple[tuple[int, str, ClassMetrics], ...]
    macro_average: ClassMetrics
    weighted_average: ClassMetrics
    calibration_error: float
    confusion: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values; the calibration error is None without images."""
        error = self.calibration_error
        return {
            "classes": [
                {"index": index, "class": name, **metrics._asdict()}
                for index, name, metrics in self.classes
            ],
            "macro_average": self.macro_average._asdict(),
            "weighted_average": self.weighted_average._asdict(),
            "expected_calibration_error": error if math.isfinite(error) else None,
            "confusion": self.confusion.tolist(),
        }


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The errors of a model on a split of a data set.

    Attributes:
      model: The model's file, or its name if a Keras model was evaluated.
      dataset: The data set's name or folder.
      split: "train", "validation" (also for a held-out part of train) or "test".
      center_crop: As in `CropErrors`.
      ten_crop: As in `CropErrors`.
      skipped: Names of damaged images, which were skipped, and why.
      per_class: The metrics of each class, or None if not computed.
      num_classes: Number of classes; None: unknown.
    """

    model: str
    dataset: str
    split: str
    center_crop: Errors
    ten_crop: Errors | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    per_class: ClassReport | None = None
    num_classes: int | None = None

    @property
    def has_top5(self) -> bool:
        """Whether the top-5 error can differ from 0: there are more than five classes."""
        return self.num_classes is None or self.num_classes > TOP_K

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values; `skipped` is the number of skipped images."""
        values: dict[str, Any] = {
            "model": self.model,
            "dataset": self.dataset,
            "split": self.split,
            "skipped": len(self.skipped),
            "center_crop": self.center_crop.to_json(),
        }
        if self.ten_crop is not None:
            values["ten_crop"] = self.ten_crop.to_json()
        if self.per_class is not None:
            values["per_class"] = self.per_class.to_json()
        return values
