"""The `export` command."""

import contextlib
import json
import sys
from typing import TYPE_CHECKING

import click

from alexnet_tf.commands.options import (
    DataSetName,
    UserPath,
    data_dir_option,
    json_option,
    model_option,
    option,
    run_option,
)
from alexnet_tf.runs import newest_run, read_run

if TYPE_CHECKING:
    from rich.table import Table

    from alexnet_tf.export.export import ExportResult

_FORMATS = ("saved_model", "tflite", "onnx", "all")
_QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
_EXAMPLES = """\b
Examples:
  python cli.py export
  python cli.py export --format tflite --quantize int8
  python cli.py export --model caffe.keras --name bvlc --dataset photos/"""


@click.command(epilog=_EXAMPLES, short_help="Write a SavedModel for TF Serving and a TFLite file.")
@run_option()
@model_option()
@option(
    "--format",
    f"One of {', '.join(_FORMATS)}; may be given several times.",
    default="saved_model and tflite",
    example="onnx",
    type=click.Choice(_FORMATS),
    multiple=True,
    metavar="NAME",
)
@option(
    "--quantize",
    "Precision of the TFLite file: none (float32), float16, dynamic (weights in int8) or int8 "
    "(calibrated on training images).",
    default="none",
    example="int8",
    type=click.Choice(_QUANTIZATIONS),
    metavar="NAME",
)
@option(
    "--out",
    "Folder to write to.",
    default="saved_models/serving",
    example="/models",
    type=UserPath(file_okay=False),
)
@option(
    "--name",
    "Name of the served model.",
    default="alexnet",
    example="flowers",
    metavar="NAME",
)
@option(
    "--version",
    "Version of the SavedModel; an existing one is never overwritten.",
    default="one more than the highest existing version",
    example="3",
    type=click.IntRange(min=1),
)
@option(
    "--dataset",
    "Images to verify the files on, and to calibrate int8 with.",
    default="the run's own; synthetic images for a model without a run",
    example="photos/",
    type=DataSetName(),
    metavar="NAME|PATH",
)
@data_dir_option()
@option(
    "--check-images",
    "Number of images to verify the files on.",
    default="100",
    example="1000",
    type=click.IntRange(min=1),
)
@json_option()
def command(
    run: str | None,
    model: str | None,
    format: tuple[str, ...],
    quantize: str | None,
    out: str | None,
    name: str | None,
    version: int | None,
    dataset: str | None,
    data_dir: str | None,
    check_images: int | None,
    as_json: bool,
) -> None:
    """Write a trained network as a SavedModel for TF Serving and as a TFLite file.

    Without options, exports the newest run under saved_models/ to saved_models/serving/. Every file
    is verified against the Keras model on validation images before it gets its final name.
    """
    if model is None:
        run = run or str(newest_run())
        read_run(run)  # reports a wrong folder before TensorFlow loads
    from alexnet_tf.quiet import import_tensorflow

    import_tensorflow()
    from rich.console import Console

    from alexnet_tf.export.export import CHECK_IMAGES, DEFAULT_NAME, DEFAULT_OUT, FORMATS, export

    formats = FORMATS if "all" in format else format or ("saved_model", "tflite")
    console = Console(stderr=True)
    with (
        # TFDS prints to stdout while it prepares a data set; stdout is for the result alone.
        contextlib.redirect_stdout(sys.stderr),
        console.status("reading") as status,
    ):
        result = export(
            run,
            model=model,
            formats=tuple(dict.fromkeys(formats)),
            quantize=quantize or "none",
            out=out or DEFAULT_OUT,
            name=name or DEFAULT_NAME,
            version=version,
            dataset=dataset,
            data_dir=data_dir,
            check_images=check_images or CHECK_IMAGES,
            on_stage=status.update,
        )
    if as_json:
        click.echo(json.dumps(result.to_json()))
        return
    Console().print(_table(result))
    for check in result.checks[1:]:
        click.echo(f"{check.form}: {check.path}")


def _table(result: "ExportResult") -> "Table":
    """Returns the table of files: size, largest difference of a probability, agreement, latency."""
    from rich.markup import escape
    from rich.table import Table

    images = result.checks[0].images
    table = Table(title=escape(f"{result.model}, verified on {images} images: {result.images}"))
    table.add_column("format")
    for heading in ("size", "difference", "same top-1"):
        table.add_column(heading, justify="right")
    labeled = result.checks[0].top1_errors is not None
    if labeled:
        table.add_column("top-1 errors", justify="right")
    table.add_column("one image", justify="right")
    for check in result.checks:
        errors = (str(check.top1_errors),) if labeled else ()
        table.add_row(
            check.form,
            f"{check.size_bytes / 1e6:.2f} MB",
            f"{check.largest_difference:.1e}",
            f"{check.agreements / check.images:.2%}",
            *errors,
            f"{check.milliseconds:.2f} ms",
        )
    return table
