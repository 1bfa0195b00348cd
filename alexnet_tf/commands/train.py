"""`train`: teach a network a data set."""

import sys
from typing import Any

import click

from alexnet_tf.commands.options import option, recipe_option
from alexnet_tf.commands.preparing import is_raw_folder, prepare_source
from alexnet_tf.errors import InputError
from alexnet_tf.runs import has_seeds, newest_run
from alexnet_tf.settings import ACTIVATIONS, INITS, NETWORK_OVERRIDES, NORMS, POOLINGS

_OVERRIDES = (
    "epochs",
    "batch_size",
    "learning_rate",
    "warm_up_epochs",
    "weight_decay",
    "momentum",
    "init",
    *NETWORK_OVERRIDES,
)
_COUNT = click.IntRange(min=1)
_RECIPES_OWN = "the recipe's"
_EXAMPLES = """\b
Examples:
  python cli.py train
  python cli.py train --dataset cifar10 --data-dir /data/tfds --epochs 8
  python cli.py train --dataset photos/ --recipe photos"""


@click.command(epilog=_EXAMPLES, short_help="Train a network on a data set.")
@option(
    "--dataset",
    "What to learn: shapes (built in), a TFDS name, or a folder with train/CLASS/* and "
    "val/CLASS/*, or with class folders alone.",
    default="shapes",
    example="cifar10",
    metavar="NAME|PATH",
)
@option(
    "--data-dir",
    "Folder of prepared TFDS data sets; what is missing there is downloaded to it.",
    default="TFDS's own, ~/tensorflow_datasets",
    example="/data/tfds",
    type=click.Path(file_okay=False),
)
@recipe_option("the data set's own, or photos")
@option(
    "--epochs",
    "Passes over the training set.",
    default=_RECIPES_OWN,
    example="3",
    type=_COUNT,
)
@option(
    "--batch-size",
    "Images in a step, over all devices.",
    default=_RECIPES_OWN,
    example="128",
    type=_COUNT,
)
@option(
    "--learning-rate",
    "The first learning rate.",
    default=_RECIPES_OWN,
    example="0.01",
    type=click.FloatRange(min=0, min_open=True),
)
@option(
    "--learning-rate-scaling",
    "none, or linear: the rate times --batch-size over the recipe's batch size.",
    default="none",
    example="linear --batch-size 1024",
    type=click.Choice(["none", "linear"]),
    metavar="NAME",
)
@option(
    "--warm-up-epochs",
    "Over so many first epochs the rate rises evenly from 0, for large batches.",
    default="the recipe's: 0",
    example="5",
    type=click.FloatRange(min=0),
)
@option(
    "--weight-decay",
    "Weight decay inside the velocity, on weights only.",
    default=_RECIPES_OWN,
    example="0.0005",
    type=click.FloatRange(min=0),
)
@option(
    "--momentum",
    "Momentum of the velocity.",
    default=_RECIPES_OWN,
    example="0.9",
    type=click.FloatRange(min=0, max=1, max_open=True),
)
@option(
    "--dropout",
    "Share of hidden units dropped in training.",
    default=_RECIPES_OWN,
    example="0.5",
    type=click.FloatRange(min=0, max=1, max_open=True),
)
@option(
    "--activation",
    f"Activation of every layer but the last: {', '.join(ACTIVATIONS)}.",
    default=_RECIPES_OWN,
    example="tanh",
    type=click.Choice(ACTIVATIONS),
    metavar="NAME",
)
@option(
    "--norm",
    "Normalization where the network has one: lrn (the paper's), batch or none.",
    default=_RECIPES_OWN,
    example="batch",
    type=click.Choice(NORMS),
    metavar="NAME",
)
@option(
    "--pooling",
    "Pooling: overlapping (largest of 3x3, every 2), plain (largest of 2x2) or average (of 2x2).",
    default=_RECIPES_OWN,
    example="plain",
    type=click.Choice(POOLINGS),
    metavar="NAME",
)
@option(
    "--weights",
    "Start from a trained model, a .keras file or a run's folder: its network, its weights, but a "
    "new classifier with ten times the rate of the other layers.",
    default="none: --init",
    example="caffe.keras",
    type=click.Path(exists=True),
)
@option(
    "--freeze",
    "Layers of --weights that are not to move, with commas.",
    default="none",
    example="conv1,conv2",
    metavar="NAMES",
)
@option(
    "--init",
    f"First weights: {', '.join(INITS)}.",
    default=_RECIPES_OWN,
    example="stable",
    type=click.Choice(INITS),
    metavar="NAME",
)
@option(
    "--seed",
    "Seed of everything random: weights, order, crops, dropout.",
    default="0",
    example="1",
    type=click.IntRange(min=0, max=2**31 - 1),
)
@option(
    "--seeds",
    "Train a run for each of these seeds, one after another, into RUN-DIR/seed-1 and so on; "
    "evaluate --run RUN-DIR averages them.",
    default="none: one run",
    example="1,2,3",
    metavar="NUMBERS",
)
@option(
    "--precision",
    "auto, float32 or bfloat16 (saved models are float32 all the same).",
    default="auto: bfloat16 where the hardware has it",
    example="float32",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    metavar="NAME",
)
@option(
    "--strategy",
    "Devices together: auto, single, mirrored (one machine) or multiworker (TF_CONFIG).",
    default="auto",
    example="mirrored",
    type=click.Choice(["auto", "single", "mirrored", "multiworker"]),
    metavar="NAME",
)
@option(
    "--devices",
    "GPUs by number, with commas; without a GPU, how many logical CPU devices to make.",
    default="all GPUs, or one CPU",
    example="0,1",
    metavar="NUMBERS",
)
@option(
    "--parallelism",
    "What devices divide: data (the batch), or towers (the network's two, as in the paper).",
    default="data",
    example="towers --devices 0,1",
    type=click.Choice(["data", "towers"]),
    metavar="NAME",
)
@option(
    "--workers",
    "Try several machines on this one: so many processes that train together.",
    default="this process alone",
    example="2",
    type=click.IntRange(min=1),
)
@option(
    "--run-dir",
    "The run's folder itself; must be new or empty, or come with --resume.",
    default="saved_models/RECIPE-TIME",
    example="saved_models/first",
    type=click.Path(file_okay=False),
)
@option(
    "--resume",
    "Go on with the run in --run-dir where it was stopped.",
    default="off",
    example="--run-dir saved_models/first",
    is_flag=True,
)
@option(
    "--limit-train",
    "Use this many training images only, for a quick try.",
    default="all",
    example="1000",
    type=_COUNT,
)
@option(
    "--limit-val",
    "Use this many validation images only.",
    default="all",
    example="200",
    type=_COUNT,
)
@option(
    "--class-weights",
    "none, or balanced: every class counts for as much in the loss, however few its images.",
    default="none",
    example="balanced",
    type=click.Choice(["none", "balanced"]),
    metavar="NAME",
)
@click.option(
    "--prepare/--no-prepare",
    default=None,  # three-valued, unlike the other flags
    help="Have a folder of images prepared first, into prepared/, and train on that.  "
    "[default: asked, where there is someone to ask; e.g. --prepare]",
)
@option(
    "--checkpoint-every",
    "Also save inside an epoch, after so many updates (500) or minutes (10m).",
    default="after each epoch",
    example="10m",
    metavar="N|Nm",
)
@option(
    "--tensorboard",
    "Write curves for TensorBoard into the run's folder.",
    default="off",
    example="",
    is_flag=True,
)
@option("--quiet", "Print nothing but errors.", default="off", example="", is_flag=True)
def command(**options: Any) -> None:
    """Train a network on a data set.

    With no option: a small AlexNet on the built-in data set, in under three minutes on two cores.
    The model, its curves and all that was used land in a folder under saved_models/.
    """
    check(options)
    if options["freeze"]:
        options["freeze"] = tuple(name.strip() for name in options["freeze"].split(","))
    options["seeds"] = _seeds(options)
    prepare, given = options.pop("prepare"), []
    if not options["resume"] and is_raw_folder(options["dataset"]):
        options["dataset"] = _prepared(options["dataset"], prepare, bool(options["quiet"]))
        given = [
            "--dataset",
            options["dataset"],
            "--no-prepare",
        ]  # for the workers; the last counts
    workers = options.pop("workers")
    if workers is not None:
        from alexnet_tf.training.cluster import run_local_cluster

        sys.exit(run_local_cluster(_without_workers(sys.argv[1:]) + given, workers))
    from alexnet_tf.quiet import import_tensorflow

    import_tensorflow(start_devices=False)  # the strategy is set up first
    # What was not given is left to `train`. A 0 is given: only None and a flag's False are not.
    asked = {n: value for n, value in options.items() if value is not None and value is not False}
    if "seeds" in asked:
        from alexnet_tf.training.seeds import train_seeds

        train_seeds(**asked)
        return
    from alexnet_tf.training.train import train

    train(**asked)


