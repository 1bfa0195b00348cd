"""Figures of an evaluation: calibration, errors of the classes, confusions."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from alexnet_tf.figures.canvas import LIGHT, Theme, new_figure, style_axes
from alexnet_tf.figures.text import text_style, truncate

MAX_BARS = 40
MAX_MATRIX_CLASSES = 250  # a cell of a larger matrix is smaller than two pixels
_MAX_NUMBERED_CLASSES = 16  # larger matrices have no numbers in their cells
_MAX_NAMED_CLASSES = 80  # larger matrices have class numbers instead of names


def draw_calibration(
    edges: np.ndarray,
    counts: np.ndarray,
    confidences: np.ndarray,
    accuracies: np.ndarray,
    expected_error: float,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws a reliability diagram: accuracy over confidence, and below it the images per bin.

    Args:
      edges: float [bins + 1], 0..1.
      counts: int [bins], images per bin.
      confidences: float [bins], their mean confidence; NaN without images.
      accuracies: float [bins], their accuracy, 0..1; NaN without images.
      expected_error: Expected calibration error, 0..1; NaN without images.
      theme: The colors.
    """
    figure = new_figure(5.6, 5.6, theme)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    style_axes(above, theme, "both")
    style_axes(below, theme, "y")
    filled = counts > 0
    left, width = 100 * edges[:-1], 100 * np.diff(edges)
    above.bar(
        left[filled],
        100 * accuracies[filled],
        width[filled],
        align="edge",
        color=theme.series[0],
        edgecolor=theme.background,
        alpha=0.45,
        label="accuracy",
    )
    above.plot([0, 100], [0, 100], "--", color=theme.muted, label="perfect calibration")
    above.plot(
        100 * confidences[filled],
        100 * accuracies[filled],
        "o-",
        color=theme.series[1],
        label="accuracy at mean confidence",
    )
    above.set(xlim=(0, 100), ylim=(0, 100))
    above.set_ylabel("accuracy (%)", color=theme.ink)
    # Below the diagram, since bars and points can be anywhere inside it.
    figure.legend(
        loc="outside lower center", ncols=3, frameon=False, labelcolor=theme.ink, fontsize=8.5
    )
    text = "no images" if math.isnan(expected_error) else f"{100 * expected_error:.2f}%"
    above.set_title(f"expected calibration error {text}", fontsize=10, color=theme.ink)
    below.bar(left, counts, width, align="edge", color=theme.muted, edgecolor=theme.background)
    below.set_ylabel("images", color=theme.ink)
    below.set_xlabel("confidence: probability of the predicted class (%)", color=theme.ink)
    return figure


