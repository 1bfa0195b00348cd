"""`data`: summarize a data set, and draw examples with augmentation."""

import os
from pathlib import Path
from typing import Any

import click

from alexnet_tf.commands.options import (
    DataSetName,
    echo_json,
    json_option,
    option,
    picture_option,
    recipe_option,
)
from alexnet_tf.commands.train_options import train_option
from alexnet_tf.files import check_picture_name, expanded
from alexnet_tf.recipes import get_recipe, recipe_for
from alexnet_tf.system import import_tensorflow

_MAX_CLASSES = 40
_BAR_WIDTH = 30
_MAX_NAME_LENGTH = 24  # in the picture
_EXAMPLES = """\b
Examples:
  python cli.py data shapes
  python cli.py data photos/ --picture photos.png
  python cli.py data cifar10 --data-dir /data/tfds --json"""


@click.command(epilog=_EXAMPLES, short_help="Summarize a data set.")
@click.argument("dataset", type=DataSetName())
@train_option("data_dir")
@recipe_option("the data set's own, or photos")
@picture_option(
    "Picture to draw, of training examples before and after augmentation (.png, .pdf, .svg).",
    "page.png",
    default="data-NAME.png",
)
@option(
    "--seed",
    "Seed of the choice of examples and of their augmentation.",
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
    """Summarize a data set: splits, classes, examples per class, image sizes.

    A picture shows training examples before and after the recipe's augmentation: crops, horizontal
    flips and changes of color.
    """
    chosen = get_recipe(recipe) if recipe else recipe_for(dataset)
    is_path = "/" in dataset or dataset.startswith((".", "~"))
    folder = Path(os.path.realpath(expanded(dataset)))
    # The root folder / has no name.
    name = (folder.name or "root") if is_path else dataset.split(":")[0]
    path = Path(picture or f"data-{name}.png")
    check_picture_name(path)
    import_tensorflow()
    from alexnet_tf.data.sources import open_dataset
    from alexnet_tf.data.statistics import fit_statistics
    from alexnet_tf.data.summary import draw_examples, read_sample, summarize
    from alexnet_tf.figures.text import display_names, text_style, truncate

    opened = open_dataset(dataset, data_dir=data_dir, channels=chosen.network.channels)
    train = opened.splits.get("train")
    sample = read_sample(train) if train is not None else None
    values = summarize(opened, sample)
    values["picture"] = None
    if train is not None and sample is not None and len(sample.readable):
        readable = train.subset(sample.readable)
        # For a picture the principal components of the sample are enough.
        statistics, _ = fit_statistics(readable, chosen.resize_pixels, split="sampled", cache=False)
        names = [truncate(name, _MAX_NAME_LENGTH) for name in display_names(opened.class_names)]
        style = text_style(names)
        draw_examples(readable, names, chosen, statistics, path, seed=seed or 0, text_style=style)
        values["picture"] = str(path)
    if as_json:
        echo_json(values)
    else:
        _show(values)


def _show(values: dict[str, Any]) -> None:
    """Prints the summary of a data set."""
    from alexnet_tf.console import Column, Console

    console = Console()
    splits = values["splits"]
    name, origin = values["name"], values["origin"]
    shown = name if Path(name) == Path(origin) else f"{name} ({origin})"
    console.message(f"{shown}: {values['classes']} classes")
    first = next(iter(splits.values()))["per_class"]
    most = max(max(first.values()), 1)
    rows = [
        [
            name,
            *(f"{split['per_class'][name]:,}" for split in splits.values()),
            console.bar(count / most, _BAR_WIDTH),
        ]
        for name, count in list(first.items())[:_MAX_CLASSES]
    ]
    if len(first) > _MAX_CLASSES:
        rows.append([f"... and {len(first) - _MAX_CLASSES:,} more"])
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
    if "skipped" in values:
        console.message(values["skipped"])
    if "imbalance" in values:
        ratio = values["imbalance"]
        if ratio is None:
            console.message("a class has no training examples")
        elif ratio >= 2:
            console.message(
                f"the largest class has {ratio:.1f} times the examples of the smallest: "
                "train --class-weights balanced gives all classes the same total weight"
            )
    if values["picture"]:
        console.message(f"before and after augmentation: {values['picture']}")
