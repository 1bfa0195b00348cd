"""`summary`: a network's layers, parameters and work."""

import json
from typing import TYPE_CHECKING

import click

from alexnet_tf import paper
from alexnet_tf.commands.options import json_option, option, recipe_option
from alexnet_tf.recipes import get_recipe

if TYPE_CHECKING:
    from rich.table import Table

    from alexnet_tf.model.summary import ModelSummary

# Recipes of sets with ten classes.
_SMALL_SETS = (
    "shapes",
    "cifar10",
    "cifar10-best",
    "cifar10-small",
    "four-layer",
    "fashion-mnist",
    "lenet",
)
_SMALL_SETS_CLASSES = 10
_EXAMPLES = """\b
Examples:
  python cli.py summary
  python cli.py summary --recipe torchvision --json"""


@click.command(epilog=_EXAMPLES, short_help="Show a network's layers, parameters and work.")
@recipe_option("paper")
@option(
    "--classes",
    "Classes of the last layer.",
    default=f"{paper.CLASSES}, or {_SMALL_SETS_CLASSES} for {', '.join(_SMALL_SETS)}",
    example="5",
    type=click.IntRange(min=2),
)
@json_option()
def command(recipe: str | None, classes: int | None, as_json: bool) -> None:
    """Show a network's layers, their output shapes, parameters and multiply-adds per image.

    Parameters are the trainable ones; multiply-adds are those of convolutions and dense layers,
    forward, for one image.
    """
    name = get_recipe(recipe or "paper").name
    if classes is None:
        classes = _SMALL_SETS_CLASSES if name in _SMALL_SETS else paper.CLASSES
    from alexnet_tf.system import import_tensorflow

    import_tensorflow()
    from alexnet_tf.model.networks import build_model
    from alexnet_tf.model.summary import layer_table

    summary = layer_table(build_model(name, classes=classes))
    if as_json:
        click.echo(json.dumps(summary.to_json()))
        return
    from rich.console import Console

    console = Console()
    console.print(_table(summary, f"{name}, {classes} classes"))
    if summary.non_trainable_parameters:
        console.print(f"and {summary.non_trainable_parameters:,} numbers that are not trained")


def _table(summary: "ModelSummary", title: str) -> "Table":
    """Returns the layers as a table with a line of totals."""
    from rich.table import Table

    table = Table("layer", "type", "output shape", title=title, show_footer=True)
    table.columns[0].footer = "total"
    table.add_column("parameters", f"{summary.parameters:,}", justify="right")
    table.add_column("multiply-adds", f"{summary.multiply_adds:,}", justify="right")
    for row in summary.layers:
        shape = " x ".join(str(side) for side in row.output_shape)
        counts = (f"{count:,}" if count else "" for count in (row.parameters, row.multiply_adds))
        table.add_row(row.name, row.type, shape, *counts)
    for column in table.columns:
        column.overflow = "fold"  # on a narrow screen nothing is left out
    return table
