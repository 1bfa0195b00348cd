"""Images with their most probable classes as bars, as in figure 4 (left) of the paper."""

import os
from collections.abc import Sequence
from pathlib import Path

from alexnet_tf.evaluation.predict import Prediction
from alexnet_tf.figures.canvas import save_figure
from alexnet_tf.figures.text import display_name
from alexnet_tf.figures.tiles import Tile, draw_tiles
from alexnet_tf.files import check_picture_name

MOST_IMAGES = 64


def draw_predictions(predictions: Sequence[Prediction], path: str | os.PathLike[str]) -> None:
    """Draws images and below each the bars of its most probable classes.

    Args:
      predictions: At least one; not more than the first 64 are drawn.
      path: The picture, `.png`, `.pdf` or `.svg`; replaced only by a complete one.

    Raises:
      InputError: The name's ending is none of these.
    """
    check_picture_name(path)
    tiles = [
        Tile(
            prediction.pixels,
            display_name(Path(prediction.image).name, "image"),
            [display_name(guess.name, f"class {guess.number}") for guess in prediction.top],
            [guess.probability for guess in prediction.top],
        )
        for prediction in predictions[:MOST_IMAGES]
    ]
    save_figure(draw_tiles(tiles), path)
