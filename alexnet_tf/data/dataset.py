"""What every source of data returns: a data set with its classes and splits."""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from alexnet_tf.data.examples import Examples

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
        """Returns a split's examples."""
        return self._readers[name]()

    def __contains__(self, name: object) -> bool:
        """Returns whether the split exists; reads nothing."""
        return name in self._readers

    def __iter__(self) -> Iterator[str]:
        """Iterates over the names; reads nothing."""
        return iter(self._readers)

    def __len__(self) -> int:
        """Returns the number of splits."""
        return len(self._readers)


@dataclasses.dataclass(frozen=True)
class DataSet:
    """An image classification data set.

    Attributes:
      name: The user's name for it, in valid Unicode.
      class_names: Names by class number.
      splits: Some of "train", "validation", "test".
      origin: A folder's path, or the TFDS name with its version.
      channels: 3 (RGB) or 1 (gray), of the examples.
      skipped_files: One line on files that were skipped by their names, and which command reads
        them; "" if there are none.
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Examples]
    origin: str
    channels: int
    skipped_files: str = ""
