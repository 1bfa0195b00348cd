"""`summary`: the layers of a network, their geometry, parameters and multiply-adds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alexnet_tf import paper
from alexnet_tf.commands.options import (
    echo_json,
    json_option,
    model_option,
    option,
    recipe_option,
    run_option,
)
from alexnet_tf.commands.train_options import train_option
from alexnet_tf.errors import InputError
from alexnet_tf.recipes import get_recipe
from alexnet_tf.runs import open_model
from alexnet_tf.system import import_tensorflow

if TYPE_CHECKING:
    from alexnet_tf.console import Console
    from alexnet_tf.model.inspection import LayerRow, ModelSummary

# Recipes for data sets with ten classes.
_TEN_CLASS_RECIPES = (
    "shapes",
    "cifar10",
    "cifar10-best",
    "cifar10-small",
    "four-layer",
    "fashion-mnist",
    "lenet",
)
_TEN_CLASSES = 10
# Short names, with which all columns fit into 80 characters.
_TYPES = {
    "InputLayer": "input",
    "MeanSubtraction": "mean",
    "GroupedConv2D": "conv",
    "LocalResponseNormalization": "LRN",
    "SpatialResponseNormalization": "LRN",
    "BatchNormalization": "batch norm",
    "Activation": "",  # which is in the layer's name
    "MaxPooling2D": "max pool",
    "AveragePooling2D": "avg pool",
    "PaperDropout": "dropout",
    "InvertedDropout": "dropout",
    "Probabilities": "softmax",
}
_EXAMPLES = """\b
Examples:
  python cli.py summary
  python cli.py summary --recipe torchvision --json
  python cli.py summary --recipe cifar10-small --norm batch --pooling average
  python cli.py summary --run saved_models/first"""


@click.command(epilog=_EXAMPLES, short_help="Show a network's layers, parameters and work.")
@recipe_option("paper")
@run_option("Show the network of a run instead of a recipe's.", default="none")
@model_option("Show the network of a .keras file instead of a recipe's.", default="none")
@option(
    "--classes",
    "Number of classes.",
    default=f"{paper.CLASSES}, or {_TEN_CLASSES} for {', '.join(_TEN_CLASS_RECIPES)}",
    example="5",
    type=click.IntRange(min=2),
)
@train_option("activation")
@train_option("norm")
@train_option("pooling")
@json_option()
def command(run: str | None, model: str | None, as_json: bool, **network_options: Any) -> None:
    """Show each layer's output shape, kernel size, stride, padding, groups, parameters and work.

    Parameters are the trainable ones. Multiply-adds are those of convolutions and fully connected
    layers in the forward pass of one image. LRN stands for local response normalization; its
    kernel is given where it has one in pixels.
    """
    given = {name: value for name, value in network_options.items() if value is not None}
    path = _model_path(run, model, given)  # checked before TensorFlow is imported
    recipe = get_recipe(given.pop("recipe", "paper")).name
    import_tensorflow()
    from alexnet_tf.model.inspection import layer_table
    from alexnet_tf.model.networks import build_model
    from alexnet_tf.model.persistence import load_model

    if path is None:
        given.setdefault("classes", _TEN_CLASSES if recipe in _TEN_CLASS_RECIPES else paper.CLASSES)
        network, name = build_model(recipe, **given), recipe
    else:
        network, name = load_model(path), str(path)
    summary = layer_table(network)
    if as_json:
        echo_json(summary.to_json())
        return
    from alexnet_tf.console import Console

    console = Console()
    print_layers(summary, f"{name}, {network.output_shape[-1]} classes", console)
    if summary.non_trainable_parameters:
        console.message(f"non-trainable parameters: {summary.non_trainable_parameters:,}")


def _model_path(run: str | None, model: str | None, given: dict[str, Any]) -> Path | None:
    """Returns the model file to show, or None for a recipe's network.

    Raises:
      InputError: Options exclude each other, or the model does not exist.
    """
    if run is None and model is None:
        return None
    if given:
        named = "--model" if run is None else "--run"
        raise InputError(f"--{next(iter(given))} cannot be combined with {named}: it has a network")
    return open_model(run, model).path


def print_layers(summary: "ModelSummary", title: str, console: "Console") -> None:
    """Prints the layers with a row of totals, at most 80 characters wide."""
    from alexnet_tf.console import Column

    columns = ["layer", "type", "output", "kernel/ stride", "padding"]
    numbers = [Column(name, is_number=True) for name in ("groups", "parameters", "multiply- adds")]
    totals = ["total", *[""] * 5, f"{summary.parameters:,}", f"{summary.multiply_adds:,}"]
    rows = [_cells(row) for row in summary.layers]
    console.table([*columns, *numbers], rows, title=title, footer=totals)


def _cells(row: "LayerRow") -> list[str]:
    """Returns the texts of a row."""
    kernel = "x".join(map(str, row.kernel_size or ()))
    strides = "x".join(map(str, dict.fromkeys(row.strides or ())))  # "4" if both are 4
    return [
        row.name,
        _TYPES.get(row.type, row.type.lower()),
        "x".join(map(str, row.output_shape)),
        f"{kernel}/{strides}" if strides else kernel,
        "" if row.padding is None else str(row.padding),
        "" if row.groups is None else str(row.groups),
        f"{row.parameters:,}" if row.parameters else "",
        f"{row.multiply_adds:,}" if row.multiply_adds else "",
    ]
