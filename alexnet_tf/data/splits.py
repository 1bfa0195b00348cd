"""Data sets and their splits: which a run trains on, and which a model is evaluated on."""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from alexnet_tf.data.augment import permutation
from alexnet_tf.data.examples import Examples
from alexnet_tf.errors import InputError

_STREAM_HOLD_OUT, _STREAM_LIMIT_TRAIN, _STREAM_LIMIT_VALIDATION = 16, 17, 18
HELD_OUT = "train (held-out)"

# Names of the splits in folders (in any case), tables and TFDS.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}
# Names of folders that hold the images of all classes, or of a split.
_SPLIT = "|".join(name for names in SPLIT_NAMES.values() for name in names)
_IMAGES = re.compile(rf"(({_SPLIT})[_ -]?)?(images?|imgs?|jpe?gs?|pngs?)", re.IGNORECASE)


def subfolders(folder: Path) -> list[Path]:
    """Returns the folders in a folder, without hidden ones, sorted by name."""
    return sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))


def split_folders(folders: Iterable[Path]) -> dict[str, Path]:
    """Returns the folders that are splits, by split; {} if they are classes."""
    by_name = {folder.name.lower(): folder for folder in folders}
    found = {
        split: next((by_name[name] for name in names if name in by_name), None)
        for split, names in SPLIT_NAMES.items()
    }
    return {split: folder for split, folder in found.items() if folder is not None}


def hold_images(folders: Iterable[Path]) -> bool:
    """Returns whether folders are named as competitions name those of all images: no classes.

    Examples are images/ alone, and train_images/ with test_images/.
    """
    return all(_IMAGES.fullmatch(folder.name) for folder in folders)


class Splits(Mapping[str, Examples]):
    """The splits by name, each read when it is first used: evaluation reads only its own split."""

    def __init__(self, readers: Mapping[str, Callable[[], Examples]]) -> None:
        """Takes one function per split that reads it."""
        self._readers = {name: functools.cache(reader) for name, reader in readers.items()}

    def __getitem__(self, name: str) -> Examples:
        return self._readers[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._readers

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


@dataclasses.dataclass(frozen=True)
class DataSet:
    """An image classification data set."""

    name: str  # the user's, in valid Unicode
    class_names: tuple[str, ...]  # by class number
    splits: Mapping[str, Examples]  # some of "train", "validation", "test"
    origin: str  # a folder's path, or the TFDS name with its version
    channels: int  # 3 (RGB) or 1 (gray), of the examples
    # One line on files that were skipped by their names, and which command reads them; or "".
    skipped_files: str = ""


@dataclasses.dataclass(frozen=True)
class TrainingSplits:
    """The examples of a run."""

    train: Examples
    validation: Examples | None  # evaluated after each epoch; None if the data set has none
    validation_name: str  # "validation", "train (held-out)" or "test"; "" without validation
    # Whether `validation` selects the best epoch and may reduce the learning rate. False for a test
    # split, whose errors are only reported.
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
    """Returns the examples that `split_dataset` chose, without limits, to evaluate a run later.

    If the data set has no validation split, "validation" is what the run set aside by its
    `hold_out` and `seed`, and "train" what it kept.

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
