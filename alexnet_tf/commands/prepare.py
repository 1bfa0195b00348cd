"""`prepare`: check, repair and rescale a data set once, for any number of trainings."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alexnet_tf.commands.options import (
    FOLDER,
    DataSetName,
    data_dir_option,
    echo_json,
    json_option,
    option,
)
from alexnet_tf.errors import FolderTakenError
from alexnet_tf.files import expanded
from alexnet_tf.system import command_name, import_tensorflow

if TYPE_CHECKING:
    from alexnet_tf.prepare.prepare import Prepared

_EXAMPLES = """\b
Examples:
  python cli.py prepare photos/
  python cli.py prepare photos/labels.csv --out prepared/photos --format raw
  python cli.py prepare /data/imagenet --out /ssd/imagenet"""


@click.command(epilog=_EXAMPLES, short_help="Check, repair and rescale a data set once.")
@click.argument("source", type=DataSetName())
@option(
    "--out",
    "The folder to write; an interrupted preparation in it is resumed.",
    default="prepared/ and the source's name",
    example="/ssd/photos",
    type=FOLDER,
)
@option(
    "--size",
    "Side of the prepared square images in pixels; the shorter side is rescaled to it.",
    default="256",
    example="128",
    type=click.IntRange(1, 1024),
)
@option(
    "--format",
    "jpeg, or raw: uncompressed, about ten times larger and several times faster to read.",
    default="jpeg",
    example="raw",
    choices=("jpeg", "raw"),
)
@data_dir_option(
    "Folder of TFDS data sets, also gs:// or s3://, if SOURCE is a TFDS name.",
    default="TFDS's own, ~/tensorflow_datasets",
)
@option(
    "--encoding",
    "Encoding of the table of labels; a byte order mark, as Excel writes it, takes precedence.",
    default="utf-8",
    example="gbk",
    metavar="NAME",
)
@json_option()
def command(source: str, format: str | None, as_json: bool, **options: Any) -> None:
    """Check, repair and rescale a data set once, for any number of trainings.

    SOURCE is a folder (class folders; train/ and val/; or images with a CSV file of file and
    label), a folder with ImageNet as downloaded, or a TFDS name. The result is a TFDS data set with
    the mean image, the RGB principal components and a report of all problems.
    """
    import_tensorflow()
    given = {name: value for name, value in options.items() if value is not None}
    prepared = prepare_source(source, kind=format or "jpeg", **given)
    if as_json:
        folder = str(prepared.folder)
        echo_json({"folder": folder, "was_done": prepared.was_done, **prepared.report})
    else:
        _print_report(prepared)


def _print_report(prepared: "Prepared") -> None:
    """Prints the report as a table and the next command."""
    from alexnet_tf.console import Column, Console

    console = Console()
    report = prepared.report
    titles = ("images", "skipped", "smallest class", "largest class", "median size", "enlarged")
    rows = []
    for split, values in report["splits"].items():
        counts = values["per_class"].values()
        size = f"{values['width']['median']} x {values['height']['median']}" if any(counts) else "-"
        cells = (values["images"], values["skipped"], min(counts), max(counts))
        rows.append([split, *(f"{n:,}" for n in cells), size, f"{values['enlarged']:,}"])
    console.table(["split", *(Column(title, is_number=True) for title in titles)], rows)
    for entry in report["problems"]:
        console.message(f"{entry['files']:>8,}  {entry['problem']}: {entry['action']}")
    duplicates = report["duplicates"]
    if duplicates["groups"]:
        count = duplicates["superfluous_images"]
        console.message(
            f"{count:,} duplicate image{'' if count == 1 else 's'} "
            f"({duplicates['groups_across_splits']:,} images in several splits, "
            f"{duplicates['groups_across_classes']:,} in several classes): see duplicates.csv"
        )
    state = "was prepared before" if prepared.was_done else "is prepared"
    console.message(
        f"{prepared.folder} {state}; report.json and problems.csv list all problems\n"
        f"next:\n  {command_name()} train --dataset {shlex.quote(str(prepared.folder))}"
    )


def prepare_source(source: str, *, quiet: bool = False, **options: Any) -> "Prepared":
    """Prepares a source with a progress bar; TensorFlow must be imported already."""
    from alexnet_tf.console import ProgressReporter
    from alexnet_tf.prepare.prepare import prepare

    reporter = ProgressReporter(quiet)
    reporter.message(f"preparing {source}")
    with reporter.progress("preparing") as progress:
        return prepare(source, on_progress=progress, **options)


def prepare_for_training(source: str, *, quiet: bool) -> str:
    """Returns the prepared folder of a source for `train`, and prepares it if needed.

    Raises:
      InputError: The source cannot be used.
      FolderTakenError: The folder under prepared/ contains something else; the message has the
        commands that prepare into another folder, since `train` has no option --out.
    """
    try:
        return str(prepare_source(source, quiet=quiet).folder)
    except FolderTakenError as error:
        from alexnet_tf.prepare.source import source_name

        out = Path("prepared") / f"{source_name(Path(source).with_suffix(''))}-2"
        quoted = shlex.quote(str(out))
        raise FolderTakenError(
            f"{error}. To do so: {command_name()} prepare {shlex.quote(source)} --out {quoted}, "
            f"and then: {command_name()} train --dataset {quoted}"
        ) from None


def is_unprepared(dataset: str | None) -> bool:
    """Returns whether a data set is a folder of images, or a table, that is not prepared.

    Folders of interrupted preparations are not.
    """
    if dataset is None or not expanded(dataset).exists():
        return False
    import_tensorflow(start_devices=False)
    from alexnet_tf.data.prepared_set import MARKER, WORK
    from alexnet_tf.data.sources import means_folder
    from alexnet_tf.data.tables import LIST_ENDING, TABLE_ENDINGS

    path = expanded(dataset)
    if path.is_file():
        return path.suffix.lower() in (*TABLE_ENDINGS, LIST_ENDING)
    return means_folder(dataset) and not (path / MARKER).exists() and not (path / WORK).exists()
