"""What is in a data set: splits, classes, examples per class, sizes."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_tf.data.augment import permutation
from alexnet_tf.data.dataset import DataSet
from alexnet_tf.data.examples import Examples
from alexnet_tf.files import printable

SAMPLE = 200
_STREAM_SAMPLE = 25


@dataclasses.dataclass(frozen=True)
class Sample:
    """Some examples of a split, drawn from all and read.

    Attributes:
      readable: int64, numbers of those that can be read, in ascending order.
      sizes: Their (width, height) in pixels, as they are stored.
      unreadable: Names of the others.
    """

    readable: np.ndarray
    sizes: list[tuple[int, int]]
    unreadable: list[str]


def read_sample(examples: Examples, most: int = SAMPLE) -> Sample:
    """Reads up to `most` examples."""
    readable, sizes, unreadable = [], [], []
    for index in sorted(permutation(0, 0, len(examples), _STREAM_SAMPLE)[:most].tolist()):
        try:
            height, width, _ = examples.load(tf.constant(index, tf.int64)).shape
        except tf.errors.OpError:
            unreadable.append(printable(examples.name(index)))
        else:
            readable.append(index)
            sizes.append((int(width), int(height)))
    return Sample(np.asarray(readable, np.int64), sizes, unreadable)


def describe(dataset: DataSet, sample: Sample | None) -> dict[str, Any]:
    """Returns what is in a data set, as plain values.

    Args:
      dataset: The data set.
      sample: Of its training examples, whose sizes are told; None if there are none.
    """
    splits = {}
    for split, examples in dataset.splits.items():
        counts = np.bincount(examples.labels, minlength=len(dataset.class_names))
        splits[split] = {
            "examples": len(examples),
            "per_class": dict(zip(dataset.class_names, counts.tolist(), strict=True)),
        }
    values: dict[str, Any] = {
        "name": dataset.name,
        "origin": dataset.origin,
        "classes": len(dataset.class_names),
        "channels": dataset.channels,
        "splits": splits,
    }
    if "train" in dataset.splits:
        train = dataset.splits["train"]
        values["imbalance"] = imbalance(train.labels, len(dataset.class_names))
    if dataset.left_out:
        values["left_out"] = dataset.left_out
    if sample is not None:
        values["sizes"] = _sizes(sample)
    return values


def imbalance(labels: np.ndarray, classes: int) -> float | None:
    """Returns the largest class's examples over the smallest's; None if a class has none."""
    counts = np.bincount(labels, minlength=classes)
    return float(counts.max() / counts.min()) if counts.min() else None


def _sizes(sample: Sample) -> dict[str, Any]:
    """Returns the sizes of a sample of images, in pixels."""

    def spread(values: list[int]) -> dict[str, int] | None:
        if not values:
            return None
        median = int(np.median(values))
        return {"smallest": min(values), "median": median, "largest": max(values)}

    return {
        "sampled": len(sample.sizes) + len(sample.unreadable),
        "width": spread([width for width, _ in sample.sizes]),
        "height": spread([height for _, height in sample.sizes]),
        "unreadable": sample.unreadable,
    }
