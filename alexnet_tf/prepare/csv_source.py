"""Images and a table of their files and labels, as competitions and other tools publish them."""

import collections
import os
import posixpath
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from alexnet_tf.data.splits import SPLIT_NAMES
from alexnet_tf.data.tables import LIST_ENDING, TABLE_ENDINGS, Row, read_table
from alexnet_tf.errors import InputError
from alexnet_tf.files import IMAGE_EXTENSIONS, is_image, printable
from alexnet_tf.prepare.folder_source import class_folders
from alexnet_tf.prepare.source import USED, Item, Source

_SPLITS = {name: split for split, names in SPLIT_NAMES.items() for name in names}
_EXTENSIONS = ("", *IMAGE_EXTENSIONS, ".JPG", ".JPEG", ".PNG")
_MAX_SAMPLE = 1000  # rows that decide which folder the images are in
_OUTSIDE = "file outside the table's folder"


class _Location(NamedTuple):
    """How the names in a table become paths: leading parts are removed, and a folder is added."""

    removed: int = 0  # number of leading parts: those of another machine's folders
    folders: tuple[str, ...] = ("",)  # below the table's, that may have the file; "": its own


def find_tables(root: Path, encoding: str | None = None) -> list[Path]:
    """Returns the tables of file and label in a folder, [] if the folder has none.

    If a folder has neither class folders nor such a table, another table is returned.

    Class folders take precedence, unless the table labels their files and none of its labels is a
    folder's name. Several tables must be one per split, named after it: train.txt and val.txt.

    Raises:
      InputError: There are several other tables, or a table cannot be read and there are neither
        class folders nor other tables.
    """
    tables, others, unreadable = [], [], []
    for path in sorted(root.iterdir()):
        is_table = path.suffix.lower() in (*TABLE_ENDINGS, LIST_ENDING) and path.is_file()
        # Submissions have the columns of the table of labels, for the images of the test split.
        if not is_table or path.name.startswith(".") or "submission" in path.name.lower():
            continue
        try:
            rows = read_table(path, encoding)
            tables += [path] if rows else []
            others += [path] if not rows and path.suffix.lower() in TABLE_ENDINGS else []
        except InputError as error:
            unreadable += [error] if path.suffix.lower() in TABLE_ENDINGS else []
    folders = class_folders(root)
    if len(folders) > 1:
        tables = [path for path in tables if _has_other_classes(path, folders, encoding)]
    elif unreadable and not tables:
        raise unreadable[0]
    if not tables and not folders and any(root.glob("*/")):
        return others[:1]  # whose columns the error names
    splits = {_split_of(path) for path in tables}
    if len(tables) > 1 and (len(splits) < len(tables) or not {"train"} <= splits <= {*SPLIT_NAMES}):
        names = ", ".join(path.name for path in tables)
        raise InputError(f"{root} has several tables of file and label ({names}): name one")
    return tables


def list_tables(tables: list[Path], encoding: str | None = None) -> Source:
    """Lists the images that a table names, or several tables of one folder, one per split.

    Files are relative to the table's folder, to a folder below it, or to one that this machine does
    not have; with or without their extension. `data.tables` describes the tables.

    Raises:
      InputError: The first row does not name the columns, the file is not text in its encoding, or
        none of its images exists.
    """
    source = Source(tables[0].parent)
    found = {item.name: item for item in source.walk(source.root, 0, "")}
    rows = _read_rows(source, tables, found, encoding)
    labels = sorted({label for label, _ in rows.values()}, key=_numbers_first)
    indices = {label: index for index, label in enumerate(labels)}
    splits: dict[str, list[Item]] = {split: [] for split in SPLIT_NAMES}
    reported = {problem.name for problem in source.problems}
    for name, (label, split) in sorted(rows.items()):
        item = found.get(name) or source.file_item(source.root / name, 0)
        if isinstance(item, Item):
            splits[split].append(item._replace(label=indices[label]))
        elif printable(name) not in reported:
            source.add_problem(split, name, item)
    if not any(splits.values()):
        first = next(iter(source.problems), None)
        reason = f" ({first.name}: {first.problem})" if first else ""
        remedy = ": put it into a folder above its images" if _OUTSIDE in reason else ""
        raise InputError(f"{tables[0]}: none of its images can be used{reason}{remedy}")
    source.splits = {split: items for split, items in splits.items() if items}
    source.class_names = tuple(printable(label) for label in labels)
    _report_unlabeled(source, tables, [name for name in found if name not in rows], rows)
    return source


def _has_other_classes(path: Path, folders: set[str], encoding: str | None) -> bool:
    """Returns whether a table labels files that exist, with no folder's name among its labels."""
    rows = read_table(path, encoding) or []
    if not {row.label.casefold() for row in rows}.isdisjoint(name.casefold() for name in folders):
        return False
    source = Source(path.parent)
    found = {item.name for item in source.walk(source.root, 0, "")}
    location = _locate(path, [_clean(row.file) for row in rows], found)
    return any(_path(source.root, location, _clean(row.file), found)[1] for row in rows)


