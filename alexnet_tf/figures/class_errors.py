"""Each class's error as a bar with its interval, the worst first."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from alexnet_tf.figures.figure import new_figure, style_axes
from alexnet_tf.figures.names import shortened, text_style
from alexnet_tf.figures.theme import LIGHT, Theme

MOST_BARS = 40


def draw_class_errors(
    class_names: Sequence[str],
    shares: np.ndarray,
    intervals: np.ndarray,
    mean: float,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws the classes' top-1 errors; of more than 40 classes the 20 first and the 20 last.

    Args:
      class_names: From `names.drawable`, in the order in which they are drawn, the first at the
        top; at least one.
      shares: float [n], 0..1: their errors.
      intervals: float [n, 2], 0..1: where each error lies with 95% confidence.
      mean: The error of all, drawn as a line.
      theme: The colors.
    """
    count = len(class_names)
    half = MOST_BARS // 2
    shown = np.arange(count) if count <= MOST_BARS else np.r_[0:half, count - half : count]
    # A gap where classes are left out.
    places = np.arange(len(shown)) + (count > MOST_BARS) * (np.arange(len(shown)) >= half)
    names = shortened([class_names[i] for i in shown.tolist()], 34)
    values, ends = 100 * shares[shown], 100 * intervals[shown]
    figure = new_figure(7.5, 1.2 + 0.25 * max(len(places), 2), theme)
    axes = style_axes(figure.add_subplot(), theme, "x")
    axes.barh(places, values, color=theme.series[0], height=0.72)
    whiskers = np.maximum([values - ends[:, 0], ends[:, 1] - values], 0)
    axes.errorbar(
        values, places, xerr=whiskers, fmt="none", ecolor=theme.ink, elinewidth=1, capsize=2.5
    )
    axes.axvline(100 * mean, color=theme.series[1], linestyle="--", linewidth=1.2)
    axes.set_yticks(places, names)
    for label in axes.get_yticklabels():
        label.set(**text_style(names), fontsize=9)
    if count > MOST_BARS:
        left_out = f"… {count - len(shown):,} classes between …"
        axes.text(0, half, left_out, va="center", fontsize=8, color=theme.muted)
    # Every bar ends inside, and an error of 0 everywhere still has an axis.
    axes.set(ylim=(places[-1] + 0.6, -0.6), xlim=(0, max(1.0, float(ends.max()) * 1.03)))
    axes.set_xlabel("top-1 error (%), with its 95% interval", color=theme.ink)
    axes.set_title(f"all classes: {mean:.2%} (dashed)", fontsize=10, loc="left", color=theme.ink)
    return figure
