"""Images with their most probable classes as bars, and images with their nearest (figure 4)."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.encode import is_small
from alexnet_tf.figures.figure import new_figure
from alexnet_tf.figures.names import shortened, text_style
from alexnet_tf.figures.theme import LIGHT, Theme

_INCHES = 2.3  # side of an image
_GAP = 0.25
_TITLE, _BAR = 0.26, 0.22
_NAME_LENGTH = 26
LONGEST_CAPTION = 16  # below a neighbor
NOT_AMONG = -1


@dataclasses.dataclass(frozen=True)
class Tile:
    """One image and what a network says about it.

    Attributes:
      pixels: uint8 [h, w, c], RGB or gray.
      title: Over the image: the true class, or the file's name.
      names: The most probable classes, the first one first.
      probabilities: Theirs, 0..1.
      right: The true class's place among them, `NOT_AMONG` them, or None: unknown.
    """

    pixels: np.ndarray
    title: str
    names: Sequence[str]
    probabilities: Sequence[float]
    right: int | None = None


def draw_tiles(tiles: Sequence[Tile], theme: Theme = LIGHT, columns: int = 4) -> Figure:
    """Draws images, each with its bars below.

    Args:
      tiles: At least one.
      theme: The colors. The true class's bar has the first one, the class that came first in its
        place another, so that a mistake is seen as such.
      columns: Images in a row at most.
    """
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    bars = max(len(tile.names) for tile in tiles)
    heights = _TITLE, _INCHES, 0.06, _BAR * bars
    width = columns * (_INCHES + _GAP) + _GAP
    height = rows * (sum(heights) + _GAP) + _GAP / 2
    figure = new_figure(width, height, theme, layout=None)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        left = _GAP + column * (_INCHES + _GAP)
        bottom = height - row * (sum(heights) + _GAP) - heights[0] - heights[1]
        image = _place(figure, left, bottom, _INCHES, _INCHES)
        show_image(image, tile.pixels)
        (title,) = shortened([tile.title], 32)
        image.set_title(title, fontsize=9, color=theme.ink, pad=4, **text_style([title]))
        chart = _place(figure, left, bottom - 0.06 - heights[3], _INCHES, heights[3])
        _draw_bars(chart, tile, bars, theme)
    return figure


def draw_neighbors(
    queries: Sequence[tuple[np.ndarray, str]],
    neighbors: Sequence[Sequence[tuple[np.ndarray, str]]],
    theme: Theme = LIGHT,
) -> Figure:
    """Draws each query at the left, and its nearest images in a row beside it, the nearest first.

    Args:
      queries: Images uint8 [h, w, c] and their class names, "" where unknown; at least one.
      neighbors: For each query, the same; a neighbor of another class is named in another color
        and marked by a cross.
      theme: The colors.
    """
    count = max(len(row) for row in neighbors)
    side, gap, text = 1.2, 0.12, 0.28
    width = (count + 1) * (side + gap) + 3 * gap
    height = len(queries) * (side + text + gap) + 0.4
    figure = new_figure(width, height, theme, layout=None)
    for number, ((pixels, label), near) in enumerate(zip(queries, neighbors, strict=True)):
        bottom = height - 0.35 - (number + 1) * (side + text) - number * gap + text
        for place, (image, name) in enumerate([(pixels, label), *near]):
            left = gap + place * (side + gap) + (2 * gap if place else 0)
            axes = _place(figure, left, bottom, side, side)
            show_image(axes, image)
            (shown,) = shortened([name], LONGEST_CAPTION)
            is_same = not label or name == label
            color = theme.ink if place == 0 else theme.series[0 if is_same else 1]
            text_below = shown if is_same else f"× {shown}"
            style = {**text_style([text_below]), "color": color, "fontsize": 8}
            axes.text(
                0.5, -0.05, text_below, transform=axes.transAxes, ha="center", va="top", **style
            )
    for left, title in ((gap, "asked"), (side + 4 * gap, "nearest, by the last hidden layer")):
        x, y = left / width, 1 - 0.2 / height
        figure.text(x, y, title, fontsize=9, color=theme.muted, va="center")
    return figure


def show_image(axes: Axes, pixels: np.ndarray) -> None:
    """Shows an image uint8 [h, w, c], RGB or gray, without axes."""
    axes.imshow(
        np.squeeze(pixels, axis=-1) if pixels.shape[-1] == 1 else pixels,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="nearest" if is_small(pixels) else "antialiased",
    )
    axes.set_axis_off()


def _place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Returns new axes at a place in inches."""
    whole_width, whole_height = figure.get_size_inches()
    rectangle = (
        left / whole_width,
        bottom / whole_height,
        width / whole_width,
        height / whole_height,
    )
    axes = figure.add_axes(rectangle)
    axes.set_axis_off()
    return axes


def _draw_bars(chart: Axes, tile: Tile, bars: int, theme: Theme) -> None:
    """Draws one image's classes, the first at the top."""
    names = shortened(tile.names, _NAME_LENGTH)
    places = range(len(names))
    blue, orange = theme.series[:2]
    first = blue if tile.right is None else orange
    colors = [
        blue if place == tile.right else first if place == 0 else theme.muted for place in places
    ]
    values = [float(np.nan_to_num(value)) for value in tile.probabilities]
    chart.barh(places, values, color=colors, height=0.86, alpha=0.45)
    for place, name, value in zip(places, names, values, strict=True):
        mark = " ✓" if place == tile.right else ""
        text = f"{name}{mark}  {value:.1%}"
        style = {**text_style([text]), "color": theme.ink, "fontsize": 7.5}
        chart.text(0.015, place, text, va="center", clip_on=True, **style)
    chart.set(xlim=(0, 1), ylim=(bars - 0.45, -0.55))