def draw_class_errors(
    class_names: Sequence[str],
    errors: np.ndarray,
    intervals: np.ndarray,
    mean: float,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws the top-1 error of each class; of more than 40 classes, the first 20 and last 20.

    Args:
      class_names: Names from `display_names`, at least one, in the order drawn from the top.
      errors: float [n], 0..1.
      intervals: float [n, 2], 0..1, the 95% confidence intervals.
      mean: Error over all images, 0..1, drawn as a line.
      theme: The colors.
    """
    count, half = len(class_names), MAX_BARS // 2
    drawn = np.arange(count) if count <= MAX_BARS else np.r_[0:half, count - half : count]
    positions = np.arange(len(drawn))
    if count > MAX_BARS:
        positions[half:] += 1  # a gap for the skipped classes
    names = [truncate(class_names[i], 34) for i in drawn.tolist()]
    values, bounds = 100 * errors[drawn], 100 * intervals[drawn]
    figure = new_figure(7.5, 1.2 + 0.25 * max(len(positions), 2), theme)
    axes = style_axes(figure.add_subplot(), theme, "x")
    axes.barh(positions, values, color=theme.series[0], height=0.72)
    whiskers = np.maximum([values - bounds[:, 0], bounds[:, 1] - values], 0)
    axes.errorbar(
        values, positions, xerr=whiskers, fmt="none", ecolor=theme.ink, elinewidth=1, capsize=2.5
    )
    axes.axvline(100 * mean, color=theme.series[1], linestyle="--", linewidth=1.2)
    axes.set_yticks(positions, names)
    for label in axes.get_yticklabels():
        label.set(**text_style(names), fontsize=9)
    if count > MAX_BARS:
        skipped = f"… {count - len(drawn):,} classes between …"
        axes.text(0, half, skipped, va="center", fontsize=8, color=theme.muted)
    # At least 1%, so that errors of zero everywhere still have an axis.
    axes.set(ylim=(positions[-1] + 0.6, -0.6), xlim=(0, max(1.0, float(bounds.max()) * 1.03)))
    axes.set_xlabel("top-1 error (%) with 95% confidence interval", color=theme.ink)
    axes.set_title(f"all classes: {mean:.2%} (dashed)", fontsize=10, loc="left", color=theme.ink)
    return figure


def draw_confusion_matrix(
    matrix: np.ndarray, class_names: Sequence[str], theme: Theme = LIGHT
) -> Figure:
    """Draws a confusion matrix: rows are true classes, columns predicted classes.

    Correct predictions are blue, on a scale from 0 to 100% of the row. Errors are orange, on a
    scale that ends at the largest of them, so that small ones are visible.

    Args:
      matrix: int [c, c], counts, c from 2 to `MAX_MATRIX_CLASSES`.
      class_names: c names from `display_names`.
      theme: The colors.

    Raises:
      ValueError: The shape is not [c, c], c is out of range, or there are not c names.
    """
    classes = len(class_names)
    if matrix.shape != (classes, classes) or not 2 <= classes <= MAX_MATRIX_CLASSES:
        raise ValueError(
            f"The matrix must be [c, c] with c names, c from 2 to {MAX_MATRIX_CLASSES}. "
            f"Received: {matrix.shape} with {classes} names"
        )
    totals = matrix.sum(axis=1, keepdims=True)
    ratios = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    names = [truncate(name, 22) for name in class_names]
    named = classes <= _MAX_NAMED_CLASSES
    letters = max(map(len, names)) if named else 4
    side = float(np.clip(0.52 * classes, 2.4, 7.0))
    figure = new_figure(side + 1.0 + 0.085 * letters, side + 0.9 + 0.06 * letters, theme)
    axes = style_axes(figure.add_subplot(), theme)
    diagonal = np.eye(classes, dtype=bool)
    worst = float(ratios[~diagonal].max())
    blue, orange = (_color_map(theme, color) for color in theme.series[:2])
    axes.imshow(np.where(diagonal, np.nan, ratios), cmap=orange, vmin=0, vmax=worst or 1)
    axes.imshow(np.where(diagonal, ratios, np.nan), cmap=blue, vmin=0, vmax=1)
    if classes <= _MAX_NUMBERED_CLASSES:
        _write_percentages(axes, ratios, worst, theme)
    if named:
        axes.set_xticks(range(classes), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(classes), names)
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            label.set(**text_style(names), fontsize=float(np.clip(300 / classes, 4, 10)))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    suffix = "" if named else " (number)"
    axes.set_xlabel(f"predicted class{suffix}", color=theme.muted)
    axes.set_ylabel(f"true class{suffix}", color=theme.muted)
    title = "% of each true class\nblue: correct, orange: wrong"
    axes.set_title(title, fontsize=10, color=theme.ink)
    return figure


def draw_confusions(
    labels: Sequence[str],
    predicted: Sequence[str],
    counts: Sequence[int],
    examples: Sequence[int],
    theme: Theme = LIGHT,
) -> Figure:
    """Draws the most frequent confusions as bars, for too many classes for a matrix.

    Args:
      labels: Names of the true classes.
      predicted: Names of the predicted classes.
      counts: Images of the true class with this prediction.
      examples: Images of the true class.
      theme: The colors.
    """
    pairs = zip(labels, predicted, strict=True)
    names = [f"{truncate(label, 30)} → {truncate(other, 30)}" for label, other in pairs]
    figure = new_figure(8.5, 1.1 + 0.27 * max(len(names), 2), theme)
    axes = style_axes(figure.add_subplot(), theme, "x")
    if not names:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no confusions", ha="center", color=theme.ink)
        return figure
    percent = [100 * count / total for count, total in zip(counts, examples, strict=True)]
    axes.barh(range(len(names)), percent, color=theme.series[1], height=0.72)
    for position, (x, count, total) in enumerate(zip(percent, counts, examples, strict=True)):
        text = f" {count:,} of {total:,}"
        axes.text(x, position, text, va="center", fontsize=8, color=theme.ink)
    axes.set_yticks(range(len(names)), names)
    for tick in axes.get_yticklabels():
        tick.set(**text_style(names), fontsize=9)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlim=(0, max(percent) * 1.18))
    axes.set_xlabel("% of the images of the true class", color=theme.ink)
    axes.set_title("true class → predicted class", fontsize=10, loc="left", color=theme.ink)
    return figure


def _color_map(theme: Theme, color: str) -> Colormap:
    """Returns a color map from the background to a color; NaN is transparent."""
    scale = LinearSegmentedColormap.from_list("", [theme.background, color])
    return scale.with_extremes(bad=(0, 0, 0, 0))


def _write_percentages(axes: Axes, ratios: np.ndarray, worst: float, theme: Theme) -> None:
    """Writes whole percentages into the cells that are not zero."""
    for (row, column), ratio in np.ndenumerate(ratios):
        if ratio == 0:
            continue
        intensity = ratio if row == column else ratio / worst
        percent = str(int(100 * ratio + 0.5)) if ratio >= 0.005 else "<1"
        color = theme.background if intensity > 0.55 else theme.ink
        axes.text(column, row, percent, ha="center", va="center", fontsize=9, color=color)
