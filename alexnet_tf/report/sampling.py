"""Which images a report shows where it cannot show all: the same ones each time."""

import numpy as np

from alexnet_tf.data.examples import Examples


def some(examples: Examples, count: int, seed: int) -> Examples:
    """Returns at most so many examples, drawn from all, in their order."""
    if len(examples) <= count:
        return examples
    chosen = np.random.default_rng(seed).choice(len(examples), count, replace=False)
    return examples.subset(np.sort(chosen))


def of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Returns the first examples of classes that lie apart, or of all if there are few."""
    present, first = np.unique(labels, return_index=True)
    chosen = np.linspace(0, len(present) - 1, min(count, len(present))).round().astype(int)
    numbers = first[chosen]
    rest = np.setdiff1d(np.arange(len(labels)), numbers)
    return np.concatenate([numbers, rest[: count - len(numbers)]])
