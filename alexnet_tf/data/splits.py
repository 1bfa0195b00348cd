"""Which examples train, which decide, and which only judge."""

import dataclasses

import numpy as np

from alexnet_tf.data.augment import permutation
from alexnet_tf.data.dataset import DataSet
from alexnet_tf.data.examples import Examples
from alexnet_tf.errors import InputError

_STREAM_HOLD_OUT, _STREAM_LIMIT_TRAIN, _STREAM_LIMIT_VALIDATION = 16, 17, 18


@dataclasses.dataclass(frozen=True)
class TrainingSplits:
    """What a run trains and is watched on.

    Attributes:
      train: The training examples.
      validation: The examples judged after each epoch; None if the set has nothing for it.
      validation_name: "validation", "train (held out)" or "test"; "" without validation.
      decides: Whether rate, best epoch and the like may look at `validation`. False for a test
        split, which is only watched.
    """

    train: Examples
    validation: Examples | None
    validation_name: str
    decides: bool


def split_dataset(
    dataset: DataSet,
    *,
    hold_out: float,
    seed: int,
    limit_train: int | None = None,
    limit_val: int | None = None,
) -> TrainingSplits:
    """Chooses what trains and what decides.

    The set's own validation split decides. Without one, a share of train is held out by seed. With
    `hold_out` 0 all of train trains, nothing decides, and the test split is only watched.

    Args:
      dataset: The data set.
      hold_out: Share of train, 0 <= share < 1.
      seed: Of the run.
      limit_train: At most so many training examples, drawn from all of them.
      limit_val: Likewise for validation.

    Returns:
      The splits.

    Raises:
      InputError: There is no train split, the set is too small to hold anything out, or a limit is
        below 1.
    """
    train = _train(dataset)
    validation: Examples | None
    if "validation" in dataset.splits:
        validation, name, decides = dataset.splits["validation"], "validation", True
    elif hold_out > 0:
        kept, held = _held_out(dataset, hold_out, seed)
        train, validation, name, decides = train.subset(kept), train.subset(held), HELD_OUT, True
    elif "test" in dataset.splits:
        validation, name, decides = dataset.splits["test"], "test", False
    else:
        validation, name, decides = None, "", False
    train = _limited(train, limit_train, seed, _STREAM_LIMIT_TRAIN, "--limit-train")
    if validation is not None:
        validation = _limited(validation, limit_val, seed, _STREAM_LIMIT_VALIDATION, "--limit-val")
    return TrainingSplits(train, validation, name, decides)


HELD_OUT = "train (held out)"


def default_split(dataset: DataSet) -> str:
    """Returns the split to judge a model on that was not watched on any."""
    return next(name for name in ("validation", "test", "train") if name in dataset.splits)


def evaluation_split(dataset: DataSet, name: str, hold_out: float, seed: int) -> Examples:
    """Returns the examples that `split_dataset` chose, for judging a run afterwards.

    Args:
      dataset: The data set.
      name: "train", "validation" or "test". Where the set has no validation split, "validation" is
        what the run held out, and "train" what it kept.
      hold_out: The run's.
      seed: The run's.

    Returns:
      The examples, without limits.

    Raises:
      InputError: There is no such split.
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


def _train(dataset: DataSet) -> Examples:
    """Returns the train split, or raises InputError."""
    if "train" not in dataset.splits:
        raise InputError(
            f"data set {dataset.name} has no train split (only {', '.join(dataset.splits)})"
        )
    return dataset.splits["train"]


def _held_out(dataset: DataSet, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of train that are kept and those held out, each in ascending order."""
    if not 0 < share < 1:
        raise InputError(f"the share held out must be at least 0 and below 1. Received: {share}")
    size = len(dataset.splits["train"])
    held = max(1, round(size * share))
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
