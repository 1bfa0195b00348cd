"""The report's pictures by name: how each is drawn from the material, and what it shows."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure

from alexnet_tf.evaluation.error_analysis import (
    confusion_matrix,
    least_confident_correct,
    most_confident_errors,
    worst_confusions,
)
from alexnet_tf.evaluation.metrics import wilson_interval
from alexnet_tf.figures.activations import draw_activations
from alexnet_tf.figures.calibration import draw_calibration
from alexnet_tf.figures.class_errors import draw_class_errors
from alexnet_tf.figures.confusion import MOST_CLASSES, draw_confusion_matrix, draw_confusions
from alexnet_tf.figures.curves import draw_curves
from alexnet_tf.figures.feature_map import draw_feature_map
from alexnet_tf.figures.kernels import draw_kernels
from alexnet_tf.figures.theme import Theme
from alexnet_tf.figures.tiles import NOT_AMONG, Tile, draw_neighbors, draw_tiles
from alexnet_tf.report.material import Material

TILES = 12
CONFUSIONS = 20


@dataclasses.dataclass(frozen=True)
class Picture:
    """One of the report's pictures.

    Attributes:
      draw: Draws it; None where the run has nothing to show in it.
      alt: What it shows, for people who do not see it.
    """

    draw: Callable[[Material, Theme], Figure | None]
    alt: Callable[[Material], str]


def tiles(material: Material, numbers: np.ndarray, names: Sequence[str]) -> list[Tile]:
    """Returns images of the split by number, with what they were taken for, by these names."""
    answers = material.answers
    images = material.pixels_of(numbers)
    found = []
    for pixels, number in zip(images, numbers, strict=True):
        classes, label = answers.classes[number].tolist(), int(answers.labels[number])
        right = classes.index(label) if label in classes else NOT_AMONG
        said = answers.probabilities[number].tolist()
        found.append(Tile(pixels, names[label], [names[c] for c in classes], said, right))
    return found


def mistakes(material: Material) -> np.ndarray:
    """Returns the most confident mistakes, by number."""
    return most_confident_errors(material.answers, TILES)


def unsure(material: Material) -> np.ndarray:
    """Returns the least sure hits, by number."""
    return least_confident_correct(material.answers, TILES)


def _kernels(material: Material, theme: Theme) -> Figure:
    found = material.kernels
    return draw_kernels(found.after, found.groups, before=found.before, theme=theme)


def _kernels_alt(material: Material) -> str:
    height, width, channels, count = material.kernels.after.shape
    kind = "color" if channels == 3 else "gray"
    before = ", before training and after it" if material.kernels.before is not None else ""
    return f"The first layer's {count} kernels of {height} by {width} pixels in {kind}{before}"


def _confusion(material: Material, theme: Theme) -> Figure:
    answers, names = material.answers, material.drawable_names
    if len(names) <= MOST_CLASSES:
        return draw_confusion_matrix(confusion_matrix(answers, len(names)), names, theme)
    pairs = worst_confusions(answers, CONFUSIONS)
    return draw_confusions(
        [names[pair.label] for pair in pairs],
        [names[pair.predicted] for pair in pairs],
        [pair.count for pair in pairs],
        [pair.examples for pair in pairs],
        theme,
    )


def _confusion_alt(material: Material) -> str:
    pairs = worst_confusions(material.answers, 1)
    if not pairs:
        return "Confusion matrix: no class was taken for another"
    names, worst = material.class_names, pairs[0]
    return (
        f"What was taken for what; most often {names[worst.label]} for {names[worst.predicted]}, "
        f"{worst.count:,} of {worst.examples:,} images"
    )


def _errors(material: Material, theme: Theme) -> Figure:
    found = material.class_errors
    order = found.worst_first
    counts = list(
        zip(found.top1_errors[order].tolist(), found.examples[order].tolist(), strict=True)
    )
    return draw_class_errors(
        [material.drawable_names[i] for i in order],
        np.array([wrong / total for wrong, total in counts]),
        np.array([wilson_interval(wrong, total) for wrong, total in counts]),
        material.evaluation.center_crop.top1_error,
        theme,
    )


def _errors_alt(material: Material) -> str:
    order = material.class_errors.worst_first
    worst, best = (material.class_names[i] for i in (order[0], order[-1]))
    return f"Top-1 error of each class, the worst first: from {worst} to {best}"


def _calibration(material: Material, theme: Theme) -> Figure:
    found = material.calibration
    return draw_calibration(
        found.edges,
        found.counts,
        found.confidences,
        found.accuracies,
        found.expected_error,
        theme,
    )


def _tiles(chosen: Callable[[Material], np.ndarray]) -> Callable[[Material, Theme], Figure | None]:
    def draw(material: Material, theme: Theme) -> Figure | None:
        numbers = chosen(material)
        if not len(numbers):
            return None
        return draw_tiles(tiles(material, numbers, material.drawable_names), theme)

    return draw


def _similar(material: Material, theme: Theme) -> Figure | None:
    found, names = material.neighbors, material.drawable_names
    if found is None:
        return None
    return draw_neighbors(
        [(p, names[label]) for p, label in zip(found.queries, found.query_labels, strict=True)],
        [
            [(p, names[label]) for p, label in zip(images, labels, strict=True)]
            for images, labels in zip(found.images, found.labels, strict=True)
        ],
        theme,
    )


def _activations(material: Material, theme: Theme) -> Figure:
    return draw_activations(material.seen.pixels, material.seen.layers, theme)


def _features(material: Material, theme: Theme) -> Figure:
    found = material.plane
    return draw_feature_map(found.points, found.labels, material.drawable_names, theme)


PICTURES = {
    "curves": Picture(
        lambda material, theme: draw_curves(material.history, theme=theme),
        lambda material: f"Loss, errors and learning rate over {len(material.history)} epochs",
    ),
    "kernels": Picture(_kernels, _kernels_alt),
    "confusion": Picture(_confusion, _confusion_alt),
    "errors": Picture(_errors, _errors_alt),
    "calibration": Picture(
        _calibration,
        lambda material: (
            "How often the network is right, over how sure it says it is; expected "
            f"calibration error {material.calibration.expected_error:.2%}"
        ),
    ),
    "mistakes": Picture(
        _tiles(mistakes), lambda material: "The most confident mistakes, each with its top five"
    ),
    "unsure": Picture(
        _tiles(unsure), lambda material: "The least sure hits, each with its top five"
    ),
    "similar": Picture(
        _similar, lambda material: "Some images, each with the training images nearest to it"
    ),
    "activations": Picture(
        _activations,
        lambda material: (
            "The strongest maps of every layer for one image: "
            + ", ".join(name for name, _ in material.seen.layers)
        ),
    ),
    "features": Picture(
        _features,
        lambda material: (
            f"{len(material.plane.points):,} images as points, those with like "
            "features close together, colored by class"
        ),
    ),
}
