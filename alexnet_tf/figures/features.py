"""Activations of the layers for one image, and a two-dimensional projection of features."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from alexnet_tf.figures.canvas import LIGHT, Theme, new_figure
from alexnet_tf.figures.text import text_style, truncate
from alexnet_tf.figures.tiles import show_image

MAX_CHANNELS = 64
_MARKERS = "osD^vPX"
_MAX_NAMED_CLASSES = 40


def draw_activations(
    image: np.ndarray, layers: Sequence[tuple[str, np.ndarray]], theme: Theme = LIGHT
) -> Figure:
    """Draws an image and the largest activations of each layer.

    Args:
      image: uint8 [p, p, c], the input of the network.
      layers: Names and activations in the order of the network. Of float [h, w, n], up to 64
        channels with the largest sums are drawn, in the order of the layer. The units of float [n]
        are drawn row by row as a square. Each layer has its own scale, from zero (dark) to its
        largest activation (bright).
      theme: The colors.
    """
    columns = min(3, len(layers) + 1)
    rows = math.ceil((len(layers) + 1) / columns)
    figure = new_figure(3.3 * columns, 3.6 * rows, theme)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    show_image(grid.flat[0], image)
    grid.flat[0].set_title("image", fontsize=10, color=theme.ink)
    for axes, (name, values) in zip(grid.flat[1:], layers, strict=False):
        drawn, text = _units_image(values) if values.ndim == 1 else _channels_image(values)
        largest = float(np.nanmax(drawn, initial=0))
        axes.imshow(drawn, cmap="magma", vmin=0, vmax=largest or 1, interpolation="nearest")
        axes.set_title(f"{name}\n{text}", fontsize=10, color=theme.ink)
    return figure


def strongest_channels(activations: np.ndarray, count: int) -> np.ndarray:
    """Returns the channels of [h, w, n] with the largest sums of absolute values, ascending."""
    sums = np.abs(np.nan_to_num(activations)).sum(axis=(0, 1))
    return np.sort(np.argsort(-sums, kind="stable")[:count])


def _channels_image(activations: np.ndarray) -> tuple[np.ndarray, str]:
    """Returns the strongest channels of [h, w, n] as an image with gaps of NaN, and a caption."""
    height, width, count = activations.shape
    chosen = strongest_channels(activations, MAX_CHANNELS)
    columns = math.ceil(math.sqrt(len(chosen)))
    rows = math.ceil(len(chosen) / columns)
    gap = max(1, height // 16)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for i, channel in enumerate(chosen):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        values = np.nan_to_num(np.abs(activations[..., channel]))
        canvas[top : top + height, left : left + width] = values
    fraction = f"{len(chosen)} of {count}" if len(chosen) < count else f"{count}"
    return canvas, f"{fraction} channels, {height} × {width}"


def _units_image(units: np.ndarray) -> tuple[np.ndarray, str]:
    """Returns units [n], row by row, as an image, and a caption."""
    side = math.ceil(math.sqrt(len(units)))
    canvas = np.full(side * side, np.nan)
    canvas[: len(units)] = np.abs(np.nan_to_num(units))
    return canvas.reshape(side, side), f"{len(units)} units"


def draw_projection(
    points: np.ndarray, labels: np.ndarray, class_names: Sequence[str], theme: Theme = LIGHT
) -> Figure:
    """Draws one point per image, with the color, the marker and the name of its class.

    Args:
      points: float [n, 2].
      labels: int [n].
      class_names: Names from `display_names`, by class number. Of more than 40 classes among the
        points, the 40 with the most points are named, and the others are gray.
      theme: The colors.
    """
    figure = new_figure(7.5, 7.0, theme, layout=None)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    axes.set_axis_off()
    axes.margins(0.08)
    present, counts = np.unique(labels, return_counts=True)
    named = np.sort(present[np.argsort(-counts, kind="stable")[:_MAX_NAMED_CLASSES]])
    size = float(np.clip(24_000 / max(len(points), 1), 14, 44))
    gray = points[~np.isin(labels, named)]
    axes.scatter(gray[:, 0], gray[:, 1], s=size / 2, color=theme.faint, linewidths=0)
    colors = theme.series[:7]  # the eighth color is that of the text
    for i, label in enumerate(named):
        own = points[labels == label]
        # Shifting the marker by one in each round makes 49 combinations of 7 colors and 7 markers.
        marker = _MARKERS[(i + i // len(colors)) % len(_MARKERS)]
        style: dict[str, Any] = {"color": colors[i % len(colors)], "marker": marker}
        axes.scatter(own[:, 0], own[:, 1], s=size, alpha=0.75, linewidths=0, **style)
    for label in named:
        x, y = np.median(points[labels == label], axis=0)
        name = truncate(class_names[label], 20)
        text = axes.text(x, y, name, ha="center", va="center", fontsize=10, color=theme.ink)
        text.set(**text_style([name]), fontweight="bold")
        text.set_path_effects([withStroke(linewidth=3, foreground=theme.background)])
    return figure
