"""Images with their most probable classes as bars, as in figure 4 (left) of the paper."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.predict import Prediction
from alexnet_tf.files import atomic_path

MOST_IMAGES = 64
_COLUMNS = 4
_NAME_LENGTH = 26
_BAR, _FIRST_BAR = "#c3d3e6", "#7fabd9"


def draw_predictions(predictions: Sequence[Prediction], path: str | os.PathLike[str]) -> None:
    """Draws images and below each the bars of its most probable classes.

    Args:
      predictions: At least one; not more than the first 64 are drawn.
      path: The picture, `.png`, `.pdf` or `.svg`; replaced only by a complete one.

    Raises:
      InputError: The name's ending is none of these.
    """
    check_picture_name(path)
    shown = predictions[:MOST_IMAGES]
    columns = min(_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    bars = max(len(prediction.top) for prediction in shown)
    height = 2.6 + 0.24 * bars
    figure = Figure(figsize=(2.6 * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(
        2 * rows, columns, squeeze=False, height_ratios=[2.6, 0.24 * bars] * rows
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for number, prediction in enumerate(shown):
        row, column = divmod(number, columns)
        image, chart = grid[2 * row, column], grid[2 * row + 1, column]
        image.imshow(np.squeeze(prediction.pixels), cmap="gray", vmin=0, vmax=255)
        image.set_title(_short(Path(prediction.image).name), fontsize=8)
        _draw_bars(chart, prediction, bars)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


def check_picture_name(path: str | os.PathLike[str]) -> None:
    """Checks that a picture's file name ends in a format that can be drawn, in a folder that is.

    Raises:
      InputError: It does not.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise InputError(f"--picture {path}: the name must end in .png, .pdf or .svg")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--picture {path}: there is no folder {path.parent}")


def _draw_bars(chart: object, prediction: Prediction, bars: int) -> None:
    """Draws one image's classes, the first at the top."""
    values = [guess.probability for guess in prediction.top]
    places = np.arange(len(values))
    colours = [_FIRST_BAR] + [_BAR] * (len(values) - 1)
    chart.barh(places, values, color=colours, height=0.86)  # type: ignore[attr-defined]
    for place, guess in zip(places, prediction.top, strict=True):
        text = f"{_short(guess.name)}  {guess.probability:.1%}"
        chart.text(0.01, place, text, va="center", fontsize=7)  # type: ignore[attr-defined]
    chart.set(xlim=(0, 1), ylim=(bars - 0.4, -0.6))  # type: ignore[attr-defined]


def _short(text: str) -> str:
    """Returns a name that fits below an image."""
    return text if len(text) <= _NAME_LENGTH else text[: _NAME_LENGTH - 1] + "…"
