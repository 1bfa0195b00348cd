"""Sources that are folders of image files: class folders, alone or in split folders."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from alexnet_tf.data.dataset import split_folders
from alexnet_tf.data.folder import (
    TABLE_ENDINGS,
    class_words,
    flat_labels,
    images_folder,
    is_flat,
)
from alexnet_tf.errors import InputError
from alexnet_tf.files import is_image, printable
from alexnet_tf.prepare.items import SKIPPED, USED, Item, Problem, Source

MAX_FILE_BYTES = 2**29
_LONGEST_NAME = 160  # a file's name has 255 bytes
_NOTHING = "link to nothing"


def list_folder(root: Path) -> Source:
    """Lists `<split>/<class>/**` or `<class>/**`.

    Files may lie at any depth below their class folder, and have any ending: what they are is told
    from their content. Links are followed; a folder that was seen already is not gone into again.

    Raises:
      InputError: There are no class folders, or a split has a class that train has not.
    """
    problems: list[Problem] = []
    folders = _folders(root)
    splits = split_folders(folders)
    if splits and "train" not in splits:
        found = ", ".join(f"{folder.name}/" for folder in splits.values())
        raise InputError(f"{root} has {found} and no train/")
    apart = splits or {"train": root}
    classes = _folders(apart["train"])
    names = [printable(folder.name) for folder in classes]
    if not classes:
        raise InputError(
            f"{root} has no class folders: expected train/<class>/<image> and val/<class>/<image>, "
            "<class>/<image>, or images with a CSV file of file and label"
        )
    numbers = {folder.name: number for number, folder in enumerate(classes)}
    source = Source(source_name(root), root, class_words(root, names), {}, problems)
    for split, folder in apart.items():
        items: list[Item] = []
        if split != "train" and is_flat(folder):
            items = _flat_items(root, folder, split, numbers, problems)
            if items:
                source.splits[split] = items
            continue
        for class_folder in _folders(folder):
            if class_folder.name not in numbers:
                raise InputError(f"{class_folder} is a class that the train split does not have")
            label = numbers[class_folder.name]
            found_items = list(walk(root, class_folder, label, split, problems))
            if not found_items:
                problem = Problem(
                    split, printable(class_folder.name), "class without files", "kept"
                )
                problems.append(problem)
            items += found_items
        source.splits[split] = items
        problems += _strays(root, folder, split)
    if splits:
        used = {problem.name for problem in problems if problem.action == USED}
        problems += (p for p in _strays(root, root, "") if Path(p.name).name not in used)
        for folder in folders:
            if folder not in splits.values():
                name = printable(folder.name) + os.sep
                problems.append(Problem("", name, "folder that is no split", SKIPPED))
    return source


def _flat_items(
    root: Path, folder: Path, split: str, numbers: dict[str, int], problems: list[Problem]
) -> list[Item]:
    """Returns the images of a split without class folders, with the labels of its table.

    A test split without a table is skipped: challenges publish their test images unlabeled.

    Raises:
      InputError: A validation split has no table, or the table has none of the images.
    """
    try:
        labels, table = flat_labels(root, folder)
    except InputError:
        if split != "test":
            raise
        name = printable(folder.name) + os.sep
        problems.append(Problem(split, name, "test images without labels", SKIPPED))
        return []
    problems.append(Problem(split, printable(table.name), "table of labels", USED))
    items = []
    for item in walk(root, images_folder(folder), -1, split, problems):
        label = labels.get(Path(item.name).stem)
        if label in numbers:
            items.append(item._replace(label=numbers[label]))
        elif is_image(item.name):
            why = "not in the table of labels" if label is None else f"no class {label} in train/"
            problems.append(Problem(split, printable(item.name), why, SKIPPED))
    if not items:
        raise InputError(f"{folder}: its table names no image with a class of train/")
    return items


def has_classes(root: Path) -> bool:
    """Returns whether a folder has a split train with class folders."""
    train = split_folders(_folders(root)).get("train")
    return train is not None and bool(_folders(train))


def class_folders(root: Path) -> set[str]:
    """Returns the names of the folders that can be classes: none where they are splits."""
    folders = _folders(root)
    return set() if split_folders(folders) else {folder.name for folder in folders}


def walk(
    root: Path, folder: Path, label: int, split: str, problems: list[Problem]
) -> Iterator[Item]:
    """Yields the files below a folder in order of their names; others go to `problems`."""
    above = _above(root, folder)  # a link there would bring in other classes and splits
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            status = current.stat()
            entries = sorted(current.iterdir(), reverse=True)
        except OSError as error:
            problems.append(_problem(root, current, split, _why(error)))
            continue
        place = (status.st_dev, status.st_ino)
        if place in above or place in seen:
            why = "a folder above" if place in above else "a folder listed already"
            problems.append(_problem(root, current, split, f"link to {why}"))
            continue
        seen.add(place)
        folders = []
        for entry in reversed(entries):
            item = _item(root, entry, label)
            if isinstance(item, Item):
                yield item
            elif item:
                problems.append(_problem(root, entry, split, item))
            else:
                folders.append(entry)
        waiting += reversed(folders)


def _above(root: Path, folder: Path) -> set[tuple[int, int]]:
    """Returns device and number of the folders that a folder of a source is in."""
    parents = [*root.resolve().parents]
    if folder != root:
        parents += [root / parent for parent in folder.relative_to(root).parents]
    return {(status.st_dev, status.st_ino) for status in map(Path.stat, parents)}


def file_item(root: Path, name: str, label: int) -> Item | str:
    """Returns an item for a file below a folder, or why it can be none."""
    path = root / name
    item = _item(root, path, label) or "folder"
    return "missing" if item == _NOTHING and not path.is_symlink() else item


def source_name(path: Path) -> str:
    """Returns a name that TFDS takes: small letters, digits and _, a letter first.

    It is cut to where the shards' names, which begin with it, still fit into a folder.
    """
    stem = path.resolve().name.lower()
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in stem).strip("_")
    name = name if name[:1].isalpha() else f"images_{name}"
    return name[:_LONGEST_NAME].rstrip("_")


def _folders(folder: Path) -> list[Path]:
    """Returns the folders in a folder, without hidden ones, by name."""
    return sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))


def _item(root: Path, path: Path, label: int) -> Item | str:
    """Returns an item, "" for a folder, or why a file is left out."""
    try:
        status = path.stat()
    except OSError as error:
        return _why(error)
    if path.name.startswith("."):
        return "hidden"
    if stat.S_ISDIR(status.st_mode):
        return ""
    if not stat.S_ISREG(status.st_mode):
        return "no regular file"
    if status.st_size > MAX_FILE_BYTES:
        return f"larger than {MAX_FILE_BYTES // 2**20} MiB"
    return Item(str(path.relative_to(root)), label, status.st_size, status.st_mtime_ns)


def _strays(root: Path, folder: Path, split: str) -> Iterator[Problem]:
    """Yields the files beside class or split folders."""
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            why = _NOTHING if path.is_symlink() and not path.exists() else "in no class"
            if path.suffix.lower() in TABLE_ENDINGS:
                why = "table that is not used: the folders say the classes"
            yield _problem(root, path, split, why)
        elif path.name.startswith("."):
            yield _problem(root, path, split, "hidden")


def _problem(root: Path, path: Path, split: str, why: str) -> Problem:
    """Returns that a file was left out."""
    return Problem(split, printable(str(path.relative_to(root))), why, SKIPPED)


def _why(error: OSError) -> str:
    """Returns why a file cannot be looked at."""
    if isinstance(error, FileNotFoundError):
        return _NOTHING
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return (error.strerror or str(error)).lower()
