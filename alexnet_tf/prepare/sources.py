"""From what the user calls a source to the images in it."""

import os

from alexnet_tf.data.prepared_set import is_prepared
from alexnet_tf.errors import InputError
from alexnet_tf.files import expanded
from alexnet_tf.prepare.csv_items import find_csv, list_csv
from alexnet_tf.prepare.folder_items import has_classes, list_folder
from alexnet_tf.prepare.imagenet_items import is_imagenet, list_imagenet
from alexnet_tf.prepare.items import Source

_WANTED = "give a folder of images, a CSV file or a TFDS name"


def list_source(source: str, data_dir: str | None = None) -> Source:
    """Lists the images of a source.

    Args:
      source: A folder, a CSV file, or a TFDS name.
      data_dir: TFDS's data folder; None is TFDS's default.

    Returns:
      The source; it has training images and at least two classes.

    Raises:
      InputError: There is none, or it cannot be used; the message says why.
    """
    if not source:
        raise InputError(f"the source is empty: {_WANTED}")
    path = expanded(source)
    if path.is_dir() and (os.sep in source or not _is_tfds_name(source)):
        if is_prepared(path):
            raise InputError(f"{source} is prepared already: train --dataset {source}")
        if is_imagenet(path):
            listed = list_imagenet(path)
        else:
            table = None if has_classes(path) else find_csv(path)
            listed = list_csv(table) if table else list_folder(path)
    elif path.is_file() and path.suffix.lower() in (".csv", ".tsv"):
        listed = list_csv(path)
    elif path.is_file() or _is_path(source):
        what = "is no folder and no CSV file" if path.exists() else "does not exist"
        raise InputError(f"{source} {what}: {_WANTED}")
    else:
        listed = _list_tfds(source, data_dir)
    listed.check()
    listed.tell_classes_apart()
    return listed


def _list_tfds(source: str, data_dir: str | None) -> Source:
    """Lists a TFDS set; what is wrong with it is said in the words of `prepare`."""
    from alexnet_tf.prepare.tfds_items import list_tfds

    try:
        return list_tfds(source, data_dir)
    except InputError as error:
        # Of a set that `train` and others are given as --dataset.
        message = str(error).removeprefix("--dataset ")
        if message.startswith(f"{source}: ") and not _is_tfds_name(source.split(":")[0]):
            message = f"{source} does not exist: {_WANTED}"
        raise InputError(message) from None


def _is_path(source: str) -> bool:
    """Returns whether something that is not there was meant as a path: a config has a / too."""
    if source.startswith((".", "~", os.sep)):
        return True
    return os.sep in source and not _is_tfds_name(source.split("/")[0])


def _is_tfds_name(name: str) -> bool:
    """Returns whether a word is the name of a TFDS data set."""
    from alexnet_tf.data.tfds import is_tfds_name

    return is_tfds_name(name)
