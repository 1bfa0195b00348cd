"""Folders of images: class folders, alone or in split folders."""

import os
from collections.abc import Iterable
from pathlib import Path

from alexnet_tf.data.folder import class_words, flat_labels, images_folder, is_flat
from alexnet_tf.data.splits import hold_images, split_folders, subfolders
from alexnet_tf.data.tables import TABLE_ENDINGS
from alexnet_tf.errors import InputError
from alexnet_tf.files import has_files, is_image, printable
from alexnet_tf.prepare.source import USED, Item, Source


def list_folder(root: Path, encoding: str | None = None) -> Source:
    """Lists `<split>/<class>/**` or `<class>/**`.

    Files may be at any depth below their class folder and have any extension: their content decides
    whether they are images. `encoding` is that of tables of labels; None: UTF-8.

    Raises:
      InputError: Class folders were not found, or a split has a class that train does not have.
    """
    folders = subfolders(root)
    splits = split_folders(folders)
    if splits and "train" not in splits:
        others = ", ".join(f"{folder.name}/" for folder in splits.values())
        raise InputError(f"{root} has {others} and no train/")
    split_roots = splits or {"train": root}
    found = subfolders(split_roots["train"])
    classes = [folder.name for folder in found if has_files(folder)]
    if not found or (not splits and hold_images(folders)):
        raise InputError(
            f"{root} has no class folders: expected train/<class>/<image> and val/<class>/<image>, "
            "<class>/<image>, or images with a CSV file of file and label"
        )
    labels = {name: label for label, name in enumerate(classes)}
    source = Source(root, class_names=class_words(root, [printable(name) for name in classes]))
    for split, folder in split_roots.items():
        if split == "train" or not is_flat(folder):
            source.splits[split] = _class_items(source, folder, split, labels)
        elif items := _flat_items(source, folder, split, labels, encoding):
            source.splits[split] = items
    if splits:
        tables = {p.name for p in source.problems if p.action == USED}
        beside = (path for path in root.iterdir() if printable(path.name) not in tables)
        _report_files_outside_classes(source, beside, "")
        for folder in folders:
            if folder not in splits.values():
                source.add_problem("", folder.name + os.sep, "folder that is not a split")
    return source


def has_classes(root: Path) -> bool:
    """Returns whether a folder has a train split with class folders."""
    train = split_folders(subfolders(root)).get("train")
    return train is not None and bool(subfolders(train))


def class_folders(root: Path) -> set[str]:
    """Returns the names of the subfolders if they can be classes; none if they are splits."""
    folders = subfolders(root)
    is_split = split_folders(folders) or hold_images(folders)
    return set() if is_split else {folder.name for folder in folders}


def _class_items(source: Source, folder: Path, split: str, labels: dict[str, int]) -> list[Item]:
    """Returns the files in the class folders of a split."""
    items: list[Item] = []
    for class_folder in subfolders(folder):
        if not has_files(class_folder):
            source.add_problem(split, class_folder.name, "class without files")
            continue
        if class_folder.name not in labels:
            raise InputError(f"{class_folder} is a class that the train split does not have")
        found = list(source.walk(class_folder, labels[class_folder.name], split))
        if not found:  # hidden files alone
            source.add_problem(split, class_folder.name, "class without files", "kept")
        items += found
    _report_files_outside_classes(source, folder.iterdir(), split)
    return items


def _flat_items(
    source: Source, folder: Path, split: str, labels: dict[str, int], encoding: str | None
) -> list[Item]:
    """Returns the images of a split without class folders, with labels from its table.

    A test split without a table is skipped: challenges publish their test images unlabeled.
    """
    try:
        class_of, table = flat_labels(source.root, folder, encoding)
    except InputError:
        if split != "test":
            raise
        source.add_problem(split, folder.name + os.sep, "test images without labels")
        return []
    source.add_problem(split, table.name, "table of labels", USED)
    items = []
    for item in source.walk(images_folder(folder), -1, split):
        name = class_of.get(Path(item.name).stem)
        if name in labels:
            items.append(item._replace(label=labels[name]))
        elif is_image(item.name):
            reason = "not in the table of labels" if name is None else f"no class {name} in train/"
            source.add_problem(split, item.name, reason)
    if not items:
        raise InputError(f"{folder}: its table names no image with a class of train/")
    return items


def _report_files_outside_classes(source: Source, paths: Iterable[Path], split: str) -> None:
    """Reports the files, and the hidden folders, beside class or split folders."""
    for path in sorted(paths):
        if path.is_dir():
            problem = "hidden" if path.name.startswith(".") else ""
        elif path.suffix.lower() in TABLE_ENDINGS:
            problem = "table that is not used: the folders give the classes"
        else:
            is_broken_link = path.is_symlink() and not path.exists()
            problem = "link to nothing" if is_broken_link else "in no class"
        if problem:
            source.add_problem(split, path, problem)
