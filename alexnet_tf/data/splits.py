"""Which examples a run trains on and is validated on, and which a model is evaluated on."""

import dataclasses

import numpy as np

from alexnet_tf.data.augment import permutation
from alexnet_tf.data.dataset import DataSet
from alexnet_tf.data.examples import Examples
from alexnet_tf.errors import InputError

_STREAM_HOLD_OUT, _STREAM_LIMIT_TRAIN, _STREAM_LIMIT_VALIDATION = 16, 17, 18
HELD_OUT = "train (held-out)"


@dataclasses.dataclass(frozen=True)
class TrainingSplits:
    """The examples of a run.

    Attributes:
      train: The training examples.
      validation: The examples evaluated after each epoch; None if the data set has none.
      validation_name: "validation", "train (held-out)" or "test"; "" without validation.
      selects_best: Whether `validation` selects the best epoch and may reduce the learning rate.
        False for a test split, whose errors are only reported.
    """

    train: Examples
    validation: Examples | None
    validation_name: str
    selects_best: bool


def split_dataset(
    dataset: DataSet,
    *,
    hold_out: float,
    seed: int,
    limit_train: int | None = None,
    limit_val: int | None = None,
) -> TrainingSplits:
    """Chooses the training and validation examples.

    The data set's own validation split selects the best epoch. Without one, a fraction of train is
    set aside by seed. With `hold_out` 0 all of train is trained on, nothing selects, and the errors
    on the test split are only reported.

    Args:
      dataset: The data set.
      hold_out: Fraction of train, 0 <= fraction < 1.
      seed: Seed of the run.
      limit_train: Largest number of training examples, drawn from all of them.
      limit_val: Largest number of validation examples, drawn from all of them.

    Returns:
      The splits.

    Raises:
      InputError: The train split is missing, the data set is too small to hold anything out, or a
        limit is below 1.
    """
    if "train" not in dataset.splits:
        raise InputError(
            f"data set {dataset.name} has no train split (only {', '.join(dataset.splits)})"
        )
    train = dataset.splits["train"]
    validation: Examples | None
    if "validation" in dataset.splits:
        validation, name, selects_best = dataset.splits["validation"], "validation", True
    elif hold_out > 0:
        kept, held = _held_out(dataset, hold_out, seed)
        validation, name, selects_best = train.subset(held), HELD_OUT, True
        train = train.subset(kept)
    elif "test" in dataset.splits:
        validation, name, selects_best = dataset.splits["test"], "test", False
    else:
        validation, name, selects_best = None, "", False
    train = _limited(train, limit_train, seed, _STREAM_LIMIT_TRAIN, "--limit-train")
    if validation is not None:
        validation = _limited(validation, limit_val, seed, _STREAM_LIMIT_VALIDATION, "--limit-val")
    return TrainingSplits(train, validation, name, selects_best)


def default_split(dataset: DataSet) -> str:
    """Returns the split to evaluate a model on that was not trained on this data set."""
    return next(name for name in ("validation", "test", "train") if name in dataset.splits)


def evaluation_split(dataset: DataSet, name: str, hold_out: float, seed: int) -> Examples:
    """Returns the examples that `split_dataset` chose, to evaluate a run afterwards.

    Args:
      dataset: The data set.
      name: "train", "validation" or "test". If the data set has no validation split, "validation"
        is what the run set aside, and "train" what it kept.
      hold_out: The run's fraction.
      seed: The run's seed.

    Returns:
      The examples, without limits.

    Raises:
      InputError: The split does not exist.
    """
    holds_out = "validation" not in dataset.splits and hold_out > 0
    if name in ("train", "validation") and "train" in dataset.splits and holds_out:
        kept, held = _held_out(dataset, hold_out, seed)
        return dataset.splits["train"].subset(kept if name == "train" else held)
    if name not in dataset.splits:
        raise InputError(
            f"data set {dataset.name} has no split {name!r}: choose one of "
            f"{', '.join(dataset.splits)}"
        )
    return dataset.splits[name]


def _held_out(dataset: DataSet, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of train that are kept and those set aside, each in ascending order."""
    if not 0 < fraction < 1:
        raise InputError(
            f"the held-out fraction must be at least 0 and below 1. Received: {fraction}"
        )
    size = len(dataset.splits["train"])
    held = max(1, round(size * fraction))
    if held >= size:
        raise InputError(
            f"data set {dataset.name} has {size} training examples: too few to hold some out"
        )
    order = permutation(seed, 0, size, _STREAM_HOLD_OUT)
    return np.sort(order[held:]), np.sort(order[:held])


def _limited(
    examples: Examples, limit: int | None, seed: int, stream: int, option: str
) -> Examples:
    """Returns at most `limit` examples, drawn from all, in ascending order."""
    if limit is None:
        return examples
    if limit < 1:
        raise InputError(f"{option} must be at least 1. Received: {limit}")
    if limit >= len(examples):
        return examples
    return examples.subset(np.sort(permutation(seed, 0, len(examples), stream)[:limit]))
