"""`open_dataset`: from what the user calls a data set to its classes and splits."""

import json
import os
import shlex
from pathlib import Path

from alexnet_tf.data.dataset import DataSet
from alexnet_tf.data.folders import TABLE_ENDINGS, open_folder
from alexnet_tf.data.prepared import WORK, is_prepared, open_prepared
from alexnet_tf.data.tfds_source import is_tfds_name, open_tfds
from alexnet_tf.errors import InputError
from alexnet_tf.files import expanded
from alexnet_tf.system import command_name

__all__ = ["DataSet", "open_dataset"]


def open_dataset(
    name_or_path: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    channels: int = 3,
) -> DataSet:
    """Opens a data set.

    Args:
      name_or_path: "shapes" (drawn on first use), a folder (one that `prepare` wrote;
        `train/<class>/*` and `val/<class>/*`; or class folders alone), or a TFDS name. A word
        without a slash that is both a folder here and a TFDS name is the latter: write ./word for
        the folder.
      data_dir: TFDS's data folder; None is TFDS's default.
      channels: 3 (RGB) or 1 (gray): what images are converted to.

    Returns:
      The data set; its splits are read when first asked for.

    Raises:
      InputError: There is none, or it cannot be used; the message says why.
    """
    name = os.fspath(name_or_path)
    if channels not in (1, 3):
        raise InputError(f"channels must be 1 (gray) or 3 (RGB). Received: {channels}")
    if not name.strip():
        raise InputError("--dataset needs a name or a folder")
    path = expanded(name, "--dataset")
    if path.is_file() and not is_tfds_name(name):
        raise InputError(_about_file(name, path))
    if means_folder(name_or_path):
        if is_prepared(path):
            return open_prepared(name, channels=channels)
        if (path / WORK).is_dir():
            raise InputError(
                f"--dataset {name} is not prepared to the end: its preparation was interrupted. "
                f"It goes on with: {command_name()} prepare SOURCE --out {shlex.quote(name)}"
                f"{_begun_with(path)}"
            )
        return open_folder(name, channels=channels)
    return open_tfds(name, data_dir=data_dir, channels=channels)


def means_folder(name_or_path: str | os.PathLike[str]) -> bool:
    """Returns whether a data set is named by its folder, there or not, rather than by TFDS's name.

    A word without a slash that is both is TFDS's name.
    """
    name = os.fspath(name_or_path)
    if isinstance(name_or_path, os.PathLike) or name.startswith((".", "/", "~")):
        return True
    return Path(name).is_dir() and ("/" in name or not is_tfds_name(name))


def _about_file(name: str, path: Path) -> str:
    """Returns what to do with a file that was given as a data set."""
    if path.suffix.lower() in TABLE_ENDINGS:
        return (
            f"--dataset {name} is a table: `{command_name()} prepare {shlex.quote(name)}` reads it "
            "with its images, and --dataset takes the folder which that writes"
        )
    return f"--dataset {name} is a file: give a folder of images, or a TFDS name"


def _begun_with(folder: Path) -> str:
    """Returns the options that an interrupted preparation was begun with, as words to add."""
    try:
        plan = json.loads((folder / WORK / "plan.json").read_text(encoding="utf-8"))
        return f" --size {plan['size']} --format {plan['format']}"
    except (OSError, ValueError, LookupError, TypeError):
        return ""
