"""A flat map of features: what the network puts close together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from alexnet_tf.figures.figure import new_figure
from alexnet_tf.figures.names import shortened, text_style
from alexnet_tf.figures.theme import LIGHT, Theme

_MARKERS = "osD^vPX"
_MOST_NAMED = 40


def draw_feature_map(
    points: np.ndarray, labels: np.ndarray, class_names: Sequence[str], theme: Theme = LIGHT
) -> Figure:
    """Draws a point an image, with its class's color and shape, and the class's name among them.

    Args:
      points: float [n, 2].
      labels: int [n].
      class_names: By class number, from `names.drawable`. Of more than 40 classes among the
        points, the 40 with most points are named, and the others are gray.
      theme: The colors.
    """
    figure = new_figure(7.5, 7.0, theme, layout=None)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    axes.set_axis_off()
    axes.margins(0.08)
    present, counts = np.unique(labels, return_counts=True)
    named = np.sort(present[np.argsort(-counts, kind="stable")[:_MOST_NAMED]])
    others = ~np.isin(labels, named)
    size = float(np.clip(24_000 / max(len(points), 1), 14, 44))
    gray = points[others]
    axes.scatter(gray[:, 0], gray[:, 1], s=size / 2, color=theme.faint, linewidths=0)
    names = shortened(class_names, 20)
    colors = theme.series[:7]  # the eighth is that of the names
    for number, label in enumerate(named):
        mine = points[labels == label]
        # As many colors as shapes: going on by one shape a round makes 49 pairs of them.
        color = colors[number % len(colors)]
        marker = _MARKERS[(number + number // len(colors)) % len(_MARKERS)]
        look: dict[str, Any] = {"color": color, "marker": marker, "alpha": 0.75, "linewidths": 0}
        axes.scatter(mine[:, 0], mine[:, 1], s=size, **look)
    for label in named:
        x, y = np.median(points[labels == label], axis=0)
        text = axes.text(x, y, names[label], ha="center", va="center", fontsize=10, color=theme.ink)
        text.set(**text_style([names[label]]), fontweight="bold")
        text.set_path_effects([withStroke(linewidth=3, foreground=theme.background)])
    return figure
