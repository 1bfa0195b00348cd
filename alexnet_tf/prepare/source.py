"""A source of images for `prepare`: its images by split, and the files that are skipped."""

import collections
import dataclasses
import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from alexnet_tf.data.decode import UnusableImageError
from alexnet_tf.errors import InputError
from alexnet_tf.files import printable

SKIPPED = "skipped"
USED = "used"  # a file that is not an image but was read, such as a table of labels
MAX_FILE_BYTES = 2**29
_FOLDER = "folder"  # why a path is skipped where a file is expected
_MAX_NAME_LENGTH = 160  # names of shards begin with the source's name; file names have 255 bytes


class Item(NamedTuple):
    """One image to prepare: a file, or a part of a container, which is an archive or a shard."""

    name: str  # path below the source's root; in a container, the name there
    label: int  # class index
    size: int  # bytes of the encoded image
    modified: int  # modification time of its file in nanoseconds
    container: str = ""  # path below the root
    offset: int = 0  # first byte in the container


class Problem(NamedTuple):
    """A row of problems.csv: what is wrong with a file, and what was done."""

    split: str  # "" for a file in no split
    name: str  # as in `Item`, printable
    problem: str
    action: str  # "skipped", "used", or how the file was repaired


@dataclasses.dataclass
class Source:
    """A source of labeled images."""

    root: Path  # the folder that the items and their containers are in
    name: str = ""  # that TFDS accepts; the prepared set has it too
    class_names: tuple[str, ...] = ()  # by class index
    # By split: "train", "validation", "test".
    splits: dict[str, list[Item]] = dataclasses.field(default_factory=dict)
    # What was found before any image was read.
    problems: list[Problem] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = self.name or source_name(self.root)

    def add_problem(
        self, split: str, file: str | Path, problem: str, action: str = SKIPPED
    ) -> None:
        """Adds a problem of a file, named by its path or as text."""
        name = str(file.relative_to(self.root)) if isinstance(file, Path) else file
        self.problems.append(Problem(split, printable(name), problem, action))

    def walk(self, folder: Path, label: int, split: str) -> Iterator[Item]:
        """Yields the files below a folder sorted by name; reports those that are skipped.

        Links are followed, except to folders that were listed already or that contain `folder`:
        these would bring in other classes and splits.
        """
        parents = [*self.root.resolve().parents]
        if folder != self.root:
            parents += [self.root / parent for parent in folder.relative_to(self.root).parents]
        above = {_identity(parent) for parent in parents}
        listed: set[tuple[int, int]] = set()
        waiting = [folder]
        while waiting:
            current = waiting.pop()
            try:
                identity = _identity(current)
                entries = sorted(current.iterdir())
            except OSError as error:
                self.add_problem(split, current, _reason(error))
                continue
            if identity in above or identity in listed:
                where = "above" if identity in above else "listed already"
                self.add_problem(split, current, f"link to a folder {where}")
                continue
            listed.add(identity)
            folders = []
            for entry in entries:
                item = self.file_item(entry, label)
                if isinstance(item, Item):
                    yield item
                elif item == _FOLDER:
                    folders.append(entry)
                else:
                    self.add_problem(split, entry, item)
            waiting += reversed(folders)

    def file_item(self, path: Path, label: int) -> Item | str:
        """Returns an item for a file below the root, or why the file is skipped."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return "link to nothing" if path.is_symlink() else "missing"
        except OSError as error:
            return _reason(error)
        if path.name.startswith("."):
            return "hidden"
        if stat.S_ISDIR(status.st_mode):
            return _FOLDER
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        if status.st_size > MAX_FILE_BYTES:
            return f"larger than {MAX_FILE_BYTES // 2**20} MiB"
        name = str(path.relative_to(self.root))
        return Item(name, label, status.st_size, status.st_mtime_ns)

    def check(self) -> None:
        """Raises InputError if training images are missing, or classes fewer than two."""
        if not self.splits.get("train"):
            raise InputError(f"{self.root}: no training images found")
        if len(self.class_names) < 2:
            found = f"1 class ({self.class_names[0]})" if self.class_names else "no classes"
            raise InputError(f"{self.root} has {found}: at least two are needed")

    def rename_ambiguous_classes(self) -> None:
        """Renames the classes whose names TFDS does not preserve, and reports each.

        TFDS stores the names as lines of text, strips them and drops empty lines: a class named " "
        would shift the labels of those after it. Names that differ only in unprintable characters
        may have become equal, too.
        """
        counts = collections.Counter(self.class_names)
        names: dict[str, None] = {}  # an ordered set
        for name in self.class_names:
            new = base = name.strip() or "unnamed"
            number = 1
            while new in names or (new != name and new in counts):
                number += 1
                new = f"{base} ({number})"
            if new != name:
                is_stripped = name != name.strip()
                problem = (
                    "class name with spaces at an end" if is_stripped else "duplicate class name"
                )
                self.problems.append(Problem("", name, problem, f"named {new!r}"))
            names[new] = None
        self.class_names = tuple(names)

    def fingerprint(self) -> str:
        """Returns a hash of all files, labels and classes."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr(self.class_names).encode())
        for split, items in self.splits.items():
            digest.update(f"\n{split}\n".encode())
            for item in items:
                digest.update(repr(tuple(item)).encode())
        return digest.hexdigest()


def source_name(folder: Path) -> str:
    """Returns a name for TFDS: lower case letters, digits and _, beginning with a letter."""
    name = folder.resolve().name.lower()
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in name).strip("_")
    name = name if name[:1].isalpha() else f"images_{name}"
    return name[:_MAX_NAME_LENGTH].rstrip("_")


def read_item(root: str, item: Item) -> bytes:
    """Returns an item's encoded image, or raises UnusableImageError."""
    try:
        if not item.container:
            return Path(root, item.name).read_bytes()
        with Path(root, item.container).open("rb", buffering=0) as file:
            file.seek(item.offset)
            content = file.read(item.size)
    except OSError as error:
        raise UnusableImageError(_reason(error)) from None
    if len(content) < item.size:
        raise UnusableImageError("its archive is cut short")
    return content


def _identity(folder: Path) -> tuple[int, int]:
    """Returns device and inode, which are the same for links to a folder."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _reason(error: OSError) -> str:
    """Returns why a file cannot be used."""
    if isinstance(error, FileNotFoundError):
        return "missing"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return (error.strerror or str(error)).lower()
