"""The `similar` command."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from alexnet_tf.evaluation.image_files import STANDARD_INPUT, find_images, read_images
from alexnet_tf.files import check_picture_name
from alexnet_tf.runs import open_model
from alexnet_tf.system import import_tensorflow

if TYPE_CHECKING:
    import keras
    import numpy as np

    from alexnet_tf.console import Console, ProgressReporter
    from alexnet_tf.evaluation.features import FeatureIndex
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
def command(image: str, **options: Any) -> None:
    """Finds the images nearest to one by the features of the last hidden layer.

    IMAGE is a file, or - for standard input. The features of the data set are computed once and
    stored beside the model, or in the user's cache folder if that is read-only, until the model or
    the data changes.
    """
    content = _read(image)
    source = open_model(options["run"], options["model"])
    options["data_dir"] = options["data_dir"] or source.data_dir
    if options["in"] is None:
        if source.dataset is None:
            raise InputError("--model needs --in: a .keras file does not name a data set")
        options.update({"in": source.dataset, "split": options["split"] or "train"})
        options["recorded_in"] = source.run
    if options["picture"] is not None:
        check_picture_name(options["picture"])
    import_tensorflow()
    from alexnet_tf.console import Console, ProgressReporter
    from alexnet_tf.evaluation.classifiers import names_of
    from alexnet_tf.evaluation.similarity import draw_similar
    from alexnet_tf.model.persistence import load_model

    console, reporter = Console(quiet=bool(options["as_json"])), ProgressReporter()
    options["distance"] = options["distance"] or "euclidean"
    network = load_model(source.path)
    pixels, index, neighbors = _search(image, content, source.path, network, reporter, options)
    if options["picture"] is not None:
        draw_similar(pixels, index, neighbors[:_MAX_DRAWN_IMAGES], options["picture"])
        reporter.message(f"picture: {options['picture']}")
    report_model(source, names_of(network), console, reporter)
    if options["as_json"]:
        values = {
            "image": image,
            "model": str(source.path),
            "dataset": index.dataset,
            "split": index.split,
            "images": len(index),
            "distance": options["distance"],
            "nearest": [neighbor.to_json() for neighbor in neighbors],
        }
        echo_json(values)
        return
    where = f"{index.dataset}, {index.split}" if index.split else index.dataset
    console.message(f"nearest to {image} among the {len(index):,} images of {where}")
    _print(neighbors, console)


def _search(
    image: str,
    content: bytes,
    path: Path,
    network: "keras.Model",
    reporter: "ProgressReporter",
    options: dict[str, Any],
) -> "tuple[np.ndarray, FeatureIndex, list[Neighbor]]":
    """Returns the resized image, the index of the data set, and the nearest images.

    Raises:
      InputError: The image is damaged, or the data set cannot be used.
    """
    from alexnet_tf.data.sources import RESTORE_DATA, recorded_data
    from alexnet_tf.evaluation.classifiers import preprocessing_of
    from alexnet_tf.evaluation.features import FeatureExtractor, open_index
    from alexnet_tf.evaluation.predict import Damaged, ImageReader
    from alexnet_tf.evaluation.similarity import nearest

    decoded = ImageReader(preprocessing_of(network)).read(image, content)
    if isinstance(decoded, Damaged):
        raise InputError(f"{image}: {decoded.reason}")
    pixels, extractor = decoded[1], FeatureExtractor(network)
    with (
        # Preparing a data set prints to stdout, where only the result belongs.
        contextlib.redirect_stdout(sys.stderr),
        reporter.progress("computing features") as on_progress,
        recorded_data(options.get("recorded_in"), f"{RESTORE_DATA}; --in takes another"),
    ):
        index = open_index(
            path,
            options["in"],
            extractor=extractor,
            data_dir=options["data_dir"],
            split=options["split"],
            on_progress=on_progress,
        )
    features = extractor(pixels[None])
    (neighbors,) = nearest(index, features, options["top"] or 10, options["distance"])
    return pixels, index, neighbors


def _read(image: str) -> bytes:
    """Returns the content of the image to compare with.

    Raises:
      InputError: The file is not found or cannot be read, or the name means several images.
    """
    names = find_images([image])
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
