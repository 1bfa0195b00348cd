"""`import-weights`: builds a model with weights from Caffe, torchvision or Keras."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alexnet_tf import paper
from alexnet_tf.commands.options import FILE, option, recipe_option
from alexnet_tf.errors import InputError
from alexnet_tf.model.weight_files.published import (
    PUBLISHED,
    PublishedWeights,
    download,
    identify,
)
from alexnet_tf.recipes import get_recipe
from alexnet_tf.system import command_name, import_tensorflow

if TYPE_CHECKING:
    from alexnet_tf.console import ProgressReporter

_NAMES = " or ".join(PUBLISHED)
_MEGABYTE = 10**6
_EXAMPLES = """\b
Examples:
  python cli.py import-weights torchvision
  python cli.py import-weights bvlc --out caffe.keras
  python cli.py import-weights bvlc_alexnet.npy
  python cli.py import-weights mine.weights.h5 --recipe 2012 --labels names.txt"""


@click.command(epilog=_EXAMPLES, short_help="Import weights from Caffe, torchvision or Keras.")
@click.argument("file", type=FILE, metavar="FILE|torchvision|bvlc")
@option(
    "--out",
    "The model file to write.",
    default="FILE's name with .keras, in the working folder",
    example="model.keras",
    type=FILE,
)
@recipe_option(
    "caffe for .caffemodel, .onnx and .npy; torchvision for .pth and .safetensors; else paper",
    "The network that the weights belong to",
    "2012",
)
@option(
    "--labels",
    "Text file with one class name per line, in the order of the model's outputs.",
    default="ImageNet's names for 1000 classes, else numbers",
    example="names.txt",
    type=FILE,
)
@option(
    "--fc6-order",
    "How the inputs of fc6, the first dense layer, are flattened, which the file does not show: "
    "chw (channels first, as in Caffe and PyTorch) or hwc (channels last, as in Keras and "
    "TensorFlow).",
    default="hwc for .npy, .h5 and .weights.h5; chw for the others",
    example="chw",
    choices=("chw", "hwc"),
    metavar="ORDER",
)
@option(
    "--url",
    "Address to download torchvision or bvlc from.",
    default="where it was published",
    example="https://mirror.example.com/alexnet-owt-7be5be79.pth",
    metavar="URL",
)
def command(
    file: str,
    out: str | None,
    recipe: str | None,
    labels: str | None,
    fc6_order: Any,
    url: str | None,
) -> None:
    """Build a model with weights from Caffe, torchvision or Keras.

    "torchvision" and "bvlc" download the published weights, once; an interrupted download is
    resumed. FILE is BVLC AlexNet as .caffemodel, .onnx or an .npy dictionary, torchvision's alexnet
    as .pth or .safetensors, a .weights.h5 file of Keras' save_weights, or an .h5 file of Keras 1
    or 2. The .npy dictionary is {"conv1": [weights, biases], ...} or {"conv1": {"weights": ...,
    "biases": ...}, ...}, with kernels as (height, width, in, out). Names, shapes and types are
    checked; float64 and float16 are converted to float32; no code in the file is run.
    """
    path = Path(file)
    published = None if path.is_file() else PUBLISHED.get(file)
    if published is None and not path.is_file():
        raise InputError(f"{file}: file not found; to download weights, give {_NAMES}")
    if published is None and url is not None:
        raise InputError(f"--url: only for {_NAMES}, not for a file")
    if recipe is not None:
        get_recipe(recipe)
    target = Path(out or f"{path.stem.removesuffix('.weights')}.keras")
    if target.suffix != ".keras":
        raise InputError(f"--out {target}: the name must end in .keras")
    if not target.absolute().parent.is_dir():
        raise InputError(f"--out {target}: folder {target.parent} not found")
    names = None if labels is None else _read_names(Path(labels))
    from alexnet_tf.console import Console, ProgressReporter

    reporter = ProgressReporter()
    if published is not None:
        path = _download(published, url, reporter)
    import_tensorflow()
    from alexnet_tf.model.inspection import layer_table
    from alexnet_tf.model.persistence import save_model
    from alexnet_tf.model.weight_files.import_weights import import_weights

    model = import_weights(
        path,
        recipe=recipe,
        class_names=names,
        fc6_order=fc6_order,
        on_message=reporter.message,
    )
    save_model(model, target)
    parameters = layer_table(model).parameters
    classes = int(model.output_shape[-1])
    console = Console()
    console.message(f"{target}: {parameters:,} parameters, {classes} classes")
    known = published or identify(path)
    if known is not None:
        console.message(known.accuracy)
    elif classes == paper.CLASSES:
        console.message("accuracy on ImageNet: unknown, since this is not a published file")
    if classes == paper.CLASSES:
        check = f"{command_name()} evaluate --model {target} --dataset IMAGENET"
        console.message(f"to check it:\n  {check}")


def _download(published: PublishedWeights, url: str | None, reporter: "ProgressReporter") -> Path:
    """Returns the downloaded file; shows a progress bar."""
    with reporter.progress(f"downloading {published.file_name}", unit="MB") as bar:
        return download(
            published,
            url=url,
            on_progress=lambda done, total: bar(done // _MEGABYTE, max(total // _MEGABYTE, 1)),
        )


def _read_names(path: Path) -> list[str]:
    """Returns class names, or raises InputError if the file is not UTF-8 or repeats a name."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"--labels {path}: is not UTF-8 text: save it as UTF-8") from None
    names = [line.strip() for line in lines if line.strip()]
    if len(names) != len(set(names)):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"--labels {path}: {twice!r} is listed twice")
    return names
