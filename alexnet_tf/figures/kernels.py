"""The kernels of a convolution as small images, group by group, as in figure 3 of the paper."""

import math

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from alexnet_tf.figures.canvas import LIGHT, Theme, new_figure

_MAX_COLUMNS = 16  # figure 3 has the 48 kernels of each group in three rows of sixteen
_GAP = 1  # pixels between kernels
_CELL_INCHES = 0.5
_TITLE_INCHES = 0.34


def draw_kernels(
    kernels: np.ndarray,
    groups: int = 1,
    *,
    before: np.ndarray | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws all kernels of a convolution.

    Kernels of three input channels are drawn in color, of one channel in gray, of any other number
    as the mean over the channels in gray. Each kernel is divided by its largest absolute weight;
    a weight of zero is middle gray.

    Args:
      kernels: float [h, w, c, n], RGB if c is 3, of any range; NaN is drawn as zero.
      groups: Groups of the convolution; the kernels of a group are adjacent and have own rows.
      before: float [h, w, c, n], the kernels before training, drawn above; or None.
      theme: The colors of background and text.

    Returns:
      The figure, with one panel per group and state.

    Raises:
      ValueError: A shape is wrong, or n is not divisible by the groups.
    """
    if kernels.ndim != 4 or not kernels.size:
        raise ValueError(f"kernels must be [h, w, c, n]. Received shape: {kernels.shape}")
    count = kernels.shape[-1]
    if groups < 1 or count % groups:
        raise ValueError(
            f"groups must divide the number of kernels. Received: groups={groups}, kernels={count}"
        )
    if before is not None and before.shape != kernels.shape:
        raise ValueError(
            "The kernels before and after training must have the same shape. "
            f"Received: {before.shape} and {kernels.shape}"
        )
    states = {"": kernels}
    if before is not None:
        states = {"before training": before, "after training": kernels}
    panels = [
        (_title(state, group, groups, count), kernel_grid(part, background=theme.background))
        for state, values in states.items()
        for group, part in enumerate(np.split(values, groups, axis=-1))
    ]
    rows = [max(1, image.shape[0] // (kernels.shape[0] + _GAP)) for _, image in panels]
    columns = max(image.shape[1] // (kernels.shape[1] + _GAP) for _, image in panels)
    titles = sum(_TITLE_INCHES for title, _ in panels if title)
    width = max(columns * _CELL_INCHES, 4.0)
    figure = new_figure(width, sum(rows) * width / columns + titles + 0.1, theme)
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=rows)
    for axes, (title, image) in zip(grid.flat, panels, strict=True):
        axes.imshow(image, interpolation="nearest")
        axes.set_axis_off()
        if title:
            axes.set_title(title, fontsize=10, loc="left", color=theme.ink)
    return figure


def kernel_grid(
    kernels: np.ndarray, columns: int | None = None, background: str = LIGHT.background
) -> np.ndarray:
    """Returns kernels side by side as one image.

    Args:
      kernels: float [h, w, c, n], as in `draw_kernels`.
      columns: Kernels per row; None: up to 16, with rows as equal as possible.
      background: The color between the kernels.

    Returns:
      float32 [rows * (h + 1) + 1, columns * (w + 1) + 1, 3], 0..1.
    """
    height, width, channels, count = kernels.shape
    columns = columns or math.ceil(count / math.ceil(count / _MAX_COLUMNS))
    rows = math.ceil(count / columns)
    if channels not in (1, 3):
        kernels = kernels.mean(axis=2, keepdims=True)
    values = np.nan_to_num(kernels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    largest = np.abs(values).max(axis=(0, 1, 2), keepdims=True)
    # Up to 0.95, not white, so that a large weight at the edge does not look like a gap.
    shades = 0.5 + 0.45 * values / np.where(largest > 0, largest, 1)
    step_y, step_x = height + _GAP, width + _GAP
    canvas = np.empty((rows * step_y + _GAP, columns * step_x + _GAP, 3), np.float32)
    canvas[:] = to_rgb(background)
    for i in range(count):
        top, left = i // columns * step_y + _GAP, i % columns * step_x + _GAP
        canvas[top : top + height, left : left + width] = shades[..., i]
    return canvas


def _title(state: str, group: int, groups: int, count: int) -> str:
    """Returns the title of a panel; `group` counts from 0, `count` is that of all kernels."""
    if groups == 1:
        return state
    size = count // groups
    text = f"group {group + 1}: kernels {group * size + 1}–{(group + 1) * size}"
    return f"{state}, {text}" if state else text
