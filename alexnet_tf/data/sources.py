"""`open_dataset`: from the name of a data set to its classes and splits."""

import contextlib
import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from alexnet_tf.console import ProgressReporter
from alexnet_tf.data.folder import open_folder
from alexnet_tf.data.prepared_set import WORK, is_prepared, open_prepared
from alexnet_tf.data.remote import storage_address
from alexnet_tf.data.splits import DataSet
from alexnet_tf.data.tables import LIST_ENDING, TABLE_ENDINGS
from alexnet_tf.data.tfds import is_tfds_name, open_tfds
from alexnet_tf.errors import InputError
from alexnet_tf.files import expanded
from alexnet_tf.runs import RUN
from alexnet_tf.system import command_name

RESTORE_DATA = "put it, or a link to it, there again"


def open_dataset(
    name_or_path: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    channels: int = 3,
    reporter: ProgressReporter | None = None,
) -> DataSet:
    """Opens a data set.

    Args:
      name_or_path: "shapes" (drawn on first use), a folder (one that `prepare` wrote;
        `train/<class>/*` and `val/<class>/*`; or class folders alone), or a TFDS name. A word
        without a slash that is both a folder here and a TFDS name means the latter: write ./word
        for the folder.
      data_dir: TFDS's data folder, local or gs:// or s3://; None: TFDS's default.
      channels: 3 (RGB) or 1 (gray), to which images are converted.
      reporter: Where the progress of preparing a TFDS data set is shown; None: stderr.

    Returns:
      The data set; its splits are read when they are first used.

    Raises:
      InputError: The data set does not exist or cannot be used; the message gives the reason.
    """
    name = os.fspath(name_or_path)
    if channels not in (1, 3):
        raise InputError(f"channels must be 1 (gray) or 3 (RGB). Received: {channels}")
    if not name.strip():
        raise InputError("--dataset needs a name or a folder")
    path = expanded(name, "--dataset")
    storage_address(data_dir)  # before TFDS is used
    if path.is_file() and not is_tfds_name(name):
        raise InputError(_file_message(name, path))
    if means_folder(name_or_path):
        if is_prepared(path):
            return open_prepared(name, channels=channels)
        if (path / WORK).is_dir():
            raise InputError(
                f"--dataset {name} is not complete: its preparation was interrupted. Resume it "
                f"with: {command_name()} prepare SOURCE --out {shlex.quote(name)}"
                f"{_prepare_options(path)}"
            )
        return open_folder(name, channels=channels)
    return open_tfds(name, data_dir=data_dir, channels=channels, reporter=reporter)


@contextlib.contextmanager
def recorded_data(run: Path | None, remedy: str) -> Iterator[None]:
    """Adds to errors about a run's data set where its name comes from.

    Args:
      run: The run folder whose record names the data set; None: the user named it.
      remedy: How to give another data set.
    """
    try:
        yield
    except InputError as error:
        if run is None:
            raise
        message = str(error).removeprefix("--dataset ")
        raise InputError(f"{message} (the data set of {run / RUN}: {remedy})") from None


def means_folder(name_or_path: str | os.PathLike[str]) -> bool:
    """Returns whether a data set's name is a folder's, which need not exist, or else TFDS's.

    A word without a slash that is both is TFDS's name.
    """
    name = os.fspath(name_or_path)
    if isinstance(name_or_path, os.PathLike) or name.startswith((".", "/", "~")):
        return True
    return Path(name).is_dir() and ("/" in name or not is_tfds_name(name))


def _file_message(name: str, path: Path) -> str:
    """Returns what to do with a file that was given as a data set."""
    if path.suffix.lower() in (*TABLE_ENDINGS, LIST_ENDING):
        return (
            f"--dataset {name} is a table: `{command_name()} prepare {shlex.quote(name)}` reads it "
            "with its images, and --dataset takes the folder that it writes"
        )
    return f"--dataset {name} is a file: give a folder of images, or a TFDS name"


def _prepare_options(folder: Path) -> str:
    """Returns the options of an interrupted preparation, to be added to the command."""
    try:
        plan = json.loads((folder / WORK / "plan.json").read_text(encoding="utf-8"))
        return f" --size {plan['size']} --format {plan['format']}"
    except (OSError, ValueError, LookupError, TypeError):
        return ""
