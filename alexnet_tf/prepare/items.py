"""What a source holds: images to prepare, by split, and what was left out on sight."""

import collections
import dataclasses
import hashlib
from pathlib import Path
from typing import NamedTuple

from alexnet_tf.errors import InputError


class Item(NamedTuple):
    """One image to prepare.

    Attributes:
      name: What the report calls it; without a container, its path below the source's folder.
      label: Class number.
      size: Bytes of the encoded image.
      changed: When its file was changed last, in nanoseconds.
      container: The file that holds it (an archive, a shard), its path from the source's folder;
        "" if it is a file of its own.
      offset: Where in the container it begins, in bytes.
    """

    name: str
    label: int
    size: int
    changed: int
    container: str = ""
    offset: int = 0


class Problem(NamedTuple):
    """Something wrong with a file, and what was done about it.

    Attributes:
      split: The split, or "" for a file in none.
      name: As in `Item`.
      problem: What was wrong.
      action: "skipped", or how it was repaired.
    """

    split: str
    name: str
    problem: str
    action: str


SKIPPED = "skipped"
USED = "used"  # a file that is not an image, but was read


@dataclasses.dataclass
class Source:
    """A source of labeled images.

    Attributes:
      name: A short name, the prepared set's.
      root: The folder that the items and their containers are in.
      class_names: By class number.
      splits: Items by split: "train", "validation", "test".
      problems: Files left out on sight, and the like.
    """

    name: str
    root: Path
    class_names: tuple[str, ...]
    splits: dict[str, list[Item]]
    problems: list[Problem] = dataclasses.field(default_factory=list)

    def check(self) -> None:
        """Checks that there is something to train on.

        Raises:
          InputError: There are no training images, or fewer than two classes.
        """
        if not self.splits.get("train"):
            raise InputError(f"{self.root} has no training images: none was found to prepare")
        if len(self.class_names) < 2:
            only = f"1 class ({self.class_names[0]})" if self.class_names else "no classes"
            raise InputError(f"{self.root} has {only}: at least two are needed")

    def tell_classes_apart(self) -> None:
        """Gives another name to each class whose name TFDS does not keep, and notes it.

        TFDS reads the names from lines of a text without the spaces around them and without the
        empty ones: a class named " " would shift the labels behind it. Names that differ in
        unprintable characters alone may have become equal, too.
        """
        used = collections.Counter(self.class_names)
        taken: set[str] = set()
        names = []
        for name in self.class_names:
            new = base = name.strip() or "unnamed"
            number = 1
            while new in taken or (new != name and new in used):
                number += 1
                new = f"{base} ({number})"
            if new != name:
                spaces = "class name with spaces at an end"
                why = spaces if name != name.strip() else "class name given twice"
                self.problems.append(Problem("", name, why, f"named {new!r}"))
            taken.add(new)
            names.append(new)
        self.class_names = tuple(names)

    def fingerprint(self) -> str:
        """Returns a name that changes when a file, a label or a class does."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr(self.class_names).encode())
        for split, items in self.splits.items():
            digest.update(f"\n{split}\n".encode())
            for item in items:
                digest.update(repr(tuple(item)).encode())
        return digest.hexdigest()


def read_item(root: str, item: Item) -> bytes:
    """Reads an item's encoded image.

    Raises:
      OSError: The file cannot be read.
    """
    if not item.container:
        return Path(root, item.name).read_bytes()
    with Path(root, item.container).open("rb", buffering=0) as file:
        file.seek(item.offset)
        return file.read(item.size)
