"""Sources that are one folder of images with a CSV file of file and label."""

import contextlib
import csv
import os
from collections.abc import Iterator
from pathlib import Path

from alexnet_tf.data.dataset import SPLIT_NAMES
from alexnet_tf.errors import InputError
from alexnet_tf.files import printable
from alexnet_tf.prepare.folder_items import (
    TABLE_ENDINGS,
    class_folders,
    file_item,
    source_name,
    walk,
)
from alexnet_tf.prepare.items import SKIPPED, Item, Problem, Source

_FILE_COLUMNS = ("file", "filename", "file_name", "path", "filepath", "image", "image_id", "id")
_LABEL_COLUMNS = ("label", "class", "class_name", "category", "target", "species", "breed")
_SPLIT_COLUMNS = ("split", "set", "subset")
_SPLITS = {name: split for split, names in SPLIT_NAMES.items() for name in names}
_ENDINGS = ("", ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".JPG", ".JPEG", ".PNG")


def find_csv(root: Path) -> Path | None:
    """Returns the CSV file of file and label in a folder, or None if there is none.

    Class folders come first. Two folders are no classes, though, where a table gives their files
    labels that are quite different from the folders' names.

    Raises:
      InputError: There are several, or the only thing there is a table that cannot be read.
    """
    has_folders = any(path.is_dir() for path in root.iterdir())
    tables = []
    for path in sorted(root.iterdir()):
        if path.suffix.lower() not in TABLE_ENDINGS or path.name.startswith("."):
            continue
        try:
            found = _columns(_header(path)) is not None
        except InputError:
            if not has_folders:  # else it may be about anything
                raise
            found = False
        tables += [path] if found else []
    folders = class_folders(root)
    if len(folders) > 1:
        tables = [path for path in tables if _gives_other_classes(path, folders)]
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise InputError(f"{root} has several CSV files of file and label ({names}): name the one")
    return tables[0] if tables else None


def list_csv(table: Path) -> Source:
    """Lists what a CSV file names.

    The first row names the columns: one of file, filename, path, image, id ...; one of label,
    class, category ...; and, if wanted, split (train, val or validation, test). Files are relative
    to the CSV's folder and may lack their ending.

    Raises:
      InputError: The columns are not there, or the file is no UTF-8 text.
    """
    root = table.parent
    columns = _columns(_header(table))
    if columns is None:
        raise InputError(
            f"{table}: the first row must name a column for the file (file, filename, path, image "
            "or id) and one for the label (label, class or category)"
        )
    rows, problems = _rows(table, columns)
    names = sorted({label for _, label, _ in rows.values()}, key=_natural)
    numbers = {name: number for number, name in enumerate(names)}
    splits: dict[str, list[Item]] = {split: [] for split in SPLIT_NAMES}
    for name, (_, label, split) in sorted(rows.items()):
        item = file_item(root, name, numbers[label])
        if isinstance(item, Item):
            splits[split].append(item)
        else:
            problems.append(Problem(split, printable(name), item, SKIPPED))
    if not any(splits.values()):
        why = f", as {problems[0].name}: {problems[0].problem}" if problems else ""
        raise InputError(f"{table} names no image that is there{why}")
    listed = {item.name for items in splits.values() for item in items}
    listed.update(problem.name for problem in problems)
    ignored: list[Problem] = []
    for item in walk(root, root, 0, "", ignored):
        if item.name not in listed and item.name != table.name:
            ignored.append(Problem("", printable(item.name), f"not in {table.name}", SKIPPED))
    found = {split: items for split, items in splits.items() if items}
    class_names = tuple(printable(name) for name in names)
    return Source(source_name(root), root, class_names, found, problems + ignored)


def _gives_other_classes(table: Path, folders: set[str]) -> bool:
    """Returns whether a table labels files that are there, and no label is a folder's name.

    One that cannot be read to its end does not: it may be about anything.
    """
    columns = _columns(_header(table))
    try:
        rows = _rows(table, columns)[0] if columns else {}
    except InputError:
        return False
    labels = {label.casefold() for _, label, _ in rows.values()}
    is_there = any(_is_there(table.parent / name) for name in rows)
    return is_there and labels.isdisjoint(folder.casefold() for folder in folders)


def _rows(
    table: Path, columns: tuple[str, str, str | None]
) -> tuple[dict[str, tuple[int, str, str]], list[Problem]]:
    """Returns (line, label, split) by file, and what is wrong with other rows.

    A file has one name here, however the rows spell it: "a", "a.jpg" and "./a.jpg" may be one.
    """
    file_column, label_column, split_column = columns
    rows: dict[str, tuple[int, str, str]] = {}
    problems: list[Problem] = []
    contradicted: set[str] = set()
    with _readable(table), table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=_delimiter(table))
        for row in reader:
            where = f"{table.name} line {reader.line_num}"
            name, label = (
                (row.get(file_column) or "").strip(),
                (row.get(label_column) or "").strip(),
            )
            split = ((row.get(split_column) if split_column else None) or "train").strip().lower()
            wrong = _wrong_with(name, label, split)
            if wrong:
                problems.append(Problem("", where, wrong, SKIPPED))
                continue
            name = _with_ending(table.parent, os.path.normpath(name))
            if name in rows and rows[name][1:] != (label, _SPLITS[split]):
                contradicted.add(name)
            elif name in rows:
                problems.append(Problem(_SPLITS[split], where, "row listed before", SKIPPED))
            else:
                rows[name] = (reader.line_num, label, _SPLITS[split])
    for name in sorted(contradicted):
        del rows[name]
        problems.append(Problem("", printable(name), "listed with different labels", SKIPPED))
    return rows, problems


def _wrong_with(name: str, label: str, split: str) -> str:
    """Returns why a row gives no file of the CSV's folder a label, or "" if it may."""
    if not name or not label:
        return "row without file or label"
    if split not in _SPLITS:
        return f"unknown split {split!r}"
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return "file outside the CSV's folder"
    return "name that no file can have" if "\0" in name else ""


def _with_ending(root: Path, name: str) -> str:
    """Returns the name of a file that may lack its ending; of one that is not there as it is."""
    found = (name + ending for ending in _ENDINGS if _is_there(root / (name + ending)))
    return next(found, name)


def _is_there(path: Path) -> bool:
    """Returns whether a file is there; one with a name that is too long is not."""
    try:
        return path.exists()
    except OSError:
        return False


def _header(table: Path) -> list[str]:
    """Returns the first row."""
    with _readable(table), table.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file, delimiter=_delimiter(table)), [])


@contextlib.contextmanager
def _readable(table: Path) -> Iterator[None]:
    """Says what is wrong with a file that is no table, or no text."""
    try:
        yield
    except UnicodeDecodeError:
        raise InputError(f"{table} is no UTF-8 text: save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{table} is no CSV file: {error}") from None


def _delimiter(table: Path) -> str:
    """Returns what stands between the columns' names: comma, semicolon or tab."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
    return max(",;\t", key=first.count)


def _columns(header: list[str]) -> tuple[str, str, str | None] | None:
    """Returns the columns of file, label and split by name, or None if there are no such."""

    def find(names: tuple[str, ...]) -> str | None:
        found = (column for name in names for column in header if column.strip().lower() == name)
        return next(found, None)

    file, label = find(_FILE_COLUMNS), find(_LABEL_COLUMNS)
    return (file, label, find(_SPLIT_COLUMNS)) if file and label else None


def _natural(label: str) -> tuple[int, int, str]:
    """Sorts whole numbers by value, and before other labels."""
    return (0, int(label), label) if label.isdecimal() else (1, 0, label)
