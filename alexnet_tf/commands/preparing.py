"""Preparing a source with a progress bar: what `prepare` and `train --prepare` share."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet_tf.errors import FolderTakenError
from alexnet_tf.files import expanded
from alexnet_tf.system import command_name

if TYPE_CHECKING:
    from alexnet_tf.prepare.prepare import Prepared


def prepare_source(
    source: str,
    out: str | None = None,
    *,
    size: int = 256,
    kind: str = "jpeg",
    data_dir: str | None = None,
    quiet: bool = False,
) -> "Prepared":
    """Prepares a source, with progress on stderr; TensorFlow must be imported already."""
    from alexnet_tf.console import ProgressReporter
    from alexnet_tf.prepare.prepare import prepare

    reporter = ProgressReporter(quiet)
    reporter.message(f"preparing {source}")
    with reporter.progress("preparing") as progress:
        return prepare(source, out, size=size, kind=kind, data_dir=data_dir, on_progress=progress)


def prepare_for_training(source: str, *, quiet: bool) -> str:
    """Returns the prepared folder of a source, made now if need be.

    Raises:
      InputError: The source cannot be used.
      FolderTakenError: Its place under prepared/ is taken; the message has the commands to give.
    """
    try:
        return str(prepare_source(source, quiet=quiet).folder)
    except FolderTakenError as error:  # it says to give --out, which `train` has not
        from alexnet_tf.prepare.folder_items import source_name

        place = Path("prepared") / f"{source_name(Path(source).with_suffix(''))}-2"
        quoted = shlex.quote(str(place))
        raise FolderTakenError(
            f"{error}. To do so: {command_name()} prepare {shlex.quote(source)} --out {quoted}, "
            f"and then: {command_name()} train --dataset {quoted}"
        ) from None


def is_raw(dataset: str | None) -> bool:
    """Returns whether a data set is images that are not prepared: a folder of them, or a table.

    A folder whose preparation was interrupted is none.
    """
    if dataset is None or not expanded(dataset).exists():
        return False
    from alexnet_tf.system import import_tensorflow

    import_tensorflow(start_devices=False)
    from alexnet_tf.data.folder import TABLE_ENDINGS
    from alexnet_tf.data.prepared_set import MARKER, WORK
    from alexnet_tf.data.sources import means_folder

    path = expanded(dataset)
    if path.is_file():
        return path.suffix.lower() in TABLE_ENDINGS
    return means_folder(dataset) and not (path / MARKER).exists() and not (path / WORK).exists()
