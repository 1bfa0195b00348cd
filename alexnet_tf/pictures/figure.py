"""What all pictures share: a figure without a screen, the colours, the way to a file."""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from alexnet_tf.files import atomic_path

# Okabe and Ito: told apart by people with any colour vision.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
GREY = "#8a8f98"
DOTS_PER_INCH = 120


def new_figure(width: float, height: float, layout: str | None = "constrained") -> Figure:
    """Returns an empty figure with a canvas of its own; pyplot knows nothing of it.

    Args:
      width: In inches.
      height: In inches.
      layout: Matplotlib's layout engine, or None: whoever draws sets the margins.
    """
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")  # type: ignore[arg-type]
    FigureCanvasAgg(figure)
    return figure


def save_picture(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes a figure to a file, whole or not at all.

    Args:
      figure: Any.
      path: Ending in `.png`, `.pdf` or `.svg`. Its folder must exist.

    Returns:
      The path.
    """
    path = Path(path)
    with atomic_path(path) as temporary, _silent_about_letters():
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
