"""`summary`: a network's layers, parameters and work."""

from typing import TYPE_CHECKING

import click

from alexnet_tf import paper
from alexnet_tf.commands.options import echo_json, json_option, option, recipe_option
from alexnet_tf.recipes import get_recipe

if TYPE_CHECKING:
    from alexnet_tf.console import Console
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
        echo_json(summary.to_json())
        return
    from alexnet_tf.console import Console

    console = Console()
    print_layers(summary, f"{name}, {classes} classes", console)
    if summary.non_trainable_parameters:
        console.message(f"non-trainable weights: {summary.non_trainable_parameters:,}")


def print_layers(summary: "ModelSummary", title: str, console: "Console") -> None:
    """Prints the layers with a row of totals."""
    from alexnet_tf.console import Column

    rows = [
        [
            row.name,
            row.type,
            " x ".join(str(side) for side in row.output_shape),
            *(f"{count:,}" if count else "" for count in (row.parameters, row.multiply_adds)),
        ]
        for row in summary.layers
    ]
    totals = ["total", "", "", f"{summary.parameters:,}", f"{summary.multiply_adds:,}"]
    numbers = [Column(name, is_number=True) for name in ("parameters", "multiply-adds")]
    console.table(["layer", "type", "output shape", *numbers], rows, title=title, footer=totals)
