"""The `export` command."""

from typing import TYPE_CHECKING, Any

import click

from alexnet_tf.commands.options import (
    COUNT,
    FOLDER,
    DataSetName,
    data_dir_option,
    echo_json,
    json_option,
    model_option,
    option,
    report_notes,
    run_option,
)
from alexnet_tf.runs import open_model
from alexnet_tf.system import import_tensorflow

if TYPE_CHECKING:
    from alexnet_tf.console import Console
    from alexnet_tf.export.export import ExportResult

_FORMATS = ("saved_model", "tflite", "onnx", "all")
_QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
_EXAMPLES = """\b
Examples:
  python cli.py export
  python cli.py export --format tflite --quantize dynamic --quantize int8
  python cli.py export --model caffe.keras --name bvlc --dataset photos/"""


@click.command(epilog=_EXAMPLES, short_help="Write a SavedModel for TF Serving and a TFLite file.")
@run_option()
@model_option()
@option(
    "--format",
    f"One of {', '.join(_FORMATS)}; may be repeated.",
    default="saved_model and tflite",
    example="onnx",
    choices=_FORMATS,
    multiple=True,
)
@option(
    "--quantize",
    "Precision of the TFLite file: none (float32), float16, dynamic (weights in int8), int8 "
    "(calibrated on training images) or all; may be repeated, for a file each.",
    default="none",
    example="int8",
    choices=(*_QUANTIZATIONS, "all"),
    multiple=True,
)
@option(
    "--out",
    "Folder to write to.",
    default="saved_models/serving",
    example="/models",
    type=FOLDER,
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
    type=COUNT,
)
@option(
    "--dataset",
    "Images to verify the files on, and to calibrate int8 with.",
    default="the run's own; synthetic images for a model without a run",
    example="photos/",
    type=DataSetName(),
)
@data_dir_option()
@option(
    "--check-images",
    "Number of images to verify the files on.",
    default="100",
    example="1000",
    type=COUNT,
)
@json_option()
def command(
    format: tuple[str, ...], quantize: tuple[str, ...], as_json: bool, **options: Any
) -> None:
    """Write a trained network as a SavedModel for TF Serving and as a TFLite file.

    Without options, exports the newest run under saved_models/ to saved_models/serving/. Every file
    is verified against the Keras model on validation images before it gets its final name.
    """
    source = open_model(options["run"], options["model"])  # before TensorFlow loads
    import_tensorflow()
    from alexnet_tf.console import Console, ProgressReporter
    from alexnet_tf.export.export import FORMATS, ExportOptions, export

    given = {name: value for name, value in options.items() if value is not None}
    if format:
        given["formats"] = FORMATS if "all" in format else tuple(dict.fromkeys(format))
    if quantize:
        is_all = "all" in quantize
        given["quantize"] = _QUANTIZATIONS if is_all else tuple(dict.fromkeys(quantize))
    reporter = ProgressReporter()
    report_notes(source, reporter)
    with reporter.status("reading") as on_stage:
        result = export(ExportOptions(**given), on_stage)
    if as_json:
        echo_json(result.to_json())
        return
    _print(result, Console())


def _print(result: "ExportResult", console: "Console") -> None:
    """Prints how the files compare with the Keras model; largest differences in probability."""
    from alexnet_tf.console import Column

    has_labels = result.checks[0].top1_errors is not None
    titles = ["size", "difference", "same top-1", *(["top-1 errors"] if has_labels else [])]
    rows = [
        [
            check.form,
            f"{check.size_bytes / 1e6:.2f} MB",
            f"{check.largest_difference:.1e}",
            f"{check.agreements / check.images:.2%}",
            *([str(check.top1_errors)] if has_labels else []),
            f"{check.milliseconds:.2f} ms",
        ]
        for check in result.checks
    ]
    console.table(
        ["format", *(Column(title, is_number=True) for title in (*titles, "one image"))],
        rows,
        title=f"{result.model}, verified on {result.checks[0].images} images: {result.images}",
    )
    for check in result.checks[1:]:
        console.message(f"{check.form}: {check.path}")
