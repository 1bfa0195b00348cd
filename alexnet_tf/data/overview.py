"""What is in a data set: splits, classes, examples per class, sizes."""

from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_tf.data.counter_random import permutation
from alexnet_tf.data.dataset import DataSet
from alexnet_tf.data.examples import Examples

SAMPLE = 200
_STREAM_SAMPLE = 25


def sample(examples: Examples, most: int = SAMPLE) -> np.ndarray:
    """Returns the numbers of some examples, drawn from all, in ascending order."""
    return np.sort(permutation(0, 0, len(examples), _STREAM_SAMPLE)[:most])


def describe(dataset: DataSet) -> dict[str, Any]:
    """Returns what is in a data set, as plain values.

    Images' sizes are those of up to SAMPLE training examples, as they are stored; images that
    cannot be read are counted.
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
        values["sizes"] = _sizes(train)
    return values


def imbalance(labels: np.ndarray, classes: int) -> float | None:
    """Returns the largest class's examples over the smallest's; None if a class has none."""
    counts = np.bincount(labels, minlength=classes)
    return float(counts.max() / counts.min()) if counts.min() else None


def _sizes(examples: Examples) -> dict[str, Any]:
    """Returns the sizes of a sample of images, in pixels."""
    heights, widths, unreadable = [], [], []
    numbers = sample(examples)
    for index in numbers.tolist():
        try:
            height, width, _ = examples.load(tf.constant(index, tf.int64)).shape
        except tf.errors.OpError:
            unreadable.append(examples.name(index))
        else:
            heights.append(int(height))
            widths.append(int(width))

    def spread(values: list[int]) -> dict[str, int] | None:
        if not values:
            return None
        median = int(np.median(values))
        return {"smallest": min(values), "median": median, "largest": max(values)}

    return {
        "sampled": len(numbers),
        "width": spread(widths),
        "height": spread(heights),
        "unreadable": unreadable,
    }
