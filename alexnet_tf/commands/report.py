"""`report`: a run as an HTML page, or single pictures of it."""

from typing import Any

import click

from alexnet_tf.commands.options import (
    FILE,
    crops_option,
    data_dir_option,
    echo_json,
    flag,
    json_option,
    model_option,
    option,
    report_notes,
    run_option,
    split_option,
)
from alexnet_tf.errors import InputError
from alexnet_tf.runs import open_model
from alexnet_tf.system import import_tensorflow

# As in alexnet_tf.report.figures, which imports TensorFlow; a test compares them.
PICTURES = (
    "curves",
    "kernels",
    "confusion",
    "errors",
    "calibration",
    "mistakes",
    "unsure",
    "similar",
    "activations",
    "features",
)
_EXAMPLES = """\b
Examples:
  python cli.py report
  python cli.py report --run saved_models/first --split test
  python cli.py report --only kernels
  python cli.py report --only activations --image photo.jpg --out activations.png"""


@click.command(epilog=_EXAMPLES, short_help="Show a run as one HTML page with pictures.")
@run_option()
@model_option("The same as --run.", example="saved_models/first")
@option(
    "--only",
    f"Make only this picture, no page; can be repeated. One of {', '.join(PICTURES)}.",
    default="the page and all pictures",
    example="kernels",
    multiple=True,
    choices=PICTURES,
    metavar="PICTURE",
)
@option(
    "--image",
    "The image file whose activations are shown.",
    default="the split's first image",
    example="photo.jpg",
    type=FILE,
)
@split_option()
@data_dir_option()
@crops_option()
@flag(
    "--no-ten-crop",
    "Skip the errors over ten crops, which take ten times as long as those of the center crop.",
)
@option(
    "--out",
    "The page (.html, with its pictures in pictures/ beside it), or the picture of --only (.png, "
    ".pdf or .svg).",
    default="report.html in the run's folder",
    example="lesson/report.html",
    type=FILE,
)
@json_option()
def command(
    run: str | None, model: str | None, no_ten_crop: bool, as_json: bool, **options: Any
) -> None:
    """Show a run as one HTML page that needs no network, and its pictures as PNG files.

    The page has settings, curves, kernels, errors with confidence intervals, confusions,
    calibration, the most confident mistakes, the nearest training images, activations and a
    projection of the features.
    """
    source = open_model(run, model)  # reports a wrong folder before TensorFlow loads
    if source.run is None:
        raise InputError(f"{source.path} is not a run folder, whose history a report shows: --run")
    import_tensorflow()
    from alexnet_tf.console import Console, ProgressReporter
    from alexnet_tf.report.report import make_report

    reporter = ProgressReporter()
    report_notes(source, reporter)
    report = make_report(
        source.run, progress=reporter.progress, ten_crop=not no_ten_crop, **options
    )
    for name, reason in report.evaluation.skipped if report.evaluation else ():
        reporter.warn(f"skipped {name}: {reason}")
    if as_json:
        echo_json(report.to_json())
    else:
        for path in (report.page,) if report.page is not None else report.pictures.values():
            Console().message(str(path))
