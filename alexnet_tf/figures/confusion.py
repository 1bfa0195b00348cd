"""What was taken for what: the confusion matrix, or for many classes the worst confusions."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from alexnet_tf.figures.figure import new_figure, style_axes
from alexnet_tf.figures.names import shortened, text_style
from alexnet_tf.figures.theme import LIGHT, Theme

MOST_CLASSES = 250  # of a matrix: beyond, a cell is less than two pixels
_NUMBERED_CLASSES = 16  # up to which cells have numbers
_NAMED_CLASSES = 80  # up to which rows have names


def draw_confusion_matrix(
    matrix: np.ndarray, class_names: Sequence[str], theme: Theme = LIGHT
) -> Figure:
    """Draws a confusion matrix: rows are true classes, columns what they were taken for.

    Right answers are blue, on a scale from 0 to 100% of the row; mistakes are orange, on a scale
    that ends at the largest share among them, so that they can be seen.

    Args:
      matrix: int [c, c], counts, c at least 2 and at most `MOST_CLASSES`.
      class_names: One each, from `names.drawable`.
      theme: The colors.

    Raises:
      ValueError: The matrix is not square, is too large, or the names are not as many.
    """
    classes = len(class_names)
    if matrix.shape != (classes, classes) or not 2 <= classes <= MOST_CLASSES:
        raise ValueError(
            f"a matrix [c, c] with c names, c from 2 to {MOST_CLASSES}, can be drawn. "
            f"Received: {matrix.shape} with {classes} names"
        )
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    names = shortened(class_names, 22)
    named = classes <= _NAMED_CLASSES
    letters = max(map(len, names)) if named else 4
    side = float(np.clip(0.52 * classes, 2.4, 7.0))
    figure = new_figure(side + 1.0 + 0.085 * letters, side + 0.9 + 0.06 * letters, theme)
    axes = style_axes(figure.add_subplot(), theme)
    diagonal = np.eye(classes, dtype=bool)
    worst = float(shares[~diagonal].max())
    right, wrong = (_scale(theme, color) for color in theme.series[:2])
    axes.imshow(np.where(diagonal, np.nan, shares), cmap=wrong, vmin=0, vmax=worst or 1)
    axes.imshow(np.where(diagonal, shares, np.nan), cmap=right, vmin=0, vmax=1)
    if classes <= _NUMBERED_CLASSES:
        _write_numbers(axes, shares, worst, theme)
    if named:
        size = float(np.clip(300 / classes, 4, 10))
        style = {**text_style(names), "fontsize": size}
        axes.set_xticks(range(classes), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(classes), names)
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            label.set(**style)
    axes.tick_params(length=0)
    for line in axes.spines.values():
        line.set_visible(False)
    axes.set_xlabel("taken for" if named else "taken for (class number)", color=theme.muted)
    axes.set_ylabel("true class" if named else "true class (number)", color=theme.muted)
    axes.set_title("% of each true class: blue right, orange wrong", fontsize=10, color=theme.ink)
    return figure


def draw_confusions(
    labels: Sequence[str],
    predicted: Sequence[str],
    counts: Sequence[int],
    examples: Sequence[int],
    theme: Theme = LIGHT,
) -> Figure:
    """Draws the worst confusions as bars, for data sets with too many classes for a matrix.

    Args:
      labels: Names of true classes.
      predicted: What each was taken for.
      counts: How often.
      examples: Of how many images of the true class.
      theme: The colors.
    """
    texts = [
        f"{label} → {other}"
        for label, other in zip(shortened(labels, 30), shortened(predicted, 30), strict=True)
    ]
    figure = new_figure(8.5, 1.1 + 0.27 * max(len(texts), 2), theme)
    axes = style_axes(figure.add_subplot(), theme, "x")
    if not texts:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "nothing was confused", ha="center", color=theme.ink)
        return figure
    shares = [100 * count / total for count, total in zip(counts, examples, strict=True)]
    places = range(len(texts))
    axes.barh(places, shares, color=theme.series[1], height=0.72)
    for place, (share, count, total) in enumerate(zip(shares, counts, examples, strict=True)):
        text = f" {count:,} of {total:,}"
        axes.text(share, place, text, va="center", fontsize=8, color=theme.ink)
    axes.set_yticks(places, texts)
    for label in axes.get_yticklabels():
        label.set(**text_style(texts), fontsize=9)
    axes.set(ylim=(len(texts) - 0.4, -0.6), xlim=(0, max(shares) * 1.18))
    axes.set_xlabel("% of the true class's images", color=theme.ink)
    axes.set_title("true class → what it was taken for", fontsize=10, loc="left", color=theme.ink)
    return figure


def _scale(theme: Theme, color: str) -> Colormap:
    """Returns a color map from the background to a color; nothing is drawn for no number."""
    scale = LinearSegmentedColormap.from_list("", [theme.background, color])
    return scale.with_extremes(bad=(0, 0, 0, 0))


def _write_numbers(axes: Axes, shares: np.ndarray, worst: float, theme: Theme) -> None:
    """Writes whole percents into the cells, where there are any."""
    for (row, column), share in np.ndenumerate(shares):
        if share == 0:
            continue
        full = share if row == column else share / worst
        percent = str(int(100 * share + 0.5)) if share >= 0.005 else "<1"
        color = theme.background if full > 0.55 else theme.ink
        axes.text(column, row, percent, ha="center", va="center", fontsize=9, color=color)
