"""Data sets that are folders of image files.

Images are in one folder per class, `<split>/<class>/<image>`. The images of val and test may also
be side by side, as those of ImageNet (`val/`) and Tiny ImageNet (`val/images/`). Their labels are
then in a table in that folder or in the data set's folder:
  - `val_annotations.txt` (Tiny ImageNet): file name and class, separated by tabs;
  - `LOC_val_solution.csv` (Kaggle): ImageId and PredictionString, which begins with the class;
  - a CSV file named after the split, such as `val_labels.csv`, with the columns ImageId and Class.
"""

import collections
import functools
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from alexnet_tf.data.examples import FileExamples
from alexnet_tf.data.splits import (
    SPLIT_NAMES,
    DataSet,
    Splits,
    hold_images,
    split_folders,
    subfolders,
)
from alexnet_tf.data.tables import TABLE_ENDINGS, read_table
from alexnet_tf.errors import InputError
from alexnet_tf.files import IMAGE_EXTENSIONS, expanded, has_files, is_image, printable
from alexnet_tf.system import command_name

_MAX_WORDS_BYTES = 2**28
_IMAGES = "images"  # Tiny ImageNet keeps a class's or a split's images in a folder of this name
_WORDS = "words.txt"

# Reasons why files are skipped.
_NO_EXTENSION = f"without an image extension ({' '.join(IMAGE_EXTENSIONS)})"
_BELOW = "in folders below a class folder"
_NOT_A_FILE = "not a regular file (a pipe or the like)"
_NOT_IN_TABLE = "without a class of train/ in the table of labels"
_UNLABELED = "in a test split without labels"
_EMPTY = "empty class folder"

Skipped = collections.Counter[str]  # number of files by reason


def open_folder(name: str, *, channels: int = 3) -> DataSet:
    """Opens a folder of images.

    Either `<split>/<class>/<image>` with splits train (or training), val (validation, valid) and
    test (testing), or `<class>/<image>`, which is a train split alone. Hidden files are ignored.
    Files without an image extension and files in folders below the class folders are skipped, and
    so are class folders without files; the data set reports how many. Classes are the train split's
    folders, sorted by name. Bytes of their names that are not UTF-8 are escaped.

    Raises:
      InputError: The folder does not exist or is empty, has one class, has a class folder with
        files but without images, or val or test has a class that train does not have.
    """
    root = expanded(name)
    if not root.is_dir():
        raise InputError(f"--dataset {name}: folder not found")
    command = f"{command_name()} prepare {shlex.quote(name)}"
    folders = subfolders(root)
    found = split_folders(folders)
    if not found and hold_images(folders):
        raise InputError(
            f"--dataset {name}: the folder has no class folders: "
            "expected train/<class>/<image> and val/<class>/<image>, or <class>/<image>"
            f"{_table_hint(root, command)}"
        )
    found = found or {"train": root}
    if "train" not in found:
        others = ", ".join(f"{folder.name}/" for folder in found.values())
        raise InputError(f"--dataset {name}: train/ not found beside {others}")
    train = subfolders(found["train"])
    classes = tuple(folder.name for folder in train if has_files(folder))
    class_names = class_words(root, classes)
    if len(classes) < 2:
        what = f"one class folder ({class_names[0]})" if classes else "no class folders"
        raise InputError(
            f"{found['train']} has {what}: a data set needs at least two classes"
            f"{_table_hint(root, command)}"
        )
    skipped: Skipped = collections.Counter()
    files = {}
    for split, folder in found.items():
        if split == "train" or not is_flat(folder):
            files[split] = _class_files(folder, classes, skipped, command)
            continue
        try:
            wanted, _ = flat_labels(root, folder)
        except InputError:
            if split != "test":
                raise
            # As challenges publish their test images.
            skipped[_UNLABELED] += sum(1 for _ in images_folder(folder).iterdir())
        else:
            files[split] = _files_in_table(folder, wanted, classes, skipped)
    readers = {
        split: functools.partial(FileExamples, paths, labels, channels=channels)
        for split, (paths, labels) in files.items()
    }
    shown, origin = printable(name), printable(str(root.absolute()))
    message = _skipped_message(shown, skipped, printable(command))
    return DataSet(shown, class_names, Splits(readers), origin, channels, message)


def images_folder(folder: Path) -> Path:
    """Returns `folder/images` if all images of the folder are there, as in Tiny ImageNet."""
    inner = folder / _IMAGES
    return inner if inner.is_dir() and not any(_image_files(folder)) else folder


def is_flat(folder: Path) -> bool:
    """Returns whether a split's folder holds images, but no class folders."""
    names = [class_folder.name for class_folder in subfolders(folder)]
    return names == [_IMAGES] or (not names and any(_image_files(folder)))


def flat_labels(
    root: Path, folder: Path, encoding: str | None = None
) -> tuple[dict[str, str], Path]:
    """Returns the classes of the images in a split without class folders, and their table.

    The classes are by the image's file name without extension. `root` is the data set's folder,
    `folder` that of the split. InputError is raised if no table was found, or it is damaged.
    """
    for table in _tables(root, folder):
        rows = read_table(table, encoding) or []
        labels = {_stem(row.file): row.label for row in rows if row.file and row.label}
        if labels:
            return labels, table
    count = sum(1 for _ in _image_files(images_folder(folder)))
    name = folder.name
    raise InputError(
        f"{printable(str(folder))} has {count:,} images and no class folders: their classes are "
        f"expected in {name}_annotations.txt, LOC_{name}_solution.csv or {name}_labels.csv "
        "(columns ImageId,Class) in the data set's folder, or sort the images into class folders"
    )


