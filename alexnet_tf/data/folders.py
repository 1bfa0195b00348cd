"""Data sets that are folders of image files, one folder per class."""

import collections
import functools
import os
import shlex
from pathlib import Path

import numpy as np

from alexnet_tf.data.dataset import DataSet, Splits, split_folders
from alexnet_tf.data.examples import FileExamples
from alexnet_tf.data.flat_splits import class_words, flat_labels, images_folder, is_flat
from alexnet_tf.data.image_names import EXTENSIONS, is_image
from alexnet_tf.errors import InputError
from alexnet_tf.files import expanded, printable
from alexnet_tf.system import command_name

TABLE_ENDINGS = (".csv", ".tsv")
_NOT_NAMED = f"without an image's ending ({' '.join(EXTENSIONS)})"
_BELOW = "in folders below a class folder"
_NO_FILE = "of no regular kind (pipes and the like)"
_NOT_IN_TABLE = "that the table of labels does not name with a class of train/"
_UNLABELED = "in a test split without labels"


def open_folder(name: str, *, channels: int = 3) -> DataSet:
    """Opens a folder of images.

    Either `<split>/<class>/<image>` with splits train (or training), val (validation, valid) and
    test (testing), or `<class>/<image>`, which is a train split alone. A split other than train may
    hold its images without class folders (see `flat_splits`). Hidden files are passed
    over; files that are no images by their ending, and files in folders below the class folders,
    are left out, and the data set says how many.

    Args:
      name: The folder.
      channels: 3 or 1: what images are converted to.

    Returns:
      The data set; classes are the train split's folders, sorted by name. Bytes of their names that
      are no UTF-8 are escaped.

    Raises:
      InputError: It is missing or empty, has one class, has a class folder without images, or val
        or test has a class that train has not.
    """
    root = expanded(name)
    if not root.is_dir():
        raise InputError(f"--dataset {name}: there is no such folder")
    command = f"{command_name()} prepare {shlex.quote(name)}"
    folders = _class_folders(root)
    if not folders:
        raise InputError(
            f"--dataset {name}: the folder has no class folders: "
            "expected train/<class>/<image> and val/<class>/<image>, or <class>/<image>"
            f"{_about_table(root, command)}"
        )
    found = split_folders(folders) or {"train": root}
    if "train" not in found:
        raise InputError(f"--dataset {name}: there is no train/ beside {_listed(found.values())}")
    classes = tuple(folder.name for folder in _class_folders(found["train"]))
    class_names = class_words(root, classes)
    if len(classes) < 2:
        what = f"one class folder ({class_names[0]})" if classes else "no class folders"
        raise InputError(
            f"{found['train']} has {what}: a data set needs at least two classes"
            f"{_about_table(root, command)}"
        )
    left_out: collections.Counter[str] = collections.Counter()
    files = {}
    for split, folder in found.items():
        if split == "train" or not is_flat(folder):
            files[split] = _files(folder, classes, left_out, command)
        elif split == "test" and _is_unlabeled(root, folder):
            left_out[_UNLABELED] += sum(1 for _ in images_folder(folder).iterdir())
        else:
            files[split] = _flat_files(root, folder, classes, left_out)
    readers = {
        split: functools.partial(FileExamples, paths, labels, channels=channels)
        for split, (paths, labels) in files.items()
    }
    shown, origin = printable(name), printable(str(root.absolute()))
    told = _left_out(shown, left_out, printable(command))
    return DataSet(shown, class_names, Splits(readers), origin, channels, told)


def _class_folders(folder: Path) -> list[Path]:
    """Returns the folders in a folder, without hidden ones, sorted by name."""
    return sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))


