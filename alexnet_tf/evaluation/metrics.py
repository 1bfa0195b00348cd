"""What a report counts: classes, confusions, calibration, and the images worth a look. NumPy."""

import dataclasses
from typing import NamedTuple

import numpy as np

from alexnet_tf.evaluation.answers import Answers
from alexnet_tf.evaluation.topk import TOP_K

CALIBRATION_BINS = 15  # as Guo et al. (2017) take


class ClassErrors(NamedTuple):
    """How often each class was not recognized.

    Attributes:
      examples: int64 [classes]: images of the class.
      top1_errors: int64 [classes]: those whose class did not come first.
      top5_errors: int64 [classes]: those whose class was not among the first five.
    """

    examples: np.ndarray
    top1_errors: np.ndarray
    top5_errors: np.ndarray

    @property
    def worst_first(self) -> np.ndarray:
        """Class numbers by falling share of top-1 errors, those without images left out."""
        present = np.flatnonzero(self.examples)
        share = self.top1_errors[present] / self.examples[present]
        return present[np.argsort(-share, kind="stable")]


@dataclasses.dataclass(frozen=True)
class Confusion:
    """One class taken for another.

    Attributes:
      label: The true class.
      predicted: The class that came first.
      count: Images.
      examples: Images of the true class.
    """

    label: int
    predicted: int
    count: int
    examples: int


class Calibration(NamedTuple):
    """Whether a network is right as often as it says (Guo et al., 2017).

    Attributes:
      edges: float64 [bins + 1], 0..1; a bin holds what is above its lower edge, up to
        its upper.
      counts: int64 [bins]: images whose first class has such a probability.
      confidences: float64 [bins]: its mean; NaN for a bin without images.
      accuracies: float64 [bins]: share of these images that were right; likewise.
      expected_error: Expected calibration error: the mean of |accuracy - confidence| over images;
        NaN without images.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidences: np.ndarray
    accuracies: np.ndarray
    expected_error: float


def class_errors(answers: Answers, classes: int) -> ClassErrors:
    """Counts each class's errors.

    Args:
      answers: Of any number of images.
      classes: How many classes there are.
    """

    def count(chosen: np.ndarray) -> np.ndarray:
        return np.bincount(answers.labels[chosen], minlength=classes)

    return ClassErrors(
        count(np.ones(len(answers), bool)),
        count(answers.ranks >= 1),
        count(answers.ranks >= TOP_K),
    )


def confusion_matrix(answers: Answers, classes: int) -> np.ndarray:
    """Returns int64 [classes, classes]: images of class i (row) that were taken for j (column).

    Images whose output was no number are in no cell. A thousand classes take 8 MB.
    """
    valid = answers.is_number
    cells = answers.labels[valid] * classes + answers.predicted[valid]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def worst_confusions(answers: Answers, count: int) -> list[Confusion]:
    """Returns the commonest pairs of a true class and another that it was taken for.

    Memory is bounded by the images, however many classes there are.

    Args:
      answers: Of any number of images.
      count: Pairs at most; equal ones come by class number.
    """
    wrong = answers.is_number & ~answers.is_right
    pairs = np.stack([answers.labels[wrong], answers.predicted[wrong].astype(np.int64)], axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    examples = np.bincount(answers.labels) if len(answers) else np.zeros(0, np.int64)
    order = np.argsort(-counts, kind="stable")[:count]
    return [
        Confusion(int(found[i, 0]), int(found[i, 1]), int(counts[i]), int(examples[found[i, 0]]))
        for i in order
    ]


def calibration(answers: Answers, bins: int = CALIBRATION_BINS) -> Calibration:
    """Returns the reliability of the confidences, in bins of equal width.

    Images whose output was no number are left out.
    """
    valid = answers.is_number
    confidences = answers.confidences[valid].astype(np.float64)
    right = answers.is_right[valid]
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 in empty bins
        means = np.bincount(places, confidences, minlength=bins) / counts
        accuracies = np.bincount(places, right, minlength=bins) / counts
    filled = counts > 0
    gaps = np.abs(accuracies - means)[filled]
    error = float(np.average(gaps, weights=counts[filled])) if filled.any() else float("nan")
    return Calibration(edges, counts, means, accuracies, error)


def confident_mistakes(answers: Answers, count: int) -> np.ndarray:
    """Returns the images, by number, that were wrong at top-1 with the highest confidence."""
    wrong = np.flatnonzero(answers.is_number & ~answers.is_right)
    return wrong[np.argsort(-answers.confidences[wrong], kind="stable")][:count]


def unsure_hits(answers: Answers, count: int) -> np.ndarray:
    """Returns the images, by number, that were right at top-1 with the lowest confidence."""
    right = np.flatnonzero(answers.is_right)
    return right[np.argsort(answers.confidences[right], kind="stable")][:count]
