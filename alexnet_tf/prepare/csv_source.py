"""Folders of images with a CSV file of file and label."""

import contextlib
import csv
import os
from collections.abc import Iterator
from pathlib import Path

from alexnet_tf.data.dataset import SPLIT_NAMES
from alexnet_tf.errors import InputError
from alexnet_tf.files import printable
from alexnet_tf.prepare.folder_source import TABLE_ENDINGS, class_folders
from alexnet_tf.prepare.source import Item, Source

_FILE_COLUMNS = ("file", "filename", "file_name", "path", "filepath", "image", "image_id", "id")
_LABEL_COLUMNS = ("label", "class", "class_name", "category", "target", "species", "breed")
_SPLIT_COLUMNS = ("split", "set", "subset")
_SPLITS = {name: split for split, names in SPLIT_NAMES.items() for name in names}
_EXTENSIONS = ("", ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".JPG", ".JPEG", ".PNG")


def find_csv(root: Path) -> Path | None:
    """Returns the CSV file of file and label in a folder, or None if the folder has none.

    Class folders take precedence, unless the table labels their files and none of its labels is a
    folder's name.

    Raises:
      InputError: There are several such tables, or a folder without subfolders has a table that
        cannot be read.
    """
    has_folders = any(path.is_dir() for path in root.iterdir())
    tables = []
    for path in sorted(root.iterdir()):
        if path.suffix.lower() not in TABLE_ENDINGS or path.name.startswith("."):
            continue
        try:
            with _open_table(path) as table:
                tables += [path] if _columns(table) else []
        except InputError:
            if not has_folders:  # beside folders, a table may contain anything
                raise
    folders = class_folders(root)
    if len(folders) > 1:
        tables = [path for path in tables if _has_other_classes(path, folders)]
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise InputError(f"{root} has several CSV files of file and label ({names}): name one")
    return tables[0] if tables else None


def list_csv(path: Path) -> Source:
    """Lists the images that a CSV file names.

    The first row names the columns: one of file, filename, path, image, id ...; one of label,
    class, category ...; and optionally split (train, val or validation, test). Files are relative
    to the CSV's folder, with or without their extension.

    Raises:
      InputError: A column is missing, the file is not UTF-8 text, or none of its images exists.
    """
    source = Source(path.parent)
    rows = _read_rows(source, path)
    labels = sorted({label for label, _ in rows.values()}, key=_numbers_first)
    indices = {label: index for index, label in enumerate(labels)}
    splits: dict[str, list[Item]] = {split: [] for split in SPLIT_NAMES}
    for name, (label, split) in sorted(rows.items()):
        item = source.file_item(source.root / name, indices[label])
        if isinstance(item, Item):
            splits[split].append(item)
        else:
            source.add_problem(split, name, item)
    if not any(splits.values()):
        first = next(iter(source.problems), None)
        reason = f" ({first.name}: {first.problem})" if first else ""
        raise InputError(f"{path}: none of its images can be used{reason}")
    source.splits = {split: items for split, items in splits.items() if items}
    source.class_names = tuple(printable(label) for label in labels)
    listed = {path.name, *rows, *(problem.name for problem in source.problems)}
    for item in source.walk(source.root, 0, ""):
        if item.name not in listed:
            source.add_problem("", item.name, f"not in {path.name}")
    return source


def _has_other_classes(path: Path, folders: set[str]) -> bool:
    """Returns whether a table labels files that exist, with no folder's name among its labels."""
    try:
        rows = _read_rows(Source(path.parent), path)
    except InputError:
        return False
    labels = {label.casefold() for label, _ in rows.values()}
    has_files = any(_exists(path.parent / name) for name in rows)
    return has_files and labels.isdisjoint(folder.casefold() for folder in folders)


def _read_rows(source: Source, path: Path) -> dict[str, tuple[str, str]]:
    """Returns (label, split) by file, and reports the rows that cannot be used.

    Each file has one name here, however the rows spell it: "a", "a.jpg" or "./a.jpg".
    """
    rows: dict[str, tuple[str, str]] = {}
    contradicted: set[str] = set()
    with _open_table(path) as table:
        columns = _columns(table)
        if columns is None:
            raise InputError(
                f"{path}: the first row must name a column for the file (file, filename, path, "
                "image or id) and one for the label (label, class or category)"
            )
        for row in table:
            line = f"{path.name} line {table.line_num}"
            cells = [row.get(column) if column else "" for column in columns]
            name, label, split = ((cell or "").strip() for cell in cells)
            problem = _row_problem(name, label, split)
            if problem:
                source.add_problem("", line, problem)
                continue
            name = _with_extension(path.parent, os.path.normpath(name))
            values = (label, _SPLITS[split.lower() or "train"])
            if name not in rows:
                rows[name] = values
            elif rows[name] == values:
                source.add_problem(values[1], line, "row listed before")
            else:
                contradicted.add(name)
    for name in sorted(contradicted):
        del rows[name]
        source.add_problem("", name, "listed with different labels")
    return rows


def _row_problem(name: str, label: str, split: str) -> str:
    """Returns why a row cannot be used, or ""."""
    if not name or not label:
        return "row without file or label"
    if split.lower() not in ("", *_SPLITS):
        return f"unknown split {split!r}"
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return "file outside the CSV's folder"
    return "name that no file can have" if "\0" in name else ""


def _with_extension(root: Path, name: str) -> str:
    """Returns the name of a file with its extension; unchanged if the file does not exist."""
    names = (name + extension for extension in _EXTENSIONS)
    return next((each for each in names if _exists(root / each)), name)


def _exists(path: Path) -> bool:
    """Returns whether a file exists; False for a name that is too long."""
    try:
        return path.exists()
    except OSError:
        return False


@contextlib.contextmanager
def _open_table(path: Path) -> Iterator["csv.DictReader[str]"]:
    """Yields a reader of a table separated by commas, semicolons or tabs.

    Raises:
      InputError: The file is not UTF-8 text or is not CSV, here or later in the `with` block.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = max(",;\t", key=file.readline().count)
            file.seek(0)
            yield csv.DictReader(file, delimiter=delimiter)
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV file: {error}") from None


def _columns(table: "csv.DictReader[str]") -> tuple[str, str, str] | None:
    """Returns the names of the columns of file, label and split ("": none), or None."""

    def find(names: tuple[str, ...]) -> str:
        header = table.fieldnames or ()
        found = (column for name in names for column in header if column.strip().lower() == name)
        return next(found, "")

    file, label, split = map(find, (_FILE_COLUMNS, _LABEL_COLUMNS, _SPLIT_COLUMNS))
    return (file, label, split) if file and label else None


def _numbers_first(label: str) -> tuple[int, int, str]:
    """Returns a sort key: whole numbers by value, then other labels."""
    return (0, int(label), label) if label.isdecimal() else (1, 0, label)
