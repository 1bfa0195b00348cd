"""The options of `train`, in the order in which its help shows them."""

from collections.abc import Callable
from typing import Any

import click

from alexnet_tf.commands.options import DataSetName, UserPath, option, recipe_option
from alexnet_tf.settings import ACTIVATIONS, INITS, NORMS, POOLINGS

_COUNT = click.IntRange(min=1)
_RECIPES_OWN = "the recipe's"
_OPTIONS = (
    option(
        "--dataset",
        "What to learn: shapes (built in), a TFDS name, or a folder with train/CLASS/* and "
        "val/CLASS/*, or with class folders alone.",
        default="shapes",
        example="cifar10",
        type=DataSetName(),
        metavar="NAME|PATH",
    ),
    option(
        "--data-dir",
        "Folder of prepared TFDS data sets; what is missing there is downloaded to it.",
        default="TFDS's own, ~/tensorflow_datasets",
        example="/data/tfds",
        type=UserPath(file_okay=False),
    ),
    recipe_option("the data set's own, or photos"),
    option(
        "--epochs",
        "Passes over the training set.",
        default=_RECIPES_OWN,
        example="3",
        type=_COUNT,
    ),
    option(
        "--batch-size",
        "Images in a step, over all devices.",
        default=_RECIPES_OWN,
        example="128",
        type=_COUNT,
    ),
    option(
        "--learning-rate",
        "The first learning rate.",
        default=_RECIPES_OWN,
        example="0.01",
        type=click.FloatRange(min=0, min_open=True),
    ),
    option(
        "--learning-rate-scaling",
        "none, or linear: the rate times --batch-size over the recipe's batch size.",
        default="none",
        example="linear --batch-size 1024",
        type=click.Choice(["none", "linear"]),
        metavar="NAME",
    ),
    option(
        "--warm-up-epochs",
        "Over so many first epochs the rate rises evenly from 0, for large batches.",
        default="the recipe's: 0",
        example="5",
        type=click.FloatRange(min=0),
    ),
    option(
        "--weight-decay",
        "Weight decay inside the velocity, on weights only.",
        default=_RECIPES_OWN,
        example="0.0005",
        type=click.FloatRange(min=0),
    ),
    option(
        "--momentum",
        "Momentum of the velocity.",
        default=_RECIPES_OWN,
        example="0.9",
        type=click.FloatRange(min=0, max=1, max_open=True),
    ),
    option(
        "--dropout",
        "Share of hidden units dropped in training.",
        default=_RECIPES_OWN,
        example="0.5",
        type=click.FloatRange(min=0, max=1, max_open=True),
    ),
    option(
        "--activation",
        f"Activation of every layer but the last: {', '.join(ACTIVATIONS)}.",
        default=_RECIPES_OWN,
        example="tanh",
        type=click.Choice(ACTIVATIONS),
        metavar="NAME",
    ),
    option(
        "--norm",
        "Normalization where the network has one: lrn (the paper's), batch or none.",
        default=_RECIPES_OWN,
        example="batch",
        type=click.Choice(NORMS),
        metavar="NAME",
    ),
    option(
        "--pooling",
        "Pooling: overlapping (largest of 3x3, every 2), plain (largest of 2x2) or average (of "
        "2x2).",
        default=_RECIPES_OWN,
        example="plain",
        type=click.Choice(POOLINGS),
        metavar="NAME",
    ),
    option(
        "--weights",
        "Start from a trained model, a .keras file or a run's folder: its network and its weights; "
        "for other classes a new classifier with ten times the rate of the other layers.",
        default="none: --init",
        example="caffe.keras",
        type=UserPath(exists=True),
    ),
    option(
        "--freeze",
        "Layers of --weights that are not to move, with commas.",
        default="none",
        example="conv1,conv2",
        metavar="NAMES",
    ),
    option(
        "--init",
        f"First weights: {', '.join(INITS)}.",
        default=_RECIPES_OWN,
        example="stable",
        type=click.Choice(INITS),
        metavar="NAME",
    ),
    option(
        "--seed",
        "Seed of everything random: weights, order, crops, dropout.",
        default="0",
        example="1",
        type=click.IntRange(min=0, max=2**31 - 1),
    ),
    option(
        "--seeds",
        "Train a run for each of these seeds, one after another, into RUN-DIR/seed-1 and so on; "
        "evaluate --run RUN-DIR averages them.",
        default="none: one run",
        example="1,2,3",
        metavar="NUMBERS",
    ),
    option(
        "--precision",
        "auto, float32, bfloat16 or float16 (saved models are float32 all the same).",
        default="auto: bfloat16, or else float16, where the hardware is faster in it",
        example="float32",
        type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
        metavar="NAME",
    ),
    option(
        "--strategy",
        "Devices together: auto, single, mirrored (one machine) or multiworker (TF_CONFIG).",
        default="auto",
        example="mirrored",
        type=click.Choice(["auto", "single", "mirrored", "multiworker"]),
        metavar="NAME",
    ),
    option(
        "--devices",
        "GPUs by number, with commas; without a GPU, how many logical CPU devices to make.",
        default="all GPUs, or one CPU",
        example="0,1",
        metavar="NUMBERS",
    ),
    option(
        "--parallelism",
        "What devices divide: data (the batch), or towers (the network's two, as in the paper).",
        default="data",
        example="towers --devices 0,1",
        type=click.Choice(["data", "towers"]),
        metavar="NAME",
    ),
    option(
        "--workers",
        "Try several machines on this one: so many processes that train together.",
        default="this process alone",
        example="2",
        type=click.IntRange(min=1),
    ),
    option(
        "--run-dir",
        "The run's folder itself; must be new or empty, or come with --resume.",
        default="saved_models/RECIPE-TIME",
        example="saved_models/first",
        type=UserPath(file_okay=False),
    ),
    option(
        "--resume",
        "Go on with the run in --run-dir, or the newest one, where it was stopped.",
        default="off",
        example="--run-dir saved_models/first",
        is_flag=True,
    ),
    option(
        "--limit-train",
        "Use this many training images only, for a quick try.",
        default="all",
        example="1000",
        type=_COUNT,
    ),
    option(
        "--limit-val",
        "Use this many validation images only.",
        default="all",
        example="200",
        type=_COUNT,
    ),
    option(
        "--class-weights",
        "none, or balanced: every class counts for as much in the loss, however few its images.",
        default="none",
        example="balanced",
        type=click.Choice(["none", "balanced"]),
        metavar="NAME",
    ),
    click.option(
        "--prepare/--no-prepare",
        default=None,  # three-valued, unlike the other flags
        help="Have a folder of images prepared first, into prepared/, and train on that.  "
        "[default: asked, where there is someone to ask; e.g. --prepare]",
    ),
    option(
        "--checkpoint-every",
        "Save inside an epoch, too, after so many updates (500) or minutes (10m).",
        default="10m",
        example="500",
        metavar="N|Nm",
    ),
    option(
        "--tensorboard",
        "Write curves, kernels, histograms, inputs, the graph and a profile for TensorBoard.",
        default="off",
        example="",
        is_flag=True,
    ),
    option("--quiet", "Print nothing but errors.", default="off", example="", is_flag=True),
)


def train_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a click command the options of `train`."""
    for decorator in reversed(_OPTIONS):
        function = decorator(function)
    return function
