"""The figures of a report: how each is drawn from the data, and its alternative text."""

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
from alexnet_tf.figures.canvas import Theme
from alexnet_tf.figures.curves import draw_curves
from alexnet_tf.figures.features import draw_activations, draw_projection
from alexnet_tf.figures.kernels import draw_kernels
from alexnet_tf.figures.metrics import (
    MAX_MATRIX_CLASSES,
    draw_calibration,
    draw_class_errors,
    draw_confusion_matrix,
    draw_confusions,
)
from alexnet_tf.figures.tiles import NOT_IN_TOP, Tile, draw_neighbors, draw_tiles
from alexnet_tf.report.data import ReportData

_TILES = 12
_CONFUSIONS = 20


@dataclasses.dataclass(frozen=True)
class ReportFigure:
    """A figure of the report.

    Attributes:
      draw: Draws the figure; returns None if the run has no data for it.
      alt: Returns the alternative text.
    """

    draw: Callable[[ReportData, Theme], Figure | None]
    alt: Callable[[ReportData], str]


def make_tiles(data: ReportData, indices: np.ndarray, names: Sequence[str]) -> list[Tile]:
    """Returns images of the split with their predictions.

    Args:
      data: The data of the report.
      indices: Indices of the images in the split.
      names: Class names by class number.
    """
    found = data.predictions
    tiles = []
    for pixels, i in zip(data.images_at(indices), indices, strict=True):
        classes, label = found.classes[i].tolist(), int(found.labels[i])
        rank = classes.index(label) if label in classes else NOT_IN_TOP
        top = [names[number] for number in classes]
        tiles.append(Tile(pixels, names[label], top, found.probabilities[i].tolist(), rank))
    return tiles


def mistakes(data: ReportData) -> np.ndarray:
    """Returns the indices of the most confident mistakes."""
    return most_confident_errors(data.predictions, _TILES)


def unsure(data: ReportData) -> np.ndarray:
    """Returns the indices of the least confident correct predictions."""
    return least_confident_correct(data.predictions, _TILES)


def _kernels(data: ReportData, theme: Theme) -> Figure:
    found = data.kernels
    return draw_kernels(found.after, found.groups, before=found.before, theme=theme)


def _kernels_alt(data: ReportData) -> str:
    height, width, channels, count = data.kernels.after.shape
    kind = "color" if channels == 3 else "gray"
    before = ", before and after training" if data.kernels.before is not None else ""
    return f"The {count} kernels of the first layer, {height} by {width} pixels in {kind}{before}"


def _confusion(data: ReportData, theme: Theme) -> Figure:
    found, names = data.predictions, data.display_names
    if len(names) <= MAX_MATRIX_CLASSES:
        return draw_confusion_matrix(confusion_matrix(found, len(names)), names, theme)
    pairs = worst_confusions(found, _CONFUSIONS)
    return draw_confusions(
        [names[pair.label] for pair in pairs],
        [names[pair.predicted] for pair in pairs],
        [pair.count for pair in pairs],
        [pair.examples for pair in pairs],
        theme,
    )


def _confusion_alt(data: ReportData) -> str:
    pairs = worst_confusions(data.predictions, 1)
    if not pairs:
        return "Confusion matrix without confusions"
    names, worst = data.class_names, pairs[0]
    return (
        f"Confusions of classes; the most frequent: {names[worst.label]} predicted as "
        f"{names[worst.predicted]}, {worst.count:,} of {worst.examples:,} images"
    )


def _errors(data: ReportData, theme: Theme) -> Figure:
    found = data.class_errors
    order = found.worst_first
    errors, examples = found.top1_errors[order], found.examples[order]
    pairs = zip(errors.tolist(), examples.tolist(), strict=True)
    return draw_class_errors(
        [data.display_names[i] for i in order],
        errors / examples,
        np.array([wilson_interval(wrong, total) for wrong, total in pairs]),
        data.evaluation.center_crop.top1_error,
        theme,
    )


def _errors_alt(data: ReportData) -> str:
    order = data.class_errors.worst_first
    worst, best = (data.class_names[i] for i in (order[0], order[-1]))
    return f"Top-1 error of each class in descending order, from {worst} to {best}"


def _tiles(
    select: Callable[[ReportData], np.ndarray],
) -> Callable[[ReportData, Theme], Figure | None]:
    """Returns a function that draws the images with the selected indices."""

    def draw(data: ReportData, theme: Theme) -> Figure | None:
        tiles = make_tiles(data, select(data), data.display_names)
        return draw_tiles(tiles, theme) if tiles else None

    return draw


def _similar(data: ReportData, theme: Theme) -> Figure | None:
    found, names = data.neighbors, data.display_names
    if found is None:
        return None

    def named(images: np.ndarray, labels: np.ndarray) -> list[tuple[np.ndarray, str]]:
        return [(pixels, names[label]) for pixels, label in zip(images, labels, strict=True)]

    rows = [named(*row) for row in zip(found.images, found.labels, strict=True)]
    return draw_neighbors(named(found.queries, found.query_labels), rows, theme)


FIGURES = {
    "curves": ReportFigure(
        lambda data, theme: draw_curves(
            data.history, theme=theme, num_classes=len(data.class_names)
        ),
        lambda data: f"Loss, errors and learning rate over {len(data.history)} epochs",
    ),
    "kernels": ReportFigure(_kernels, _kernels_alt),
    "confusion": ReportFigure(_confusion, _confusion_alt),
    "errors": ReportFigure(_errors, _errors_alt),
    "calibration": ReportFigure(
        lambda data, theme: draw_calibration(*data.calibration, theme),
        lambda data: (
            "Accuracy over confidence; expected calibration error "
            f"{data.calibration.expected_error:.2%}"
        ),
    ),
    "mistakes": ReportFigure(
        _tiles(mistakes), lambda data: "The most confident mistakes with their predictions"
    ),
    "unsure": ReportFigure(
        _tiles(unsure),
        lambda data: "The least confident correct predictions",
    ),
    "similar": ReportFigure(_similar, lambda data: "Images, each with the nearest training images"),
    "activations": ReportFigure(
        lambda data, theme: draw_activations(
            data.activations.pixels, data.activations.layers, theme
        ),
        lambda data: (
            "The strongest channels of each layer for one image: "
            + ", ".join(name for name, _ in data.activations.layers)
        ),
    ),
    "features": ReportFigure(
        lambda data, theme: draw_projection(
            data.projection.points, data.projection.labels, data.display_names, theme
        ),
        lambda data: (
            f"{len(data.projection.points):,} images as points, colored by class; images with "
            "similar features are close together"
        ),
    ),
}
