"""Validation folders without class folders: their labels are in a table. No TensorFlow.

ImageNet's `val/` holds 50,000 images side by side; Tiny ImageNet's `val/images/` likewise. Labels
come from a table beside the images or in the data set's folder:
  - `val_annotations.txt` (Tiny ImageNet): name and class, separated by tabs;
  - `LOC_val_solution.csv` (Kaggle): ImageId and PredictionString, which begins with the class;
  - a CSV file named after the split, such as `val_labels.csv`, with the columns ImageId and Class.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from alexnet_tf.data.image_names import is_image
from alexnet_tf.errors import InputError
from alexnet_tf.files import printable

_IMAGES = "images"  # Tiny ImageNet keeps a class's or a split's images in a folder of this name
_MAX_TABLE_BYTES = 2**28
_WORDS = "words.txt"
_VALIDATION = ("val", "valid", "validation")
_NAME_COLUMNS = ("imageid", "image_id", "image", "filename", "file", "id", "name")
_LABEL_COLUMNS = ("class", "label", "predictionstring", "category", "wnid", "synset")


def images_folder(folder: Path) -> Path:
    """Returns `folder/images` if all images of the folder are there, as in Tiny ImageNet."""
    inner = folder / _IMAGES
    return inner if inner.is_dir() and not any(_images(folder)) else folder


def is_flat(folder: Path) -> bool:
    """Returns whether a split's folder holds images, but no class folders."""
    folders = [f for f in folder.iterdir() if f.is_dir() and not f.name.startswith(".")]
    if [f.name for f in folders] == [_IMAGES]:
        return True
    return not folders and any(_images(folder))


def flat_labels(root: Path, folder: Path) -> tuple[dict[str, str], Path]:
    """Reads the class of each image of a flat split.

    Args:
      root: The data set's folder.
      folder: The split's folder, such as `root/val`.

    Returns:
      The classes by the image's name without its ending, and the table.

    Raises:
      InputError: No table was found, or it is damaged.
    """
    for table in _tables(root, folder):
        labels = _read(table)
        if labels:
            return labels, table
    count = sum(1 for _ in _images(images_folder(folder)))
    name = folder.name
    raise InputError(
        f"{printable(str(folder))} has {count:,} images and no class folders: their classes are "
        f"expected in {name}_annotations.txt, LOC_{name}_solution.csv or {name}_labels.csv "
        "(columns ImageId,Class) in the data set's folder, or sort the images into class folders"
    )


def class_words(root: Path, classes: Sequence[str]) -> tuple[str, ...]:
    """Returns the classes' names from `words.txt`, or the folders' names where it has none.

    Args:
      root: The data set's folder.
      classes: Names of the class folders.
    """
    path = root / _WORDS
    words: dict[str, str] = {}
    if path.is_file() and path.stat().st_size <= _MAX_TABLE_BYTES:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            wnid, tab, text = line.partition("\t")
            if tab and text.strip():
                words[wnid] = text.strip()
    names = [words.get(name, printable(name)) for name in classes]
    return tuple(
        f"{name} ({folder})" if folder in words and names.count(name) > 1 else name
        for name, folder in zip(names, classes, strict=True)
    )


def _images(folder: Path) -> Iterator[Path]:
    """Yields the image files right in a folder."""
    return (f for f in folder.iterdir() if is_image(f.name) and not f.name.startswith("."))


def _tables(root: Path, folder: Path) -> Iterator[Path]:
    """Yields the files that may hold a split's labels, the most specific first."""
    name = folder.name.lower()
    split = "(val|valid|validation)" if name in _VALIDATION else re.escape(name)
    pattern = re.compile(rf"(.*[^a-z])?{split}([^a-z].*)?\.(csv|txt)", re.IGNORECASE)
    for place in (folder, root):
        for path in sorted(place.iterdir()):
            if path.is_file() and pattern.fullmatch(path.name):
                yield path


def _read(path: Path) -> dict[str, str]:
    """Returns classes by image name without ending; {} if the file is not such a table.

    Raises:
      InputError: The file is damaged or too large.
    """
    if path.stat().st_size > _MAX_TABLE_BYTES:
        raise InputError(f"{printable(str(path))} is too large for a table of labels")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{printable(str(path))} is damaged: it is not UTF-8 text") from None
    if path.suffix.lower() == ".txt":
        rows = [line.split("\t") for line in text.splitlines()]
        return {Path(row[0]).stem: row[1] for row in rows if len(row) > 1 and is_image(row[0])}
    try:
        table = csv.DictReader(text.splitlines())
        columns = {column.strip().lower(): column for column in table.fieldnames or () if column}
        name = next((columns[c] for c in _NAME_COLUMNS if c in columns), None)
        label = next((columns[c] for c in _LABEL_COLUMNS if c in columns), None)
        if name is None or label is None:
            return {}
        found = {}
        for row in table:
            if row[name] and (row[label] or "").split():
                stem = Path(row[name]).stem if is_image(row[name]) else row[name]
                found[stem] = row[label].split()[0] if "predict" in label.lower() else row[label]
        return found
    except csv.Error as error:
        raise InputError(f"{printable(str(path))} is damaged: {error}") from None
