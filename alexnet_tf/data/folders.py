"""Data sets that are folders of image files, one folder per class."""

import functools
from pathlib import Path

import numpy as np

from alexnet_tf.data.dataset import DataSet, Splits, split_folders
from alexnet_tf.data.examples import FileExamples
from alexnet_tf.errors import InputError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


def open_folder(name: str, *, channels: int = 3) -> DataSet:
    """Opens a folder of images.

    Either `<split>/<class>/<image>` with splits train (or training), val (validation, valid) and
    test (testing), or `<class>/<image>`, which is a train split alone. Hidden files and files that
    are no images by their extension are passed over.

    Args:
      name: The folder.
      channels: 3 or 1: what images are converted to.

    Returns:
      The data set; classes are the train split's folders, sorted by name.

    Raises:
      InputError: It is missing or empty, has one class, has a class folder without images, or val
        or test has a class that train has not.
    """
    root = Path(name).expanduser()
    if not root.is_dir():
        raise InputError(f"--dataset {name}: there is no such folder")
    folders = _class_folders(root)
    if not folders:
        raise InputError(
            f"--dataset {name}: the folder has no class folders: "
            "expected train/<class>/<image> and val/<class>/<image>, or <class>/<image>"
        )
    found = split_folders(folders) or {"train": root}
    if "train" not in found:
        raise InputError(f"--dataset {name}: there is no train/ beside {_listed(found.values())}")
    class_names = tuple(folder.name for folder in _class_folders(found["train"]))
    if len(class_names) < 2:
        what = f"one class folder ({class_names[0]})" if class_names else "no class folders"
        raise InputError(f"{found['train']} has {what}: a data set needs at least two classes")
    files = {split: _files(folder, class_names) for split, folder in found.items()}
    readers = {
        split: functools.partial(FileExamples, paths, labels, channels=channels)
        for split, (paths, labels) in files.items()
    }
    return DataSet(name, class_names, Splits(readers), str(root.absolute()), channels)


def _class_folders(folder: Path) -> list[Path]:
    """Returns the folders in a folder, without hidden ones, sorted by name."""
    return sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))


def _files(folder: Path, class_names: tuple[str, ...]) -> tuple[list[str], np.ndarray]:
    """Returns a split's image files and their labels.

    Raises:
      InputError: A class is not one of `class_names`, or has no images; there is no class at all.
    """
    paths: list[str] = []
    labels: list[int] = []
    numbers = {name: number for number, name in enumerate(class_names)}
    for class_folder in _class_folders(folder):
        if class_folder.name not in numbers:
            raise InputError(f"{class_folder} is a class that the train split does not have")
        images = sorted(
            str(file)
            for file in class_folder.iterdir()
            if file.suffix.lower() in EXTENSIONS and not file.name.startswith(".")
        )
        if not images:
            extensions = " ".join(EXTENSIONS)
            raise InputError(f"class folder {class_folder} has no images (looked for {extensions})")
        paths += images
        labels += [numbers[class_folder.name]] * len(images)
    if not paths:
        raise InputError(f"{folder} has no class folders")
    return paths, np.asarray(labels, np.int64)


def _listed(folders: object) -> str:
    """Returns folders' names in one line."""
    return ", ".join(f"{folder.name}/" for folder in folders)  # type: ignore[attr-defined]
