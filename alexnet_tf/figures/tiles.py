"""Images with bars of their most probable classes, and images with their nearest neighbors."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.canvas import LIGHT, Theme, is_small, new_figure
from alexnet_tf.figures.text import text_style, truncate

MAX_CAPTION_COLUMNS = 16  # below a neighbor
NOT_IN_TOP = -1  # `Tile.label_rank` if the true class is not among the names
_IMAGE_INCHES = 2.3
_GAP_INCHES = 0.25
_TITLE_INCHES, _BAR_INCHES = 0.26, 0.22
_MAX_NAME_COLUMNS = 26


@dataclasses.dataclass(frozen=True)
class Tile:
    """An image and the predictions for it.

    Attributes:
      pixels: uint8 [h, w, c], RGB or gray.
      title: Text above the image: the true class or the file's name.
      names: The most probable classes, in descending order.
      probabilities: Their probabilities, 0..1.
      label_rank: Index of the true class in `names`, `NOT_IN_TOP`, or None: unknown class.
    """

    pixels: np.ndarray
    title: str
    names: Sequence[str]
    probabilities: Sequence[float]
    label_rank: int | None = None


def draw_tiles(tiles: Sequence[Tile], theme: Theme = LIGHT, columns: int = 4) -> Figure:
    """Draws images, each above the bars of its most probable classes (figure 4, left).

    Args:
      tiles: At least one.
      theme: The colors. The bar of the true class has the first color of the series; a wrong first
        prediction has the second.
      columns: Maximum number of images per row.
    """
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    bars = max(len(tile.names) for tile in tiles)
    chart_height = _BAR_INCHES * bars
    step_x = _IMAGE_INCHES + _GAP_INCHES
    step_y = _TITLE_INCHES + _IMAGE_INCHES + 0.06 + chart_height + _GAP_INCHES
    height = rows * step_y + _GAP_INCHES / 2
    figure = new_figure(columns * step_x + _GAP_INCHES, height, theme, layout=None)
    for i, tile in enumerate(tiles):
        left = _GAP_INCHES + i % columns * step_x
        bottom = height - i // columns * step_y - _TITLE_INCHES - _IMAGE_INCHES
        image = _add_axes(figure, left, bottom, _IMAGE_INCHES, _IMAGE_INCHES)
        show_image(image, tile.pixels)
        title = truncate(tile.title, 32)
        image.set_title(title, fontsize=9, color=theme.ink, pad=4, **text_style([title]))
        chart = _add_axes(figure, left, bottom - 0.06 - chart_height, _IMAGE_INCHES, chart_height)
        _draw_bars(chart, tile, bars, theme)
    return figure


def draw_neighbors(
    queries: Sequence[tuple[np.ndarray, str]],
    neighbors: Sequence[Sequence[tuple[np.ndarray, str]]],
    theme: Theme = LIGHT,
) -> Figure:
    """Draws each query image and, beside it, its nearest images by distance (figure 4, right).

    Args:
      queries: Images uint8 [h, w, c] and their class names, "" if unknown; at least one.
      neighbors: The same for the neighbors of each query. A neighbor of another class has another
        text color and a cross.
      theme: The colors.
    """
    count = max(len(row) for row in neighbors)
    side, gap, text_height = 1.2, 0.12, 0.28
    width = (count + 1) * (side + gap) + 3 * gap
    height = len(queries) * (side + text_height + gap) + 0.4
    figure = new_figure(width, height, theme, layout=None)
    for row, ((pixels, label), near) in enumerate(zip(queries, neighbors, strict=True)):
        bottom = height - 0.35 - (row + 1) * (side + text_height) - row * gap + text_height
        for column, (image, name) in enumerate([(pixels, label), *near]):
            left = gap + column * (side + gap) + (2 * gap if column else 0)
            axes = _add_axes(figure, left, bottom, side, side)
            show_image(axes, image)
            same_class = not label or name == label
            caption = ("" if same_class else "× ") + truncate(name, MAX_CAPTION_COLUMNS)
            color = theme.ink if column == 0 else theme.series[0 if same_class else 1]
            text = axes.text(0.5, -0.05, caption, transform=axes.transAxes, fontsize=8, color=color)
            text.set(ha="center", va="top", **text_style([caption]))
    for left, title in ((gap, "query"), (side + 4 * gap, "nearest by the last hidden layer")):
        x, y = left / width, 1 - 0.2 / height
        figure.text(x, y, title, fontsize=9, color=theme.muted, va="center")
    return figure


def show_image(axes: Axes, pixels: np.ndarray) -> None:
    """Shows an image, uint8 [h, w, 3] or [h, w, 1], and hides the axes."""
    axes.imshow(
        np.squeeze(pixels, axis=-1) if pixels.shape[-1] == 1 else pixels,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="nearest" if is_small(pixels) else "antialiased",
    )
    axes.set_axis_off()


def _add_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Adds hidden axes at a position in inches and returns them."""
    x, y = figure.get_size_inches()
    axes = figure.add_axes((left / x, bottom / y, width / x, height / y))
    axes.set_axis_off()
    return axes


def _draw_bars(chart: Axes, tile: Tile, bars: int, theme: Theme) -> None:
    """Draws the classes of a tile from the top down, with space for `bars` of them."""
    blue, orange = theme.series[:2]
    colors = [theme.muted] * len(tile.names)
    colors[0] = blue if tile.label_rank is None else orange
    if tile.label_rank is not None and tile.label_rank != NOT_IN_TOP:
        colors[tile.label_rank] = blue
    values = [float(np.nan_to_num(value)) for value in tile.probabilities]
    chart.barh(range(len(values)), values, color=colors, height=0.86, alpha=0.45)
    for rank, (name, value) in enumerate(zip(tile.names, values, strict=True)):
        mark = " ✓" if rank == tile.label_rank else ""
        text = f"{truncate(name, _MAX_NAME_COLUMNS)}{mark}  {value:.1%}"
        drawn = chart.text(0.015, rank, text, va="center", clip_on=True, fontsize=7.5)
        drawn.set(**text_style([text]), color=theme.ink)
    chart.set(xlim=(0, 1), ylim=(bars - 0.45, -0.55))
