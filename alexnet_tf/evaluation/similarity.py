"""Find the nearest images by features of the last hidden layer (section 6.1, figure 4 right)."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from sklearn.neighbors import NearestNeighbors

from alexnet_tf.data.images import resize_and_crop
from alexnet_tf.errors import InputError, choose
from alexnet_tf.evaluation.features import FeatureIndex
from alexnet_tf.figures.canvas import save_figure
from alexnet_tf.figures.text import display_name, truncate
from alexnet_tf.figures.tiles import MAX_CAPTION_COLUMNS, draw_neighbors

DISTANCES = ("euclidean", "cosine")
_CHUNK_BYTES = 2**27  # of features in memory at a time


class Neighbor(NamedTuple):
    """One of the images nearest to a query image.

    Attributes:
      number: Index of the image in the `FeatureIndex`.
      name: The file's path, or the split and the image's index in it.
      class_name: The image's class; None if the index has no classes.
      distance: At least 0; cosine distances are at most 2.
    """

    number: int
    name: str
    class_name: str | None
    distance: float

    @property
    def short_name(self) -> str:
        """The image's class, or its file's name if the index has no classes."""
        return self.class_name or Path(self.name).name

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        return dict(zip(("index", "image", "class", "distance"), self, strict=True))


def nearest(
    index: FeatureIndex, features: np.ndarray, top: int = 10, distance: str = "euclidean"
) -> list[list[Neighbor]]:
    """Returns the images of an index that are nearest to query images.

    Args:
      index: From `open_index`.
      features: float32 [q, units], features of the queries by the index's model.
      top: Number of images for each query, at least 1; at most the size of the index are returned.
      distance: One of `DISTANCES`. The paper uses the Euclidean distance.

    Returns:
      For each query, the nearest images in ascending order of distance.

    Raises:
      InputError: As for `nearest_rows`.
    """
    names, labels = index.class_names, index.examples.labels
    return [
        [
            Neighbor(
                int(row),
                index.examples.name(int(row)),
                None if names is None else names[int(labels[row])],
                float(d),
            )
            for row, d in zip(rows, distances, strict=True)
        ]
        for rows, distances in zip(
            *nearest_rows(index.features, features, top, distance), strict=True
        )
    ]


def nearest_rows(
    features: np.ndarray, queries: np.ndarray, top: int = 10, distance: str = "euclidean"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nearest rows of a matrix that need not fit in memory.

    Args:
      features: float32 [n, units].
      queries: float32 [q, units].
      top: Number of rows for each query, at least 1; k is at most n.
      distance: One of `DISTANCES`.

    Returns:
      Row indices int64 [q, k] and distances float64 [q, k], in ascending order of distance, equal
      ones by index.

    Raises:
      InputError: The distance is unknown, or `top` is below 1.
    """
    choose(distance, DISTANCES, "--distance")
    if top < 1:
        raise InputError(f"--top must be at least 1. Received: {top}")
    chunk_rows = max(top, _CHUNK_BYTES // (4 * features.shape[1]))
    rows = np.zeros((len(queries), 0), np.int64)
    distances = np.zeros((len(queries), 0))
    for start in range(0, len(features), chunk_rows):
        chunk = np.asarray(features[start : start + chunk_rows])
        search = NearestNeighbors(
            n_neighbors=min(top, len(chunk)), algorithm="brute", metric=distance
        ).fit(chunk)
        chunk_distances, chunk_indices = search.kneighbors(queries)
        distances = np.concatenate([distances, chunk_distances], axis=1)
        rows = np.concatenate([rows, chunk_indices + start], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")[:, :top]
        distances = np.take_along_axis(distances, order, 1)
        rows = np.take_along_axis(rows, order, 1)
    rows = np.sort(rows, axis=1)
    # scikit-learn's distances are rounded; computed exactly, an image is at 0 from itself.
    exact = np.stack(
        [_exact(features[r], query, distance) for r, query in zip(rows, queries, strict=True)]
    )
    order = np.argsort(exact, axis=1, kind="stable")
    return np.take_along_axis(rows, order, 1), np.take_along_axis(exact, order, 1)


def _exact(rows: np.ndarray, query: np.ndarray, distance: str) -> np.ndarray:
    """Returns the distances of rows [k, units] from a query [units]: float64 [k]."""
    rows, query = rows.astype(np.float64), query.astype(np.float64)
    if distance == "euclidean":
        return np.linalg.norm(rows - query, axis=1)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
    # Zero vectors have no direction: as in scikit-learn, their cosine distance is 1.
    return 1 - np.divide(rows @ query, lengths, out=np.zeros(len(rows)), where=lengths > 0)


def neighbor_pixels(index: FeatureIndex, neighbor: Neighbor, side: int) -> np.ndarray:
    """Returns an image of the index, resized and cropped: uint8 [side, side, c]."""
    image = index.examples.load(tf.constant(neighbor.number, tf.int64))
    return resize_and_crop(image, side).numpy()


def draw_similar(
    pixels: np.ndarray,
    index: FeatureIndex,
    neighbors: Sequence[Neighbor],
    path: str | os.PathLike[str],
) -> None:
    """Draws an image beside the nearest ones, each with class or file name and the distance.

    Args:
      pixels: uint8 [r, r, c], the image.
      index: The index of the neighbors.
      neighbors: From `nearest`; at least one.
      path: A `.png`, `.pdf` or `.svg` file, written atomically.
    """
    side = pixels.shape[0]
    near = [(neighbor_pixels(index, n, side), _caption(n)) for n in neighbors]
    save_figure(draw_neighbors([(pixels, "")], [near]), path)


def _caption(neighbor: Neighbor) -> str:
    """Returns name and distance; a long name is shortened."""
    distance = f" {neighbor.distance:.2f}"
    name = display_name(neighbor.short_name, "image")
    return truncate(name, MAX_CAPTION_COLUMNS - len(distance)) + distance
