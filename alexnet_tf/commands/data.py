"""`data`: what is in a data set, and what augmentation makes of it."""

import os
from pathlib import Path
from typing import Any

import click

from alexnet_tf.commands.options import (
    DataSetName,
    UserPath,
    echo_json,
    json_option,
    option,
    recipe_option,
)

_MOST_CLASSES = 40
_BAR = 30
_LONGEST_NAME = 24  # in the picture
_EXAMPLES = """\b
Examples:
  python cli.py data shapes
  python cli.py data photos/ --picture photos.png
  python cli.py data cifar10 --data-dir /data/tfds --json"""


@click.command(epilog=_EXAMPLES, short_help="Show what is in a data set.")
@click.argument("dataset", type=DataSetName())
@option(
    "--data-dir",
    "Folder of prepared TFDS data sets; what is missing there is downloaded to it.",
    default="TFDS's own, ~/tensorflow_datasets",
    example="/data/tfds",
    type=UserPath(file_okay=False),
)
@recipe_option("the data set's own, or photos")
@option(
    "--picture",
    "Where to draw training examples before and after augmentation (.png, .pdf, .svg).",
    default="data-NAME.png",
    example="page.png",
    type=UserPath(dir_okay=False),
)
@option(
    "--seed",
    "Of the examples chosen and of their augmentation.",
    default="0",
    example="1",
    type=click.IntRange(min=0),
)
@json_option()
def command(
    dataset: str,
    data_dir: str | None,
    recipe: str | None,
    picture: str | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Show what is in a data set: splits, classes, examples per class, sizes.

    A picture shows training examples before and after augmentation: the crops, the reflections and
    the changes of color that the recipe makes.
    """
    from alexnet_tf.files import check_picture_name, expanded
    from alexnet_tf.recipes import get_recipe, recipe_for

    chosen = get_recipe(recipe) if recipe else recipe_for(dataset)
    is_path = "/" in dataset or dataset.startswith((".", "~"))
    folder = Path(os.path.realpath(expanded(dataset)))
    # Only / has no name.
    name = (folder.name or "root") if is_path else dataset.split(":")[0]
    path = Path(picture or f"data-{name}.png")
    check_picture_name(path)
    from alexnet_tf.system import import_tensorflow

    import_tensorflow()
    from alexnet_tf.data.overview import describe, read_sample
    from alexnet_tf.data.picture import draw_examples
    from alexnet_tf.data.sources import open_dataset
    from alexnet_tf.data.statistics import fit_statistics
    from alexnet_tf.figures.text import display_names, text_style, truncate

    opened = open_dataset(dataset, data_dir=data_dir, channels=chosen.network.channels)
    train = opened.splits.get("train")
    sample = read_sample(train) if train is not None else None
    values = describe(opened, sample)
    values["picture"] = None
    if train is not None and sample is not None and len(sample.readable):
        some = train.subset(sample.readable)
        # The colors' components of a sample do for a picture.
        statistics, _ = fit_statistics(some, chosen.resize_pixels, split="sampled", cache=False)
        names = [truncate(name, _LONGEST_NAME) for name in display_names(opened.class_names)]
        style = text_style(names)
        draw_examples(some, names, chosen, statistics, path, seed=seed or 0, text_style=style)
        values["picture"] = str(path)
    if as_json:
        echo_json(values)
    else:
        _show(values)


def _show(values: dict[str, Any]) -> None:
    """Prints what is in the data set."""
    from alexnet_tf.console import Column, Console

    console = Console()
    splits = values["splits"]
    console.message(f"{values['name']} ({values['origin']}): {values['classes']} classes")
    first = next(iter(splits.values()))["per_class"]
    most = max(max(first.values()), 1)
    rows = [
        [
            name,
            *(f"{split['per_class'][name]:,}" for split in splits.values()),
            console.bar(count / most, _BAR),
        ]
        for name, count in list(first.items())[:_MOST_CLASSES]
    ]
    if len(first) > _MOST_CLASSES:
        rows.append([f"... and {len(first) - _MOST_CLASSES:,} more"])
    rows.append(["all", *(f"{split['examples']:,}" for split in splits.values())])
    console.table(["class", *(Column(split, is_number=True) for split in splits), ""], rows)
    sizes = values.get("sizes")
    if sizes and sizes["width"]:
        width, height = sizes["width"], sizes["height"]
        console.message(
            f"sizes of {sizes['sampled']:,}: {width['smallest']} to {width['largest']} wide "
            f"(median {width['median']}), {height['smallest']} to {height['largest']} high (median "
            f"{height['median']}), {'gray' if values['channels'] == 1 else 'RGB'}"
        )
    for name in sizes["unreadable"] if sizes else ():
        console.message(f"cannot be read: {name}")
    if "left_out" in values:
        console.message(values["left_out"])
    if "imbalance" in values:
        ratio = values["imbalance"]
        if ratio is None:
            console.message("a class has no training examples")
        elif ratio >= 2:
            console.message(
                f"the largest class has {ratio:.1f} times the examples of the smallest: "
                "train --class-weights balanced lets them count alike"
            )
    if values["picture"]:
        console.message(f"before and after augmentation: {values['picture']}")
