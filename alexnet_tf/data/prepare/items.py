"""What a source holds: images to prepare, by split, and what was left out on sight."""

import dataclasses
import hashlib
import os
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
      container: The file that holds it (an archive, a shard); "" if it is a file of its own.
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
MARKER = "prepared.json"  # written last: a folder that has it is a whole prepared set


@dataclasses.dataclass
class Source:
    """A source of labelled images.

    Attributes:
      name: A short name, the prepared set's.
      root: The folder that items without a container are in.
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
            only = f" ({self.class_names[0]})" if self.class_names else ""
            raise InputError(
                f"{self.root} has {len(self.class_names)} class{only}: at least two are needed"
            )

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
    with Path(item.container).open("rb", buffering=0) as file:
        file.seek(item.offset)
        return file.read(item.size)


def printable(name: str) -> str:
    """Returns a file's name in one line of valid Unicode, whatever bytes it has."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
