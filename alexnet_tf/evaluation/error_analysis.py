"""Analyze a network's errors for a report: by class, confusions, calibration."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from sklearn.metrics import precision_recall_fscore_support

from alexnet_tf.evaluation.metrics import TOP_K, ClassMetrics, ClassReport, rank_of_label

_CALIBRATION_BINS = 15  # as in Guo et al. (2017)
_NAN_RANK = np.iinfo(np.int32).max  # see `rank_of_label`


@dataclasses.dataclass(frozen=True)
class LabeledPredictions:
    """The most probable classes of n images, beside their labels.

    All probabilities of 50,000 images and 1,000 classes would take 200 MB; these take 3.

    Attributes:
      labels: int64 [n], the true classes.
      ranks: int32 [n], from `rank_of_label`.
      classes: int32 [n, k], the k most probable classes in descending order; k is 5, or the number
        of classes if smaller.
      probabilities: float32 [n, k], those of `classes`.
      label_probabilities: float32 [n], those of `labels`.
    """

    labels: np.ndarray
    ranks: np.ndarray
    classes: np.ndarray
    probabilities: np.ndarray
    label_probabilities: np.ndarray

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.labels)

    @property
    def is_correct(self) -> np.ndarray:
        """Whether the most probable class is the true one: bool [n]."""
        return self.ranks == 0

    @property
    def is_valid(self) -> np.ndarray:
        """Whether no probability of the image is NaN: bool [n]."""
        return self.ranks != _NAN_RANK

    @property
    def confidences(self) -> np.ndarray:
        """Probability of the most probable class: float32 [n]."""
        return self.probabilities[:, 0]

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class: int32 [n]."""
        return self.classes[:, 0]

    @classmethod
    def concatenate(cls, parts: Sequence["LabeledPredictions"]) -> "LabeledPredictions":
        """Returns the images of all parts, in order; there must be at least one part."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def without_padding(fields: Sequence[tf.Tensor], weights: tf.Tensor) -> LabeledPredictions:
    """Returns the predictions of a batch without its padding examples.

    Args:
      fields: From `labeled_predictions`.
      weights: float32 [b], 0 for padding examples.
    """
    is_example = np.asarray(weights) > 0
    return LabeledPredictions(*(np.asarray(values)[is_example] for values in fields))


def labeled_predictions(probabilities: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Returns the fields of `LabeledPredictions` for a batch as tensors; usable in a tf.function.

    Args:
      probabilities: float32 [b, classes]. Equal ones are ordered by class index.
      labels: int64 [b].
    """
    top = tf.math.top_k(probabilities, tf.minimum(TOP_K, tf.shape(probabilities)[-1]))
    of_label = tf.gather(probabilities, labels, axis=1, batch_dims=1)
    return labels, rank_of_label(probabilities, labels), top.indices, top.values, of_label


class ClassErrors(NamedTuple):
    """The errors of each class.

    Attributes:
      examples: int64 [classes], images of the class.
      top1_errors: int64 [classes], of these, images that are wrong at top-1.
      top5_errors: int64 [classes], images that are wrong at top-5.
    """

    examples: np.ndarray
    top1_errors: np.ndarray
    top5_errors: np.ndarray

    @property
    def worst_first(self) -> np.ndarray:
        """Indices of classes that have images, by descending top-1 error."""
        present = np.flatnonzero(self.examples)
        errors = self.top1_errors[present] / self.examples[present]
        return present[np.argsort(-errors, kind="stable")]


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Images of one class that were predicted as another.

    Attributes:
      label: The true class.
      predicted: The most probable class.
      count: Number of such images.
      examples: Number of images of the true class.
    """

    label: int
    predicted: int
    count: int
    examples: int


class Calibration(NamedTuple):
    """Accuracy of predictions by their confidence (Guo et al., 2017).

    Attributes:
      edges: float64 [bins + 1], 0..1. A bin excludes its lower edge and includes its upper one.
      counts: int64 [bins], images with such a confidence.
      confidences: float64 [bins], their mean confidence; NaN for an empty bin.
      accuracies: float64 [bins], their top-1 accuracy, 0..1; NaN for an empty bin.
      expected_error: Expected calibration error: the mean of |accuracy - confidence| over images;
        NaN without images.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidences: np.ndarray
    accuracies: np.ndarray
    expected_error: float


