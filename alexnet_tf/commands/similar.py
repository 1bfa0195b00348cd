"""The `similar` command."""

import sys
from typing import TYPE_CHECKING

import click

from alexnet_tf.commands.options import (
    COUNT,
    DataSetName,
    UserPath,
    data_dir_option,
    echo_json,
    json_option,
    model_option,
    option,
    picture_option,
    report_model,
    run_option,
    split_option,
)
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.image_files import STANDARD_INPUT, iterate_images, read_images
from alexnet_tf.files import check_picture_name
from alexnet_tf.runs import open_model
from alexnet_tf.system import import_tensorflow

if TYPE_CHECKING:
    from alexnet_tf.console import Console
    from alexnet_tf.evaluation.similarity import Neighbor

_MAX_DRAWN_IMAGES = 10
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
)
@run_option("The run whose network computes the features.")
@model_option("A .keras file instead of a run; needs --in.")
@data_dir_option()
@split_option("train, validation or test.", default="train")
@option("--top", "How many images to print.", default="10", example="5", type=COUNT)
@option(
    "--distance",
    "Distance between features of the last hidden layer: euclidean (the paper's) or cosine.",
    default="euclidean",
    example="cosine",
    choices=("euclidean", "cosine"),
)
@picture_option(
    f"Draw the image and the {_MAX_DRAWN_IMAGES} nearest to it: a .png, .pdf or .svg file.",
    "similar.png",
)
@json_option()
def command(
    image: str,
    run: str | None,
    model: str | None,
    data_dir: str | None,
    split: str | None,
    top: int | None,
    distance: str | None,
    picture: str | None,
    as_json: bool,
    **others: str | None,
) -> None:
    """Find the images nearest to one by the features of the last hidden layer.

    IMAGE is a file, or - for standard input. The features of the data set are computed once and
    stored beside the model, or in the user's cache folder if that is read-only, until the model or
    the data changes.
    """
    content = _read(image)
    source = open_model(run, model)
    dataset, recorded_in = others["in"], None
    if dataset is None:
        if source.dataset is None:
            raise InputError("--model needs --in: a .keras file does not name a data set")
        dataset, split, recorded_in = source.dataset, split or "train", source.run
    if picture is not None:
        check_picture_name(picture)
    import_tensorflow()
    from alexnet_tf.console import Console, ProgressReporter
    from alexnet_tf.data.sources import RESTORE_DATA, recorded_data
    from alexnet_tf.evaluation.classifiers import names_of
    from alexnet_tf.evaluation.features import FeatureExtractor, open_index
    from alexnet_tf.evaluation.predict import read_pixels
    from alexnet_tf.evaluation.similarity import draw_similar, nearest
    from alexnet_tf.model.persistence import load_model

    console, reporter = Console(quiet=as_json), ProgressReporter()
    network = load_model(source.path)
    pixels, extractor = read_pixels(image, content, network), FeatureExtractor(network)
    with (
        reporter.progress("computing features") as on_progress,
        recorded_data(recorded_in, f"{RESTORE_DATA}; --in takes another"),
    ):
        index = open_index(
            source.path,
            dataset,
            extractor=extractor,
            data_dir=data_dir or source.data_dir,
            split=split,
            on_progress=on_progress,
        )
    distance = distance or "euclidean"
    (neighbors,) = nearest(index, extractor(pixels[None]), top or 10, distance)
    if picture is not None:
        draw_similar(pixels, index, neighbors[:_MAX_DRAWN_IMAGES], picture)
        reporter.message(f"picture: {picture}")
    report_model(source, names_of(network), console, reporter)
    if as_json:
        values = {
            "image": image,
            "model": str(source.path),
            "dataset": index.dataset,
            "split": index.split,
            "images": len(index),
            "distance": distance,
            "nearest": [neighbor.to_json() for neighbor in neighbors],
        }
        echo_json(values)
        return
    where = f"{index.dataset}, {index.split}" if index.split else index.dataset
    console.message(f"nearest to {image} among the {len(index):,} images of {where}")
    _print(neighbors, console)


def _read(image: str) -> bytes:
    """Returns the content of the image to compare with.

    Raises:
      InputError: The file is not found or cannot be read, or the name means several images.
    """
    names = list(iterate_images([image]))
    if image != STANDARD_INPUT and names != [image] and len(names) != 1:
        raise InputError(f"{image}: name one image, not {len(names)}")
    ((name, content),) = read_images(names, sys.stdin.buffer)
    if isinstance(content, str):
        raise InputError(f"{name}: {content}")
    return content


def _print(neighbors: "list[Neighbor]", console: "Console") -> None:
    """Prints the nearest images, with classes if the data set has them."""
    from alexnet_tf.console import Column

    has_classes = any(neighbor.class_name is not None for neighbor in neighbors)
    rows = [
        [
            str(rank),
            f"{neighbor.distance:.3f}",
            *([neighbor.class_name or ""] if has_classes else []),
            neighbor.name,
        ]
        for rank, neighbor in enumerate(neighbors, 1)
    ]
    numbers = Column("", is_number=True), Column("distance", is_number=True)
    console.table([*numbers, *(["class"] if has_classes else []), "image"], rows)
