"""`similar`: the images of a data set whose features are nearest to those of one image."""

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import click

from alexnet_tf.commands.options import (
    DataSetName,
    UserPath,
    data_dir_option,
    echo_json,
    json_option,
    model_option,
    option,
    report_model,
    run_option,
    split_option,
)
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.image_files import STANDARD_INPUT, find_images, read_images
from alexnet_tf.files import check_picture_name
from alexnet_tf.runs import open_model

if TYPE_CHECKING:
    from alexnet_tf.console import Console
    from alexnet_tf.evaluation.similarity import Neighbor

_MOST_DRAWN = 10
_EXAMPLES = """\b
Examples:
  python cli.py similar photo.jpg
  python cli.py similar photo.jpg --in photos/ --top 5 --picture similar.png
  python cli.py similar photo.jpg --in cifar10 --distance cosine --json"""


@click.command(epilog=_EXAMPLES, short_help="Find the images of a data set most similar to one.")
@click.argument("image", type=UserPath(readable=False), metavar="IMAGE")
@option(
    "--in",
    "Where to search: a TFDS name, a data set's folder, or any folder of images.",
    default="the run's own training images",
    example="photos/",
    type=DataSetName(),
    metavar="NAME|PATH",
)
@run_option("The run whose network computes the features.")
@model_option("A .keras file instead of a run; needs --in.")
@data_dir_option()
@split_option("train, validation or test.", default="train")
@option("--top", "How many images to print.", default="10", example="5", type=click.IntRange(min=1))
@option(
    "--distance",
    "Distance between features of the last hidden layer: euclidean (the paper's) or cosine.",
    default="euclidean",
    example="cosine",
    type=click.Choice(["euclidean", "cosine"]),
    metavar="NAME",
)
@option(
    "--picture",
    f"Draw the image and the {_MOST_DRAWN} nearest to it: a .png, .pdf or .svg file.",
    default="none",
    example="similar.png",
    type=UserPath(dir_okay=False),
)
@json_option()
def command(image: str, **options: Any) -> None:
    """Find the images nearest to one by the features of the last hidden layer.

    IMAGE is a file, or - for standard input. The features of the data set are computed once and
    stored beside the model until the model or the data changes.
    """
    content = _read(image)
    opened = open_model(options["run"], options["model"])
    source, split = options["in"], options["split"]
    data_dir = options["data_dir"] or opened.data_dir
    if source is None:
        if opened.dataset is None:
            raise InputError("--model needs --in: a .keras file does not name a data set")
        source, split = opened.dataset, split or "train"
    if options["picture"] is not None:
        check_picture_name(options["picture"])
    from alexnet_tf.system import import_tensorflow

    import_tensorflow()
    from alexnet_tf.console import Console, ProgressReporter
    from alexnet_tf.evaluation.classifiers import preprocessing_of
    from alexnet_tf.evaluation.feature_index import FeatureExtractor, open_index
    from alexnet_tf.evaluation.predict import Damaged, SquareReader
    from alexnet_tf.evaluation.similarity import nearest
    from alexnet_tf.model.persistence import load_model

    console, reporter = Console(quiet=bool(options["as_json"])), ProgressReporter()
    extractor = FeatureExtractor(load_model(opened.path))
    square = SquareReader(preprocessing_of(extractor.model)).read(image, content)
    if isinstance(square, Damaged):
        raise InputError(f"{image}: {square.reason}")
    _, pixels = square
    with (
        # Preparing a data set prints to stdout, where only the result belongs.
        contextlib.redirect_stdout(sys.stderr),
        reporter.progress("computing features") as on_progress,
    ):
        index = open_index(
            opened.path,
            source,
            extractor=extractor,
            data_dir=data_dir,
            split=split,
            on_progress=on_progress,
        )
    distance = options["distance"] or "euclidean"
    (found,) = nearest(index, extractor(pixels[None]), options["top"] or 10, distance)
    if options["picture"] is not None:
        from alexnet_tf.evaluation.similarity_picture import draw_similar

        draw_similar(pixels, index, found[:_MOST_DRAWN], options["picture"])
        reporter.message(f"picture: {options['picture']}")
    report_model(opened, console, reporter)
    if options["as_json"]:
        values = {
            "image": image,
            "model": str(opened.path),
            "dataset": index.dataset,
            "split": index.split,
            "images": len(index),
            "distance": distance,
            "nearest": [neighbor.to_json() for neighbor in found],
        }
        echo_json(values)
        return
    where = f"{index.dataset}, {index.split}" if index.split else index.dataset
    console.message(f"nearest to {image} among the {len(index):,} images of {where}")
    _print(found, console)


def _read(image: str) -> bytes:
    """Returns the content of the image to compare with.

    Raises:
      InputError: The file does not exist or cannot be read, or the name means several images.
    """
    names = find_images([image])
    if image != STANDARD_INPUT and names != [image] and len(names) != 1:
        raise InputError(f"{image}: name one image, not {len(names)}")
    ((name, content),) = read_images(names, sys.stdin.buffer)
    if isinstance(content, str):
        raise InputError(f"{name}: {content}")
    return content


def _print(found: "list[Neighbor]", console: "Console") -> None:
    """Prints the nearest images, the nearest first; with classes if the data set has them."""
    from alexnet_tf.console import Column

    has_classes = any(neighbor.class_name is not None for neighbor in found)
    rows = [
        [
            str(rank),
            f"{neighbor.distance:.3f}",
            *([neighbor.class_name or ""] if has_classes else []),
            neighbor.name,
        ]
        for rank, neighbor in enumerate(found, 1)
    ]
    numbers = Column("", is_number=True), Column("distance", is_number=True)
    console.table([*numbers, *(["class"] if has_classes else []), "image"], rows)