def class_errors(predictions: LabeledPredictions, classes: int) -> ClassErrors:
    """Counts the errors of each class; `classes` is the number of classes."""

    def count(chosen: np.ndarray) -> np.ndarray:
        return np.bincount(predictions.labels[chosen], minlength=classes)

    ranks = predictions.ranks
    return ClassErrors(count(ranks >= 0), count(ranks >= 1), count(ranks >= TOP_K))


def confusion_matrix(predictions: LabeledPredictions, classes: int) -> np.ndarray:
    """Counts the images of class i (row) that were predicted as class j: int64 [classes, classes].

    Images with a NaN are not counted. The matrix of a thousand classes takes 8 MB.
    """
    valid = predictions.is_valid
    cells = predictions.labels[valid] * classes + predictions.predicted[valid]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def class_report(predictions: LabeledPredictions, class_names: Sequence[str]) -> ClassReport:
    """Returns precision, recall and F1 by class, calibration and confusion counts.

    An image with a NaN is predicted as no class.

    Args:
      predictions: At least one image.
      class_names: Names by class index.
    """
    valid = predictions.is_valid
    predicted = np.where(valid, predictions.predicted, -1)
    indices = np.union1d(predictions.labels, predicted[valid])

    def metrics(average: str | None) -> Any:
        return precision_recall_fscore_support(
            predictions.labels, predicted, labels=indices, average=average, zero_division=0
        )

    by_class = [
        ClassMetrics(float(precision), float(recall), float(f1), int(support))
        for precision, recall, f1, support in zip(*metrics(None), strict=True)
    ]
    macro, weighted = (
        ClassMetrics(float(precision), float(recall), float(f1), len(predictions))
        for precision, recall, f1, _ in map(metrics, ("macro", "weighted"))
    )
    order = np.argsort([each.f1 for each in by_class], kind="stable")
    cells, counts = _count_pairs(predictions, valid)
    return ClassReport(
        tuple((int(indices[i]), class_names[indices[i]], by_class[i]) for i in order),
        macro,
        weighted,
        calibration(predictions).expected_error,
        np.column_stack([cells, counts]),
    )


def _count_pairs(predictions: LabeledPredictions, chosen: np.ndarray) -> Any:
    """Returns the pairs (label, prediction) of chosen images, int64 [k, 2], and their counts."""
    pairs = np.stack([predictions.labels[chosen], predictions.predicted[chosen]], axis=1)
    return np.unique(pairs.astype(np.int64), axis=0, return_counts=True)


def worst_confusions(predictions: LabeledPredictions, count: int) -> list[Confusion]:
    """Returns the `count` most common confusions, by descending count and then by class index.

    The memory does not depend on the number of classes.
    """
    wrong = predictions.is_valid & ~predictions.is_correct
    found, counts = _count_pairs(predictions, wrong)
    examples = np.bincount(predictions.labels) if len(predictions) else np.zeros(0, np.int64)
    order = np.argsort(-counts, kind="stable")[:count]
    return [
        Confusion(int(found[i, 0]), int(found[i, 1]), int(counts[i]), int(examples[found[i, 0]]))
        for i in order
    ]


def calibration(predictions: LabeledPredictions, bins: int = _CALIBRATION_BINS) -> Calibration:
    """Returns the calibration in bins of equal width; images with a NaN are not counted."""
    valid = predictions.is_valid
    confidences = predictions.confidences[valid].astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    indices = np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, bins - 1)
    counts = np.bincount(indices, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 in empty bins
        means = np.bincount(indices, confidences, minlength=bins) / counts
        accuracies = np.bincount(indices, predictions.is_correct[valid], minlength=bins) / counts
    filled = counts > 0
    gaps = np.abs(accuracies - means)[filled]
    error = float(np.average(gaps, weights=counts[filled])) if filled.any() else float("nan")
    return Calibration(edges, counts, means, accuracies, error)


def most_confident_errors(predictions: LabeledPredictions, count: int) -> np.ndarray:
    """Returns the indices of the wrong images with the highest confidence, in descending order."""
    wrong = np.flatnonzero(predictions.is_valid & ~predictions.is_correct)
    return wrong[np.argsort(-predictions.confidences[wrong], kind="stable")][:count]


def least_confident_correct(predictions: LabeledPredictions, count: int) -> np.ndarray:
    """Returns the indices of the correct images with the lowest confidence, in ascending order."""
    correct = np.flatnonzero(predictions.is_correct)
    return correct[np.argsort(predictions.confidences[correct], kind="stable")][:count]
