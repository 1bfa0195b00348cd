"""`demo`: a local page to play with a trained network."""

import contextlib
import sys

import click

from alexnet_tf.commands.options import (
    DataSetName,
    data_dir_option,
    model_option,
    option,
    run_option,
)
from alexnet_tf.errors import InputError
from alexnet_tf.runs import model_file, newest_run, read_run

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_EXAMPLES = """\b
Examples:
  python cli.py demo
  python cli.py demo --in cifar10 --port 8000
  python cli.py demo --model caffe.keras --in photos/"""


@click.command(epilog=_EXAMPLES, short_help="Open a local page: drop an image, see what it sees.")
@run_option("The run whose network is asked.")
@model_option()
@option(
    "--in",
    "Show similar images of this set too: a TFDS name, a data set's folder, or any folder of "
    "images. Their features are computed once.",
    default="none",
    example="cifar10",
    type=DataSetName(),
    metavar="NAME|PATH",
)
@data_dir_option()
@option(
    "--host",
    "The address to listen on. Any but the default lets others in who can reach this machine: "
    "there is no password.",
    default="127.0.0.1: this machine alone",
    example="0.0.0.0",
)
@option(
    "--port",
    "The port to listen on.",
    default="7860, or the next that is free",
    example="8000",
    type=click.IntRange(1, 65535),
)
def command(
    run: str | None,
    model: str | None,
    data_dir: str | None,
    host: str | None,
    port: int | None,
    **others: str | None,
) -> None:
    """Open a local page: drop an image or use the webcam, and see the most probable classes, the
    kernels of conv1 that fired, and similar images.

    Images are not kept for longer than an hour, and nothing is sent anywhere. Ctrl-C ends it, and
    removes them.
    """  # noqa: D205
    if run is not None and model is not None:
        raise InputError("give --run or --model, not both")
    if model is None:
        run = run or str(newest_run())
        data_dir = data_dir or read_run(run)["options"]["data_dir"]
        path = model_file(run)
    from alexnet_tf.demo.library import gradio

    gradio()  # tells that it is missing before TensorFlow loads
    from alexnet_tf.system import import_tensorflow

    import_tensorflow()
    from alexnet_tf.demo.asking import Asker
    from alexnet_tf.demo.page import build_page, served, wait
    from alexnet_tf.training.reporting import Screen

    with (
        contextlib.redirect_stdout(sys.stderr),
        Screen().counting("computing features") as on_progress,
    ):
        asker = Asker(model or path, others["in"], data_dir=data_dir, on_progress=on_progress)
    host = host or _LOOPBACK[0]
    if host not in _LOOPBACK:
        click.echo(f"listening on {host}: whoever reaches it can use the page", err=True)
    with served(build_page(asker), host, port) as url:
        click.echo(url)
        click.echo("Ctrl-C ends it.", err=True)
        wait()