def _seeds(options: dict[str, Any]) -> tuple[int, ...] | None:
    """Returns the seeds to train one after another: () for those of the folder to go on with.

    Raises:
      InputError: They are no numbers, or something else was given that they do not go with.
    """
    folder, text = options["run_dir"], options["seeds"]
    if options["resume"] and folder is None and text is None:
        parent = newest_run().parent
        folder = options["run_dir"] = str(parent) if has_seeds(parent) else None
    if text is None and not (options["resume"] and folder is not None and has_seeds(folder)):
        return None
    for other in ("seed", "workers"):
        if options[other] is not None:
            raise InputError(f"--seeds trains run after run on one machine: leave out --{other}")
    try:
        return () if text is None else tuple(int(number) for number in text.split(","))
    except ValueError:
        raise InputError(f"--seeds takes numbers with commas, as 1,2,3. Received: {text}") from None


def _prepared(folder: str, wanted: bool | None, quiet: bool) -> str:
    """Returns the prepared folder to train on, or the folder itself if it is not to be."""
    if wanted is None:
        wanted = (
            not quiet
            and sys.stdin.isatty()
            and sys.stderr.isatty()
            and click.confirm(
                f"{folder} is not prepared: damaged files stay damaged, and every epoch decodes "
                "and rescales each image. Prepare it now, once, into prepared/?",
                err=True,
            )
        )
    if not wanted:
        return folder
    from alexnet_tf.quiet import import_tensorflow

    import_tensorflow(start_devices=False)
    return str(prepare_source(folder, quiet=quiet).folder)


def _without_workers(arguments: list[str]) -> list[str]:
    """Returns the command line's words without --workers and its value."""
    kept, words = [], iter(arguments)
    for word in words:
        if word == "--workers":
            next(words)
        elif not word.startswith("--workers="):
            kept.append(word)
    return kept


def check(options: dict[str, Any]) -> None:
    """Checks what needs no TensorFlow, so that a slip is told at once.

    Args:
      options: The options' values by argument name, None where not given.

    Raises:
      InputError: Something cannot be used.
    """
    from pathlib import Path

    from alexnet_tf.recipes import get_recipe, recipe_for

    if options["recipe"] is not None:
        recipe = get_recipe(options["recipe"])
    else:
        recipe = recipe_for(options["dataset"] or "shapes")
    recipe.replace(**{name: options[name] for name in _OVERRIDES if options[name] is not None})
    if options["freeze"] and not options["weights"]:
        raise InputError("--freeze needs --weights: layers that have learned nothing must move")
    folder = options["run_dir"]
    from alexnet_tf.runs import is_free
    from alexnet_tf.training.cluster import worker_index

    begins = folder is not None and not options["resume"] and worker_index() == 0
    if begins and not is_free(Path(folder)):
        raise InputError(
            f"the run folder {folder} is not empty: name a new one, or add --resume to go on "
            "with the run in it"
        )
