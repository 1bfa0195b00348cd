"""What each layer makes of one image: its maps, side by side."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from alexnet_tf.figures.figure import new_figure
from alexnet_tf.figures.theme import LIGHT, Theme
from alexnet_tf.figures.tiles import show_image

MOST_MAPS = 64


def draw_activations(
    image: np.ndarray, layers: Sequence[tuple[str, np.ndarray]], theme: Theme = LIGHT
) -> Figure:
    """Draws an image and, layer by layer, the maps that answer it most strongly.

    Args:
      image: uint8 [p, p, c]: what the network saw.
      layers: Names and activations, from the input on. Of more than 64 maps float [h, w, n] those
        with the largest sum are drawn, in the order they have in the layer; units float [n] are
        drawn row by row as a square. Each layer is on a scale of its own, from zero (dark) to its
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
    for axes, (name, maps) in zip(grid.flat[1:], layers, strict=False):
        shown, text = _square(maps) if maps.ndim == 1 else _strongest(maps)
        largest = float(np.nanmax(shown, initial=0))
        axes.imshow(shown, cmap="magma", vmin=0, vmax=largest or 1, interpolation="nearest")
        axes.set_title(f"{name}: {text}", fontsize=10, color=theme.ink)
    return figure


def strongest(maps: np.ndarray, count: int) -> np.ndarray:
    """Returns the numbers of the maps [h, w, n] with the largest sums of sizes, ascending."""
    sums = np.abs(np.nan_to_num(maps)).sum(axis=(0, 1))
    return np.sort(np.argsort(-sums, kind="stable")[:count])


def _strongest(maps: np.ndarray) -> tuple[np.ndarray, str]:
    """Returns the strongest maps of [h, w, n] as one image, and what it shows."""
    height, width, count = maps.shape
    chosen = strongest(maps, MOST_MAPS)
    which = f"{len(chosen)} of {count} maps" if len(chosen) < count else f"{count} maps"
    return mosaic(np.abs(maps[..., chosen])), f"{which}, {height} × {width}"


def _square(units: np.ndarray) -> tuple[np.ndarray, str]:
    """Returns units [n] row by row as an image, and what it shows."""
    side = math.ceil(math.sqrt(len(units)))
    canvas = np.full(side * side, np.nan)
    canvas[: len(units)] = np.abs(np.nan_to_num(units))
    return canvas.reshape(side, side), f"{len(units)} units"


def mosaic(maps: np.ndarray) -> np.ndarray:
    """Returns maps [h, w, n] in a square: float with not-a-number, which is not drawn, between."""
    height, width, count = maps.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    gap = max(1, height // 16)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for number in range(count):
        row, column = divmod(number, columns)
        top, left = row * (height + gap), column * (width + gap)
        canvas[top : top + height, left : left + width] = np.nan_to_num(maps[..., number])
    return canvas
