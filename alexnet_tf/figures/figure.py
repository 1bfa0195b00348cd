"""What all pictures share: a figure without a screen, axes in a theme, the way to a file."""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from alexnet_tf.figures.theme import LIGHT, Theme
from alexnet_tf.files import atomic_path

DOTS_PER_INCH = 120


def new_figure(
    width: float, height: float, theme: Theme = LIGHT, layout: str | None = "constrained"
) -> Figure:
    """Returns an empty figure with a canvas of its own; pyplot knows nothing of it.

    Args:
      width: In inches.
      height: In inches.
      theme: Its background is the figure's.
      layout: Matplotlib's layout engine, or None: whoever draws sets the margins.
    """
    figure = Figure(figsize=(width, height), layout=layout, facecolor=theme.background)  # type: ignore[arg-type]
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, theme: Theme, grid: str | None = None) -> Axes:
    """Gives axes a theme's colors, without the lines above and at the right.

    Args:
      axes: New ones.
      theme: The colors.
      grid: "x", "y" or "both" for grid lines, None for none.

    Returns:
      The axes.
    """
    axes.set_facecolor(theme.background)
    axes.tick_params(colors=theme.muted, labelcolor=theme.ink, labelsize=9)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(theme.ink)
    for side, line in axes.spines.items():
        line.set_color(theme.muted)
        line.set_visible(side in ("left", "bottom"))
    axes.set_axisbelow(True)
    if grid is not None:
        axes.grid(axis=grid, color=theme.faint, linewidth=0.8)  # type: ignore[arg-type]
    return axes


def style_legend(axes: Axes, theme: Theme, **settings: Any) -> None:
    """Adds a legend without a frame, in a theme's colors."""
    axes.legend(frameon=False, labelcolor=theme.ink, fontsize=9, **settings)


def save_picture(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes a figure to a file, whole or not at all.

    Args:
      figure: Any.
      path: Ending in `.png`, `.pdf` or `.svg`. Its folder must exist.

    Returns:
      The path.
    """
    path = Path(path)
    same_names = rc_context({"svg.hashsalt": "alexnet_tf"})  # in SVG files; else drawn by chance
    with atomic_path(path) as temporary, _silent_about_letters(), same_names:
        figure.savefig(temporary, dpi=DOTS_PER_INCH, metadata=_without_time(path.suffix))
    return path


def png_bytes(figure: Figure, dots_per_inch: int = DOTS_PER_INCH) -> bytes:
    """Returns a figure as a PNG file's bytes."""
    buffer = io.BytesIO()
    with _silent_about_letters():
        figure.savefig(buffer, format="png", dpi=dots_per_inch)
    return buffer.getvalue()


def _without_time(suffix: str) -> dict[str, Any] | None:
    """Returns metadata with which the same picture gives the same file."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix.lower())


@contextmanager
def _silent_about_letters() -> Iterator[None]:
    """Leaves out matplotlib's warning for each letter that no font on this machine has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield
