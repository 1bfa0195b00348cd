"""An image and those nearest to it, side by side, as in figure 4 (right) of the paper."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from alexnet_tf.data.images import resize_and_crop
from alexnet_tf.evaluation.feature_index import FeatureIndex
from alexnet_tf.evaluation.similarity import Neighbor
from alexnet_tf.figures.canvas import save_figure
from alexnet_tf.figures.text import display_name, truncate
from alexnet_tf.figures.tiles import MAX_CAPTION_COLUMNS, draw_neighbors


def draw_similar(
    pixels: np.ndarray,
    index: FeatureIndex,
    found: Sequence[Neighbor],
    path: str | os.PathLike[str],
) -> None:
    """Draws an image and its nearest, each with its class, or its file's name, and the distance.

    Args:
      pixels: uint8 [r, r, c], the image.
      index: Where they were found.
      found: From `nearest`; at least one.
      path: The picture, `.png`, `.pdf` or `.svg`; replaced only by a complete one.
    """
    side = pixels.shape[0]
    near = [(neighbor_pixels(index, n, side), _caption(n)) for n in found]
    save_figure(draw_neighbors([(pixels, "")], [near]), path)


def _caption(neighbor: Neighbor) -> str:
    """Returns a name, cut so that the distance behind it is not."""
    distance = f" {neighbor.distance:.2f}"
    name = display_name(short_name(neighbor), "image")
    return truncate(name, MAX_CAPTION_COLUMNS - len(distance)) + distance


def neighbor_pixels(index: FeatureIndex, neighbor: Neighbor, side: int) -> np.ndarray:
    """Returns an image of the index as a network sees it: uint8 [side, side, c]."""
    image = index.examples.load(tf.constant(neighbor.number, tf.int64))
    return resize_and_crop(image, side).numpy()


def short_name(neighbor: Neighbor) -> str:
    """Returns an image's class, or its file's name where there are no classes."""
    return neighbor.class_name or Path(neighbor.name).name