def class_words(root: Path, classes: Sequence[str]) -> tuple[str, ...]:
    """Returns the class names of `words.txt`, or names of class folders that it does not have."""
    path = root / _WORDS
    words: dict[str, str] = {}
    if path.is_file() and path.stat().st_size <= _MAX_WORDS_BYTES:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            wnid, tab, text = line.partition("\t")
            if tab and text.strip():
                words[wnid] = text.strip()
    names = [words.get(name, printable(name)) for name in classes]
    return tuple(
        f"{name} ({folder})" if folder in words and names.count(name) > 1 else name
        for name, folder in zip(names, classes, strict=True)
    )


def _image_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if is_image(path.name))


def _class_files(
    folder: Path, classes: tuple[str, ...], skipped: Skipped, command: str
) -> tuple[list[str], np.ndarray]:
    """Returns the image files in a split's class folders, and their labels."""
    paths: list[str] = []
    labels: list[int] = []
    numbers = {name: number for number, name in enumerate(classes)}
    for class_folder in subfolders(folder):
        if not has_files(class_folder):
            skipped[_EMPTY] += 1
            continue
        if class_folder.name not in numbers:
            raise InputError(f"{class_folder} is a class that the train split does not have")
        images = _scan_folder(images_folder(class_folder), skipped)
        if not images:
            raise InputError(
                f"class folder {class_folder} has no images directly in it (looked for "
                f"{' '.join(IMAGE_EXTENSIONS)}): `{command}` reads files at any depth"
            )
        paths += images
        labels += [numbers[class_folder.name]] * len(images)
    if not paths:
        raise InputError(f"{folder} has no class folders")
    return paths, np.asarray(labels, np.int64)


def _files_in_table(
    folder: Path, wanted: Mapping[str, str], classes: tuple[str, ...], skipped: Skipped
) -> tuple[list[str], np.ndarray]:
    """Returns the images of a split without class folders, and their labels from `flat_labels`."""
    numbers = {name: number for number, name in enumerate(classes)}
    images = _scan_folder(images_folder(folder), skipped)
    labels = [numbers.get(wanted.get(Path(image).stem, ""), -1) for image in images]
    known = np.flatnonzero(np.array(labels) >= 0)
    if not len(known):
        raise InputError(
            f"{folder}: its table names none of the {len(images):,} images with a class of train/"
        )
    skipped[_NOT_IN_TABLE] += len(images) - len(known)
    return [images[i] for i in known], np.asarray(labels, np.int64)[known]


def _scan_folder(folder: Path, skipped: Skipped) -> list[str]:
    """Returns the image files directly in a folder, sorted by name; counts the skipped files."""
    images = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                skipped[_BELOW] += _count_files(entry.path)
            elif not is_image(entry.name):
                skipped[_NO_EXTENSION] += 1
            # A broken link counts as an image, so that it is reported as missing.
            elif entry.is_file() or not Path(entry.path).exists():
                images.append(entry.path)
            else:  # a pipe, say: reading it would wait forever
                skipped[_NOT_A_FILE] += 1
    return sorted(images)


def _count_files(folder: str) -> int:
    """Returns the number of files at any depth below a folder, without hidden ones."""
    count = 0
    for _, folders, files in os.walk(folder):
        folders[:] = (name for name in folders if not name.startswith("."))
        count += sum(not name.startswith(".") for name in files)
    return count


def _tables(root: Path, folder: Path) -> Iterator[Path]:
    """Yields the files that may hold a split's labels, the most specific first."""
    # val/ may have its labels in validation.csv.
    split = next(names for names in SPLIT_NAMES.values() if folder.name.lower() in names)
    pattern = re.compile(rf"(.*[^a-z])?({'|'.join(split)})([^a-z].*)?\.(csv|txt)", re.IGNORECASE)
    own = folder.name.lower()
    for parent in (folder, root):
        for path in sorted(parent.iterdir(), key=lambda p: (own not in p.name.lower(), p)):
            if path.is_file() and pattern.fullmatch(path.name):
                yield path


def _stem(name: str) -> str:
    """Returns the file name in a table without folders and without an image's extension."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return Path(base).stem if is_image(base) else base


def _table_hint(root: Path, command: str) -> str:
    """Returns what to do if a folder has a table instead of class folders; "" if it has none."""
    names = sorted(path.name for path in root.iterdir() if path.suffix.lower() in TABLE_ENDINGS)
    tables = [name for name in names if "submission" not in name.lower()]
    return f"; `{command}` reads images with the table {tables[0]}" if tables else ""


def _skipped_message(name: str, skipped: Skipped, command: str) -> str:
    """Returns one line about what is skipped, "" if nothing is."""
    empty = skipped.pop(_EMPTY, 0)
    total = skipped.total()
    parts = [f"{empty:,} {_EMPTY}{'s are' if empty > 1 else ' is'} skipped"] if empty else []
    if total:
        counts = [f"{count:,} {why}" for why, count in sorted(skipped.items()) if count]
        are = "file is" if total == 1 else "files are"
        remedy = f"`{command}` reads them or reports why not"
        parts.append(f"{total:,} {are} skipped, {' and '.join(counts)}: {remedy}")
    return f"{name}: {'; '.join(parts)}" if parts else ""
