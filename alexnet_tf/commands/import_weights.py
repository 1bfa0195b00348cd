"""`import-weights`: a model from Caffe's, torchvision's or Keras' weights."""

from pathlib import Path

import click

from alexnet_tf.commands.options import UserPath, option
from alexnet_tf.errors import InputError
from alexnet_tf.recipes import RECIPES, get_recipe

_ENDINGS = (".weights.h5", ".safetensors", ".onnx", ".npy", ".pth", ".pt")
_EXAMPLES = """\b
Examples:
  python cli.py import-weights bvlc_alexnet.npy --out caffe.keras
  python cli.py import-weights alexnet-owt-7be5be79.pth
  python cli.py import-weights mine.weights.h5 --recipe 2012 --labels names.txt"""


@click.command(
    epilog=_EXAMPLES, short_help="Make a model of Caffe's, torchvision's, Keras' weights."
)
@click.argument("file", type=UserPath(dir_okay=False), metavar="FILE")
@option(
    "--out",
    "The model to write.",
    default="FILE's name with .keras, here",
    example="model.keras",
    type=UserPath(dir_okay=False),
)
@option(
    "--recipe",
    f"What the weights are of: one of {', '.join(RECIPES)}.",
    default="caffe for .onnx and .npy, torchvision for .pth and .safetensors, else paper",
    example="2012",
    metavar="NAME",
)
@option(
    "--labels",
    "Text file with a class name per line, by class number.",
    default="ImageNet's names for 1000 classes, else numbers",
    example="names.txt",
    type=UserPath(dir_okay=False),
)
def command(file: str, out: str | None, recipe: str | None, labels: str | None) -> None:
    """Make a model of somebody else's weights.

    FILE is BVLC AlexNet as .onnx or as the well-known .npy dictionary, torchvision's alexnet as
    .pth or .safetensors, or what Keras' save_weights wrote, .weights.h5. Names, shapes and types
    are checked; nothing in the file is run. The model then works as any other.
    """
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{file}: there is no such file")
    if recipe is not None:
        get_recipe(recipe)
    target = Path(out) if out is not None else Path(_stem(path.name) + ".keras")
    if target.suffix != ".keras":
        raise InputError(f"--out {target}: the name must end in .keras")
    names = None if labels is None else _read_names(Path(labels))
    from alexnet_tf.system import import_tensorflow

    import_tensorflow()
    from alexnet_tf.model.foreign.import_weights import import_weights
    from alexnet_tf.model.persistence import save_model
    from alexnet_tf.model.summary import layer_table

    model = import_weights(path, recipe=recipe, class_names=names)
    save_model(model, target)
    parameters = layer_table(model).parameters
    classes = int(model.output_shape[-1])
    click.echo(f"{target}: {parameters:,} parameters, {classes} classes")


def _stem(name: str) -> str:
    """Returns a file's name without the ending by which its format is known."""
    for ending in _ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name


def _read_names(path: Path) -> list[str]:
    """Returns class names from a file.

    Raises:
      InputError: It is no text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"--labels {path}: is no UTF-8 text") from None
    names = [line.strip() for line in lines if line.strip()]
    if len(names) != len(set(names)):
        double = next(name for name in names if names.count(name) > 1)
        raise InputError(f"--labels {path}: {double!r} is there twice")
    return names