def _files(
    folder: Path, classes: tuple[str, ...], left_out: collections.Counter[str], command: str
) -> tuple[list[str], np.ndarray]:
    """Returns a split's image files and their labels.

    Args:
      folder: The split's.
      classes: The folders' names, by class number.
      left_out: Counts, by reason, what is left out.
      command: What reads these files too.

    Raises:
      InputError: A class is not one of `classes`, or has no images; there is no class at all.
    """
    paths: list[str] = []
    labels: list[int] = []
    numbers = {name: number for number, name in enumerate(classes)}
    for class_folder in _class_folders(folder):
        if class_folder.name not in numbers:
            raise InputError(f"{class_folder} is a class that the train split does not have")
        images = _images(images_folder(class_folder), left_out)
        if not images:
            raise InputError(
                f"class folder {class_folder} has no images (looked for {' '.join(EXTENSIONS)} "
                f"right in it): `{command}` looks at any file below it"
            )
        paths += images
        labels += [numbers[class_folder.name]] * len(images)
    if not paths:
        raise InputError(f"{folder} has no class folders")
    return paths, np.asarray(labels, np.int64)


def _flat_files(
    root: Path, folder: Path, classes: tuple[str, ...], left_out: collections.Counter[str]
) -> tuple[list[str], np.ndarray]:
    """Returns the images of a split without class folders and their labels, from its table.

    Raises:
      InputError: There is no table, or it has none of the images and classes.
    """
    wanted, _ = flat_labels(root, folder)
    numbers = {name: number for number, name in enumerate(classes)}
    images = _images(images_folder(folder), left_out)
    labels = [numbers.get(wanted.get(Path(image).stem, ""), -1) for image in images]
    known = [(image, label) for image, label in zip(images, labels, strict=True) if label >= 0]
    if not known:
        raise InputError(
            f"{folder}: its table names none of the {len(images):,} images with a class of train/"
        )
    left_out[_NOT_IN_TABLE] += len(images) - len(known)
    return [image for image, _ in known], np.asarray([label for _, label in known], np.int64)


def _is_unlabeled(root: Path, folder: Path) -> bool:
    """Returns whether a flat split has no table of labels, as the test split of a challenge."""
    try:
        flat_labels(root, folder)
    except InputError:
        return True
    return False


def _images(class_folder: Path, left_out: collections.Counter[str]) -> list[str]:
    """Returns the image files right in a class folder, by name; counts those left out."""
    images = []
    with os.scandir(class_folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                left_out[_BELOW] += _files_below(entry.path)
            elif not is_image(entry.name):
                left_out[_NOT_NAMED] += 1
            # A link to nothing counts as an image, so that it is named as one that is missing.
            elif entry.is_file() or not Path(entry.path).exists():
                images.append(entry.path)
            else:  # a pipe, say, which reading would wait for
                left_out[_NO_FILE] += 1
    return sorted(images)


def _files_below(folder: str) -> int:
    """Returns the number of files at any depth below a folder, without hidden ones."""
    count = 0
    for _, folders, files in os.walk(folder):
        folders[:] = (name for name in folders if not name.startswith("."))
        count += sum(not name.startswith(".") for name in files)
    return count


def _about_table(root: Path, command: str) -> str:
    """Returns what to do if a folder has a table in place of class folders; "" if it has none."""
    tables = sorted(f.name for f in root.iterdir() if f.suffix.lower() in TABLE_ENDINGS)
    return f"; `{command}` reads images with the table {tables[0]}" if tables else ""


def _left_out(name: str, counts: collections.Counter[str], command: str) -> str:
    """Returns a line on the files left out, "" if there are none."""
    total = counts.total()
    if not total:
        return ""
    reasons = " and ".join(f"{count:,} {why}" for why, count in sorted(counts.items()) if count)
    are = "file is" if total == 1 else "files are"
    return f"{name}: {total:,} {are} left out, {reasons}: `{command}` reads them, or says why not"


def _listed(folders: object) -> str:
    """Returns folders' names in one line."""
    return ", ".join(f"{folder.name}/" for folder in folders)  # type: ignore[attr-defined]
