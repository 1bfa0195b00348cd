"""`bench`: speed of training and inference, also as a fraction of the processor's."""

from pathlib import Path

import click

from alexnet_tf.commands.options import (
    COUNT,
    echo_json,
    json_option,
    option,
    picture_option,
    recipe_option,
)
from alexnet_tf.errors import InputError
from alexnet_tf.files import check_picture_name
from alexnet_tf.recipes import get_recipe
from alexnet_tf.system import import_tensorflow
from alexnet_tf.train_options import PRECISIONS

_EXAMPLES = """\b
Examples:
  python cli.py bench
  python cli.py bench --batch-sizes 1,128 --precision float32 --json"""


@click.command(epilog=_EXAMPLES, short_help="Measure this machine: images/s, time per layer.")
@recipe_option("paper")
@option(
    "--batch-sizes",
    "Batch sizes to measure, separated by commas.",
    default="1,32,128",
    example="1,64",
)
@option(
    "--precision",
    "auto, float32, bfloat16 or float16.",
    default="auto: bfloat16, or else float16, where the hardware is faster in it",
    example="float32",
    choices=PRECISIONS,
)
@option(
    "--rounds",
    "Rounds of each measurement, of which the median is reported.",
    default="5",
    example="9",
    type=COUNT,
)
@picture_option("Draw the time per layer: a .png, .pdf or .svg file.", "layers.png")
@json_option()
def command(
    recipe: str | None,
    batch_sizes: str | None,
    precision: str | None,
    rounds: int | None,
    picture: str | None,
    as_json: bool,
) -> None:
    """Measure training and inference on this machine; nothing is downloaded.

    The network has 1000 classes and its images are in memory. The ceiling is the best
    rate of anything that runs, a large matrix product and a large convolution included.
    """
    chosen = get_recipe(recipe or "paper")
    sizes = _sizes(batch_sizes or "1,32,128")
    if picture is not None:
        check_picture_name(picture)
    import_tensorflow()
    from alexnet_tf.bench.benchmark import draw_layers, print_tables, run_benchmark
    from alexnet_tf.console import Console
    from alexnet_tf.training.devices import configure_devices

    devices = configure_devices("single", precision=precision or "auto")
    benchmark = run_benchmark(chosen, sizes, devices.precision, rounds or 5, devices.kernels)
    if picture is not None:
        draw_layers(benchmark, Path(picture))
    if as_json:
        echo_json(benchmark.to_json())
    else:
        print_tables(benchmark, Console())


def _sizes(text: str) -> tuple[int, ...]:
    """Returns the numbers in a text such as "1,32,128".

    Raises:
      InputError: A part is not a positive whole number.
    """
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise InputError(f"--batch-sizes must be numbers such as 1,32,128. Received: {text!r}")
    return sizes
