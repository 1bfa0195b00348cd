"""The nearest images by the features of the last hidden layer (section 6.1, figure 4 right)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors

from alexnet_tf.errors import InputError, choose
from alexnet_tf.evaluation.feature_index import FeatureIndex

DISTANCES = ("euclidean", "cosine")
_CHUNK_BYTES = 2**27  # of features in memory at a time


class Neighbor(NamedTuple):
    """One of the images nearest to another.

    Attributes:
      number: Its number in the index.
      name: The file's path, or the split and a number in it.
      class_name: Its class; None where there are none.
      distance: From 0; cosine distances up to 2.
    """

    number: int
    name: str
    class_name: str | None
    distance: float

    def to_json(self) -> dict[str, Any]:
        """Returns plain values."""
        return {
            "index": self.number,
            "image": self.name,
            "class": self.class_name,
            "distance": self.distance,
        }


def nearest(
    index: FeatureIndex, features: np.ndarray, top: int = 10, distance: str = "euclidean"
) -> list[list[Neighbor]]:
    """Returns the images of an index that are nearest to others.

    Args:
      index: From `open_index`.
      features: float32 [q, units], of the others, by the index's model.
      top: How many for each; not more than there are are named.
      distance: One of `DISTANCES`. The paper's is the Euclidean one.

    Returns:
      For each, the nearest images, the nearest first.

    Raises:
      InputError: The distance is unknown, or `top` below 1.
    """
    numbers, distances = nearest_rows(index.features, features, top, distance)
    return [
        [_neighbor(index, int(n), float(d)) for n, d in zip(*row, strict=True)]
        for row in zip(numbers, distances, strict=True)
    ]


def nearest_rows(
    features: np.ndarray, queries: np.ndarray, top: int = 10, distance: str = "euclidean"
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest rows of a matrix that need not fit in memory.

    Args:
      features: float32 [n, units].
      queries: float32 [q, units].
      top: k; not more than n are found.
      distance: One of `DISTANCES`.

    Returns:
      Row numbers int64 [q, k] and distances float64 [q, k], nearest first; equal ones by number.

    Raises:
      InputError: The distance is unknown, or `top` below 1.
    """
    choose(distance, DISTANCES, "--distance")
    if top < 1:
        raise InputError(f"--top must be at least 1. Received: {top}")
    top = min(top, len(features))
    rows = max(top, _CHUNK_BYTES // (4 * features.shape[1]))
    found: list[np.ndarray] = []
    lengths: list[np.ndarray] = []
    for start in range(0, len(features), rows):
        part = np.asarray(features[start : start + rows])
        search = NearestNeighbors(
            n_neighbors=min(top, len(part)), algorithm="brute", metric=distance
        ).fit(part)
        away, numbers = search.kneighbors(queries)
        found, lengths = [*found, numbers + start], [*lengths, away]
        if len(found) > 1:
            found, lengths = _best(found, lengths, top)
    numbers = np.sort(found[0], axis=1)
    # Distances of the few that are left are computed anew: an image is at 0 from itself.
    exact = np.stack(
        [_exact(features[n], query, distance) for n, query in zip(numbers, queries, strict=True)]
    )
    order = np.argsort(exact, axis=1, kind="stable")
    return np.take_along_axis(numbers, order, 1), np.take_along_axis(exact, order, 1)


def _best(
    found: Sequence[np.ndarray], lengths: Sequence[np.ndarray], top: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the `top` nearest of several chunks, as one."""
    numbers, away = np.concatenate(found, axis=1), np.concatenate(lengths, axis=1)
    order = np.argsort(away, axis=1, kind="stable")[:, :top]
    return [np.take_along_axis(numbers, order, 1)], [np.take_along_axis(away, order, 1)]


def _exact(rows: np.ndarray, query: np.ndarray, distance: str) -> np.ndarray:
    """Returns the distances of rows [k, units] from a query [units]: float64 [k]."""
    rows, query = rows.astype(np.float64), query.astype(np.float64)
    if distance == "euclidean":
        return np.linalg.norm(rows - query, axis=1)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
    # Features of zeros have no direction: as scikit-learn has it, they are at 1 from everything.
    return 1 - np.divide(rows @ query, lengths, out=np.zeros(len(rows)), where=lengths > 0)


def _neighbor(index: FeatureIndex, number: int, distance: float) -> Neighbor:
    """Returns a row of the index with its name and class."""
    names = index.class_names
    class_name = None if names is None else names[int(index.examples.labels[number])]
    return Neighbor(number, index.examples.name(number), class_name, distance)