def _read_rows(
    source: Source, tables: list[Path], found: Collection[str], encoding: str | None
) -> dict[str, tuple[str, str]]:
    """Returns (label, split) by file, and reports the rows that cannot be used.

    Each file has one name here, however the rows spell it: "a", "a.jpg" or "./a.jpg".
    """
    rows: dict[str, tuple[str, str]] = {}
    contradicted: set[str] = set()
    for path in tables:
        table = read_table(path, encoding)
        if table is None:
            raise InputError(
                f"{path}: the first row must name a column for the file (file, filename, path, "
                "image or id) and one for the label (label, class or category) or one per class "
                "with a 1 in each row; without such a row, lines must begin with an image's name"
            )
        default = _split_of(path) if len(tables) > 1 else "train"
        location = _locate(path, [_clean(row.file) for row in table], found)
        if location.folders != ("",):
            where = " and ".join(f"{folder or '.'}/" for folder in location.folders)
            source.add_problem("", path.name, f"table of the images in {where}", USED)
        for row in table:
            line = f"{path.name} line {row.line}"
            name, _ = _path(source.root, location, _clean(row.file), found)
            if problem := _row_problem(row, name):
                source.add_problem("", line, problem)
                continue
            values = (row.label, _SPLITS[row.split or default])
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


def _row_problem(row: Row, name: str) -> str:
    """Returns why a row cannot be used, or "". `name` is its file's path below the table's."""
    if row.file and row.problem:
        return row.problem
    if not row.file or not row.label:
        return "row without file or label"
    if row.split not in ("", *_SPLITS):
        return f"unknown split {row.split!r}"
    if name.startswith("/") or ".." in name.split("/"):
        return _OUTSIDE
    return "name that no file can have" if "\0" in name else ""


def _clean(name: str) -> str:
    """Returns a path with single slashes, also if it was written with Windows' backslashes."""
    return posixpath.normpath(name.replace("\\", "/")) if name else ""


def _locate(table: Path, names: list[str], found: Collection[str]) -> _Location:
    """Returns where most of the files are that a table names.

    A folder named like a test split is chosen only for its own table or if no other folder has the
    files: competitions number the images of each split from 1. Folders whose names differ from the
    chosen one only in digits are parts of it.
    """
    if all(_with_extension(name, found) in found for name in names):
        return _Location()
    folders_of = collections.defaultdict(list)  # by file name with and without extension
    for path in found:
        folder, base = posixpath.split(path)
        for name in {base, posixpath.splitext(base)[0] if is_image(base) else base}:
            folders_of[name].append(folder)
    counts: collections.Counter[tuple[int, str]] = collections.Counter()
    sample = names[:: max(1, len(names) // _MAX_SAMPLE)]
    for name in sample:
        *above, base = name.split("/")
        for folder in folders_of.get(base, ()):
            for removed in range(len(above) + 1):
                ending = "/".join(["", *above[removed:]])
                if f"/{folder}".endswith(ending):
                    counts[removed, f"/{folder}".removesuffix(ending).strip("/")] += 1
    if not counts:
        return _Location()

    families = collections.defaultdict(list)
    for location in sorted(counts):
        families[_without_digits(location)].append(location)

    def parts(location: tuple[int, str]) -> list[tuple[int, str]]:
        family = families[_without_digits(location)]
        # A name that is in several of them is not that of one image.
        return family if sum(counts[each] for each in family) <= len(sample) else [location]

    def preference(location: tuple[int, str]) -> tuple[bool, int, int, int]:
        removed, folder = location
        is_test = _split_of(Path(folder)) == "test" and _split_of(table) != "test"
        files = sum(counts[each] for each in parts(location))
        return not is_test, files, -removed, -len(folder)

    best = max(counts, key=preference)
    return _Location(best[0], tuple(folder for _, folder in parts(best)))


def _without_digits(location: tuple[int, str]) -> tuple[int, str]:
    """Returns what the folders that are parts of one have in common."""
    return location[0], re.sub(r"\d+", "", location[1])


def _path(root: Path, location: _Location, name: str, found: Collection[str]) -> tuple[str, bool]:
    """Returns the path of a file in a table, and whether it exists; unchanged if it does not."""
    parts = name.split("/")
    rest = "/".join(parts[location.removed :]) if len(parts) > location.removed else name
    for folder in location.folders:
        path = _with_extension(posixpath.join(folder, rest), found)
        if path in found:
            return path, True
    path = name if location.removed else posixpath.join(location.folders[0], rest)
    # What the walk skips, such as a link to a folder listed already, may be named by the table.
    existing = (path + extension for extension in _EXTENSIONS if _exists(root / (path + extension)))
    named = next(existing, "")
    return named or path, bool(named)


def _with_extension(name: str, found: Collection[str]) -> str:
    """Returns the name of a file with its extension; unchanged if the file was not found."""
    return next((name + end for end in _EXTENSIONS if name + end in found), name)


def _exists(path: Path) -> bool:
    """Returns whether a file exists; False for a name that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _report_unlabeled(
    source: Source, tables: list[Path], names: Iterable[str], labeled: Iterable[str]
) -> None:
    """Reports the files that no table names: whole folders, such as test/, by the folder."""
    reported = {problem.name for problem in source.problems}
    listed = " or ".join(path.name for path in tables)
    used = {name.partition(os.sep)[0] for name in labeled}
    for name in names:
        folder, separator, _ = name.partition(os.sep)
        if printable(name) in reported or name in {path.name for path in tables}:
            continue
        inside = f"in {printable(folder)}/, " if separator and folder not in used else ""
        source.add_problem("", name, f"{inside}not in {listed}")


def _split_of(path: Path) -> str:
    """Returns the split after which a file or folder is named, as train_labels.csv; "" if none."""
    word = re.split(r"[^a-z]", path.name.lower(), maxsplit=1)[0]
    return _SPLITS.get(word, "")


def _numbers_first(label: str) -> tuple[int, int, str]:
    """Returns a sort key: whole numbers by value, then other labels."""
    return (0, int(label), label) if label.isdecimal() else (1, 0, label)
