"""A convolution's kernels as small images, tower by tower, as in figure 3 of the paper."""

import math

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from alexnet_tf.figures.figure import new_figure
from alexnet_tf.figures.theme import LIGHT, Theme

# Figure 3 has the 48 kernels of each tower in three rows of sixteen.
_COLUMNS = 16
_GAP = 1  # pixels of white between kernels
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

    Three input maps are shown in color, one in gray, any other number as their average in gray.
    Each kernel is scaled by its own largest weight; a weight of zero is middle gray.

    Args:
      kernels: float [h, w, c, n], RGB where c is 3: any range; not a number is drawn as zero.
      groups: Towers: the kernels of each are adjacent, and drawn in rows of their own.
      before: The same kernels before training, [h, w, c, n], drawn above; or None.
      theme: The colors around them.

    Returns:
      The figure: a panel per tower.

    Raises:
      ValueError: The kernels have another shape, or the groups do not divide them.
    """
    states = {"": kernels} if before is None else {"before training": before}
    if before is not None:
        states["after training"] = kernels
        if before.shape != kernels.shape:
            raise ValueError(
                "the kernels before and after training must be alike in shape. "
                f"Received: {before.shape} and {kernels.shape}"
            )
    panels = [
        (_title(state, tower, groups, values.shape[-1]), mosaic(part, background=theme.background))
        for state, values in states.items()
        for tower, part in enumerate(towers(values, groups), start=1)
    ]
    cell = kernels.shape[0] + _GAP
    columns = max((image.shape[1] - _GAP) // (kernels.shape[1] + _GAP) for _, image in panels)
    rows = [max(1, (image.shape[0] - _GAP) // cell) for _, image in panels]
    headings = sum(_TITLE_INCHES for title, _ in panels if title)
    width = max(columns * _CELL_INCHES, 4.0)
    height = sum(rows) * width / columns + headings + 0.1
    figure = new_figure(width, height, theme)
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=rows)
    for axes, (title, image) in zip(grid.flat, panels, strict=True):
        axes.imshow(image, interpolation="nearest")
        axes.set_axis_off()
        if title:
            axes.set_title(title, fontsize=10, loc="left", color=theme.ink)
    return figure


def towers(kernels: np.ndarray, groups: int) -> list[np.ndarray]:
    """Returns each tower's kernels: [h, w, c, n / groups].

    Raises:
      ValueError: The kernels are not [h, w, c, n], or the groups do not divide n.
    """
    if kernels.ndim != 4 or not kernels.size:
        raise ValueError(f"kernels must be [h, w, c, n]. Received shape: {kernels.shape}")
    if groups < 1 or kernels.shape[-1] % groups:
        raise ValueError(
            f"the groups must divide the kernels. Received: groups={groups}, "
            f"kernels={kernels.shape[-1]}"
        )
    return np.split(kernels, groups, axis=-1)


def mosaic(
    kernels: np.ndarray, columns: int | None = None, background: str = LIGHT.background
) -> np.ndarray:
    """Returns kernels side by side as one image.

    Args:
      kernels: float [h, w, c, n], as in `draw_kernels`.
      columns: Kernels in a row, or None: up to 16, in rows as full as can be.
      background: The color between the kernels.

    Returns:
      float32 [rows * (h + 1) + 1, columns * (w + 1) + 1, 3], 0..1.
    """
    height, width, channels, count = kernels.shape
    rows = math.ceil(count / min(_COLUMNS, count))
    columns = columns or math.ceil(count / rows)
    rows = math.ceil(count / columns)
    if channels not in (1, 3):
        kernels = kernels.mean(axis=2, keepdims=True)
    values = np.nan_to_num(kernels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    largest = np.abs(values).max(axis=(0, 1, 2), keepdims=True)
    # Short of white, so that a large weight at the edge does not look like a gap.
    shades = 0.5 + 0.45 * values / np.where(largest > 0, largest, 1)
    step_down, step_right = height + _GAP, width + _GAP
    canvas = np.empty((rows * step_down + _GAP, columns * step_right + _GAP, 3), np.float32)
    canvas[:] = to_rgb(background)
    for number in range(count):
        row, column = divmod(number, columns)
        top, left = row * step_down + _GAP, column * step_right + _GAP
        canvas[top : top + height, left : left + width] = shades[..., number]
    return canvas


def _title(state: str, tower: int, groups: int, count: int) -> str:
    """Returns what stands over a panel."""
    each = count // groups
    place = f"tower {tower}: kernels {(tower - 1) * each + 1}–{tower * each}"
    if groups == 1:
        return state
    return f"{state}, {place}" if state else place
