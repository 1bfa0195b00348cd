"""Find the nearest images by features of the last hidden layer (section 6.1, figure 4 right)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors

from alexnet_tf.errors import InputError, choose
from alexnet_tf.evaluation.feature_index import FeatureIndex

DISTANCES = ("euclidean", "cosine")
_CHUNK_BYTES = 2**27  # of features in memory at a time


class Neighbor(NamedTuple):
    """One of the images nearest to a query image.

    Attributes:
      number: The image's number in the index.
      name: The file's path, or the split and a number in it.
      class_name: The image's class; None if the index has no classes.
      distance: At least 0; cosine distances are at most 2.
    """

    number: int
    name: str
    class_name: str | None
    distance: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "index": self.number,
            "image": self.name,
            "class": self.class_name,
            "distance": self.distance,
        }


def nearest(
    index: FeatureIndex, features: np.ndarray, top: int = 10, distance: str = "euclidean"
) -> list[list[Neighbor]]:
    """Return the images of an index that are nearest to query images.

    Args:
      index: From `open_index`.
      features: float32 [q, units], features of the queries by the index's model.
      top: How many images to return for each query; at most the size of the index.
      distance: One of `DISTANCES`. The paper uses the Euclidean distance.

    Returns:
      For each query, the nearest images in ascending order of distance.

    Raises:
      InputError: The distance is unknown, or `top` is below 1.
    """
    numbers, distances = nearest_rows(index.features, features, top, distance)
    return [
        [_neighbor(index, int(n), float(d)) for n, d in zip(*row, strict=True)]
        for row in zip(numbers, distances, strict=True)
    ]


def nearest_rows(
    features: np.ndarray, queries: np.ndarray, top: int = 10, distance: str = "euclidean"
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest rows of a matrix that need not fit in memory.

    Args:
      features: float32 [n, units].
      queries: float32 [q, units].
      top: How many rows to find for each query; k is at most n.
      distance: One of `DISTANCES`.

    Returns:
      Row numbers int64 [q, k] and distances float64 [q, k], in ascending order of distance, equal
      ones by number.

    Raises:
      InputError: The distance is unknown, or `top` is below 1.
    """
    choose(distance, DISTANCES, "--distance")
    if top < 1:
        raise InputError(f"--top must be at least 1. Received: {top}")
    top = min(top, len(features))
    rows = max(top, _CHUNK_BYTES // (4 * features.shape[1]))
    found: list[np.ndarray] = []
    distances: list[np.ndarray] = []
    for start in range(0, len(features), rows):
        part = np.asarray(features[start : start + rows])
        search = NearestNeighbors(
            n_neighbors=min(top, len(part)), algorithm="brute", metric=distance
        ).fit(part)
        chunk_distances, numbers = search.kneighbors(queries)
        found, distances = [*found, numbers + start], [*distances, chunk_distances]
        if len(found) > 1:
            found, distances = _merge(found, distances, top)
    numbers = np.sort(found[0], axis=1)
    # scikit-learn's distances are rounded; computed exactly, an image is at 0 from itself.
    exact = np.stack(
        [_exact(features[n], query, distance) for n, query in zip(numbers, queries, strict=True)]
    )
    order = np.argsort(exact, axis=1, kind="stable")
    return np.take_along_axis(numbers, order, 1), np.take_along_axis(exact, order, 1)


def _merge(
    found: Sequence[np.ndarray], distances: Sequence[np.ndarray], top: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the `top` nearest rows of several chunks as one chunk."""
    numbers, joined = np.concatenate(found, axis=1), np.concatenate(distances, axis=1)
    order = np.argsort(joined, axis=1, kind="stable")[:, :top]
    return [np.take_along_axis(numbers, order, 1)], [np.take_along_axis(joined, order, 1)]


def _exact(rows: np.ndarray, query: np.ndarray, distance: str) -> np.ndarray:
    """Return the distances of rows [k, units] from a query [units]: float64 [k]."""
    rows, query = rows.astype(np.float64), query.astype(np.float64)
    if distance == "euclidean":
        return np.linalg.norm(rows - query, axis=1)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
    # Zero vectors have no direction: as in scikit-learn, their cosine distance is 1.
    return 1 - np.divide(rows @ query, lengths, out=np.zeros(len(rows)), where=lengths > 0)


def _neighbor(index: FeatureIndex, number: int, distance: float) -> Neighbor:
    """Return a row of the index with its name and class."""
    names = index.class_names
    class_name = None if names is None else names[int(index.examples.labels[number])]
    return Neighbor(number, index.examples.name(number), class_name, distance)
