"""The `predict` command."""

import contextlib
import itertools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from alexnet_tf.commands.options import (
    COUNT,
    UserPath,
    csv_option,
    csv_target,
    echo_json,
    flag,
    json_option,
    model_option,
    option,
    picture_option,
    report_model,
    run_option,
)
from alexnet_tf.evaluation.image_files import iterate_images, read_images
from alexnet_tf.files import check_picture_name
from alexnet_tf.runs import open_model
from alexnet_tf.system import import_tensorflow

if TYPE_CHECKING:
    from alexnet_tf.console import Console
    from alexnet_tf.evaluation.predict import Prediction

_BAR_WIDTH = 24
_EXIT_DAMAGED = 1  # exit code if an image cannot be read
_EXAMPLES = """\b
Examples:
  python cli.py predict photo.jpg
  python cli.py predict photos/ more/*.png --top 3 --ten-crop
  python cli.py predict --model saved_models/serving/alexnet.tflite --json photo.jpg
  python cli.py predict --csv predictions.csv --top 3 photos/
  python cli.py predict --picture predictions.png photos/"""


@click.command(epilog=_EXAMPLES, short_help="Classify images: the most probable classes.")
@click.argument(
    "images", nargs=-1, required=True, type=UserPath(readable=False), metavar="IMAGE..."
)
@run_option("The run whose network predicts.")
@model_option(
    "A .keras, .tflite or .onnx file, or a SavedModel's folder, in place of a run.",
    example="saved_models/serving/alexnet",
)
@option("--top", "How many classes to print.", default="5", example="3", type=COUNT)
@flag(
    "--ten-crop",
    "Average over ten crops: corners, center, and their horizontal flips.",
    "off: the center crop",
)
@picture_option(
    "Draw the images with their bars, the first 64 (as in the paper's figure 4): a .png, .pdf or "
    ".svg file.",
    "predictions.png",
)
@csv_option(
    "Write a row per image in place of the tables: image, prediction, the most probable classes "
    "with their probabilities, and why an image was skipped. - is stdout."
)
@json_option()
@click.pass_context
def command(
    ctx: click.Context,
    images: Sequence[str],
    run: str | None,
    model: str | None,
    top: int | None,
    ten_crop: bool,
    picture: str | None,
    csv: str | None,
    as_json: bool,
) -> None:
    """Classify images: files, folders, patterns, or - for an image on standard input.

    Files that cannot be read, and patterns without images, are reported and skipped; the exit code
    is then 1.
    """
    missing: list[tuple[str, str]] = []
    names = iterate_images(images, lambda source, reason: missing.append((source, reason)))
    rows_to = csv_target(csv, as_json)
    source = open_model(run, model)
    if picture is not None:
        check_picture_name(picture)
    import_tensorflow()
    from alexnet_tf.console import Console, ProgressReporter
    from alexnet_tf.evaluation.classifiers import open_classifier
    from alexnet_tf.evaluation.predict import MAX_DRAWN_IMAGES, Damaged, draw_predictions, predict
    from alexnet_tf.evaluation.prediction_files import open_prediction_csv

    classifier = open_classifier(source.path)
    top = min(top or 5, len(classifier.class_names))
    drawn: list[Prediction] = []  # not all, since they hold pixels
    for_json: dict[str, list[dict[str, Any]]] = {"images": [], "damaged": []}
    reporter = ProgressReporter()
    console = Console(quiet=as_json or csv is not None)
    report_model(source, classifier.class_names, console if csv is None else reporter, reporter)
    contents = read_images(names, sys.stdin.buffer)
    predictions = itertools.chain(
        itertools.starmap(Damaged, missing),
        predict(classifier, contents, top=top, ten_crop=ten_crop),
    )
    count = damaged = 0
    with (
        open_prediction_csv(rows_to, top) as write,
        reporter.status("predicting") if csv else contextlib.nullcontext() as on_stage,
    ):
        for prediction in predictions:
            count += 1
            write(prediction)
            if on_stage is not None:
                on_stage(f"predicting: {count:,} images")
            if isinstance(prediction, Damaged):
                damaged += 1
                reporter.warn(f"skipped {prediction.image}: {prediction.reason}")
            elif not as_json:
                _print(prediction, console)
            if as_json:
                key = "damaged" if isinstance(prediction, Damaged) else "images"
                for_json[key].append(prediction.to_json())
            if picture and len(drawn) < MAX_DRAWN_IMAGES and not isinstance(prediction, Damaged):
                drawn.append(prediction)
    if as_json:
        echo_json({"model": classifier.name, "crops": 10 if ten_crop else 1, **for_json})
    if csv not in (None, "-"):
        reporter.message(f"{csv}: {count:,} images")
    if picture is not None and drawn:
        draw_predictions(drawn, picture)
        reporter.message(f"picture: {picture}")
    if damaged:
        ctx.exit(_EXIT_DAMAGED)


def _print(prediction: "Prediction", console: "Console") -> None:
    """Prints the most probable classes of an image, with bars."""
    from alexnet_tf.console import Column

    rows = [
        (top.name, f"{top.probability:.2%}", console.bar(top.probability, _BAR_WIDTH))
        for top in prediction.top
    ]
    console.message(prediction.image)
    console.table(["class", Column("probability", is_number=True), ""], rows)
    console.message()
