"""`demo`: a local page that shows what a trained network predicts."""

import click

from alexnet_tf.commands.options import (
    DataSetName,
    data_dir_option,
    model_option,
    option,
    report_model,
    run_option,
)
from alexnet_tf.demo import load_gradio
from alexnet_tf.runs import open_model
from alexnet_tf.system import import_tensorflow

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_EXAMPLES = """\b
Examples:
  python cli.py demo
  python cli.py demo --in cifar10 --port 8000
  python cli.py demo --model caffe.keras --in photos/"""


@click.command(epilog=_EXAMPLES, short_help="Open a local web page that classifies images.")
@run_option("The run whose network predicts.")
@model_option()
@option(
    "--in",
    "Also show similar images of this data set: a TFDS name, a data set's folder, or any folder of "
    "images. Their features are computed once.",
    default="none",
    example="cifar10",
    type=DataSetName(),
)
@data_dir_option()
@option(
    "--host",
    "The address to listen on. At any other than the default, everyone who can reach this machine "
    "can use the page, without a password.",
    default="127.0.0.1: this machine only",
    example="0.0.0.0",
)
@option(
    "--port",
    "The port to listen on.",
    default="7860, or the next free port",
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
    """Open a local web page that shows predictions for images from files or the webcam: the most
    probable classes, the kernels of conv1 with the largest activations, and similar images.

    Images are deleted after an hour, and nothing is sent anywhere. Ctrl-C stops the server and
    deletes them.
    """  # noqa: D205
    source = open_model(run, model)
    data_dir = data_dir or source.data_dir
    load_gradio()  # if it is missing, fail before TensorFlow loads
    import_tensorflow()
    from alexnet_tf.console import ProgressReporter
    from alexnet_tf.demo.page import build_page, served, wait
    from alexnet_tf.demo.predictor import Predictor

    reporter = ProgressReporter()
    with reporter.progress("computing features") as on_progress:
        predictor = Predictor(source.path, others["in"], data_dir=data_dir, on_progress=on_progress)
    host = host or _LOOPBACK[0]
    if host not in _LOOPBACK:
        reporter.warn(f"listening on {host}: everyone who can reach it can use the page")
    with served(build_page(predictor), host, port) as url:
        report_model(source, predictor.class_names, reporter, reporter)
        click.echo(url)
        reporter.message("Ctrl-C stops it.")
        wait()
