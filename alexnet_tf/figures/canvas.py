"""Color themes, empty figures and styled axes; writes figures and images as files and data URIs."""

import base64
import dataclasses
import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from alexnet_tf.files import atomic_path

DOTS_PER_INCH = 120
_SMALL_PIXELS = 64  # larger images are stored as JPEG and displayed smoothed
_JPEG_QUALITY = 88


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colors in a form that both matplotlib and CSS accept.

    Attributes:
      background: Color of the page behind the figure.
      ink: Color of text.
      muted: Color of axes and secondary text.
      faint: Color of grid lines.
      series: Colors that people with any color vision can distinguish (Okabe and Ito). The first
        marks correct or ordinary values, the second errors.
    """

    background: str
    ink: str
    muted: str
    faint: str
    series: tuple[str, ...]


LIGHT = Theme(
    "#ffffff",
    "#1b1f24",
    "#5b636e",
    "#d9dde3",
    ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6b6b00", "#000000"),
)
DARK = Theme(
    "#1d2127",
    "#e8eaed",
    "#a4acb7",
    "#3b424c",
    ("#56B4E9", "#F08A3C", "#2FC79A", "#E3A0C4", "#F0C94A", "#3D8FD1", "#B9B95B", "#ffffff"),
)


def new_figure(
    width: float, height: float, theme: Theme = LIGHT, layout: str | None = "constrained"
) -> Figure:
    """Returns an empty figure that is independent of pyplot and needs no display.

    Args:
      width: In inches.
      height: In inches.
      theme: Its background becomes the figure's.
      layout: Matplotlib's layout engine; None if the caller sets the margins.
    """
    figure = Figure(figsize=(width, height), layout=layout, facecolor=theme.background)  # type: ignore[arg-type]
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, theme: Theme, grid: str | None = None) -> Axes:
    """Applies a theme to axes, hides the upper and right spines, and returns the axes.

    Args:
      axes: The axes.
      theme: The colors.
      grid: Axis with grid lines, "x", "y" or "both"; None for no grid.
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
    """Adds a legend without a frame."""
    axes.legend(frameon=False, labelcolor=theme.ink, fontsize=9, **settings)


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes a figure atomically. The same figure always gives the same bytes.

    Args:
      figure: The figure.
      path: Ends in `.png`, `.pdf` or `.svg`; its folder must exist.

    Returns:
      The path.
    """
    path = Path(path)
    metadata: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    fixed_ids = rc_context({"svg.hashsalt": "alexnet_tf"})  # SVG element ids are random otherwise
    with atomic_path(path) as temporary, _without_glyph_warnings(), fixed_ids:
        figure.savefig(temporary, dpi=DOTS_PER_INCH, metadata=metadata.get(path.suffix.lower()))
    return path


def png_bytes(figure: Figure, dots_per_inch: int = DOTS_PER_INCH) -> bytes:
    """Returns a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    with _without_glyph_warnings():
        figure.savefig(buffer, format="png", dpi=dots_per_inch)
    return buffer.getvalue()


def data_uri(content: bytes, media_type: str) -> str:
    """Returns the bytes of a file as a data URI; `media_type` is "image/png" or the like."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def image_uri(pixels: np.ndarray) -> str:
    """Returns an image, uint8 [h, w, 3] or [h, w, 1], as a data URI: PNG if small, else JPEG."""
    image = Image.fromarray(np.squeeze(pixels, axis=-1) if pixels.shape[-1] == 1 else pixels)
    buffer = io.BytesIO()
    if is_small(pixels):
        image.save(buffer, "PNG", optimize=True)
        return data_uri(buffer.getvalue(), "image/png")
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return data_uri(buffer.getvalue(), "image/jpeg")


def is_small(pixels: np.ndarray) -> bool:
    """Returns whether an image [h, w, c] should be enlarged without smoothing: up to 64 pixels."""
    return max(pixels.shape[:2]) <= _SMALL_PIXELS


@contextmanager
def _without_glyph_warnings() -> Iterator[None]:
    """Suppresses matplotlib's warnings about letters that no installed font has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield
