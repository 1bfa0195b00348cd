"""`prepare`: check, repair and rescale a data set once, for any number of trainings."""

import shlex
from typing import TYPE_CHECKING, Any

import click

from alexnet_tf.commands.options import DataSetName, UserPath, echo_json, json_option, option

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
    "The folder to write; what was begun there goes on where it was.",
    default="prepared/ and the source's name",
    example="/ssd/photos",
    type=UserPath(file_okay=False),
)
@option(
    "--size",
    "Side of the square images in pixels: the shorter side is rescaled to it.",
    default="256",
    example="128",
    type=click.IntRange(1, 1024),
)
@option(
    "--format",
    "jpeg, or raw: pixels as they are, about ten times larger and several times faster to read.",
    default="jpeg",
    example="raw",
    type=click.Choice(["jpeg", "raw"]),
    metavar="NAME",
)
@option(
    "--data-dir",
    "Folder of prepared TFDS data sets, where SOURCE is a TFDS name.",
    default="TFDS's own, ~/tensorflow_datasets",
    example="/data/tfds",
    type=UserPath(file_okay=False),
)
@json_option()
def command(source: str, as_json: bool, **options: Any) -> None:
    """Check, repair and rescale a data set once, for any number of trainings.

    SOURCE is a folder (class folders; train/ and val/; or images with a CSV file of file and
    label), a folder with ImageNet as downloaded, or a TFDS name. The result is a TFDS data set with
    the mean image, the colors' principal components and a report of what was found.
    """
    from alexnet_tf.system import import_tensorflow

    import_tensorflow()
    from alexnet_tf.commands.preparing import prepare_source

    done = prepare_source(
        source,
        options["out"],
        size=options["size"] or 256,
        kind=options["format"] or "jpeg",
        data_dir=options["data_dir"],
    )
    if as_json:
        values = {"folder": str(done.folder), "was_done": done.was_done, **done.report}
        echo_json(values)
    else:
        _show(done)


def _show(done: "Prepared") -> None:
    """Prints the report."""
    from alexnet_tf.console import Column, Console

    console = Console()
    report = done.report
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
    twice = report["duplicates"]
    if twice["groups"]:
        superfluous = twice["superfluous_images"]
        console.message(
            f"{superfluous:,} image{' is' if superfluous == 1 else 's are'} there already "
            f"({twice['groups_across_splits']:,} pictures in several splits, "
            f"{twice['groups_across_classes']:,} in several classes): see duplicates.csv"
        )
    state = "was prepared already, nothing was to be done" if done.was_done else "is prepared"
    console.message(
        f"{done.folder} {state}; report.json and problems.csv say what was found\n"
        f"next:\n  python cli.py train --dataset {shlex.quote(str(done.folder))}"
    )
