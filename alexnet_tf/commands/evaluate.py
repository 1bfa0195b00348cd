"""`evaluate`: judge a run's model."""

import contextlib
import json
import sys
from typing import TYPE_CHECKING

import click

from alexnet_tf.commands.options import json_option, option
from alexnet_tf.runs import newest_run, read_run

if TYPE_CHECKING:
    from rich.table import Table

    from alexnet_tf.evaluation.report import Evaluation
_EXAMPLES = """\b
Examples:
  python cli.py evaluate
  python cli.py evaluate --ten-crop --split test
  python cli.py evaluate --run saved_models/first --json
  python cli.py evaluate --model caffe.keras --dataset imagenet2012"""


@click.command(epilog=_EXAMPLES, short_help="Judge a trained network: top-1 and top-5 error.")
@option(
    "--run",
    "The run's folder.",
    default="the newest under saved_models/",
    example="saved_models/first",
    type=click.Path(file_okay=False),
)
@option(
    "--model",
    "A .keras file in place of a run, such as import-weights writes; needs --dataset.",
    default="the run's best",
    example="caffe.keras",
    type=click.Path(dir_okay=False),
)
@option(
    "--dataset",
    "What to judge it on: a TFDS name or a folder, with the model's classes.",
    default="the run's own",
    example="photos/",
    metavar="NAME|PATH",
)
@option(
    "--data-dir",
    "Folder of prepared TFDS data sets.",
    default="the run's own",
    example="/data/tfds",
    type=click.Path(file_okay=False),
)
@option(
    "--split",
    "train, validation (also where it was held out from train) or test.",
    default="the one that the run was watched on",
    example="test",
    type=click.Choice(["train", "validation", "test"]),
    metavar="NAME",
)
@option(
    "--batch-size",
    "Crops in a step.",
    default="128, or the split's size if smaller",
    example="32",
    type=click.IntRange(min=1),
)
@option(
    "--ten-crop",
    "Also average over ten crops: corners, centre, and their reflections.",
    default="off",
    example="",
    is_flag=True,
)
@json_option()
def command(
    run: str | None,
    model: str | None,
    dataset: str | None,
    data_dir: str | None,
    split: str | None,
    batch_size: int | None,
    ten_crop: bool,
    as_json: bool,
) -> None:
    """Judge a trained network by its top-1 and top-5 error, with the counts behind them.

    With no option: the newest run under saved_models/ on its own validation set.
    """
    folder = run or (newest_run() if model is None else None)
    if folder is not None:
        read_run(folder)  # tells a wrong folder before TensorFlow loads
    from alexnet_tf.quiet import import_tensorflow

    import_tensorflow()
    from rich.console import Console

    from alexnet_tf.evaluation.evaluate import evaluate
    from alexnet_tf.training.reporting import Screen

    with (
        # Preparing a data set prints to stdout, where the result alone belongs.
        contextlib.redirect_stdout(sys.stderr),
        Screen().counting("evaluating") as on_progress,
    ):
        evaluation = evaluate(
            folder,
            model=model,
            dataset=dataset,
            data_dir=data_dir,
            split=split,
            batch_size=batch_size,
            ten_crop=ten_crop,
            on_progress=on_progress,
        )
    for name, reason in evaluation.left_out:
        click.echo(f"left out: {name}: {reason}", err=True)
    if as_json:
        click.echo(json.dumps(evaluation.to_json()))
        return
    click.echo(f"{evaluation.model} on {evaluation.dataset}, {evaluation.split} images")
    Console().print(_table(evaluation))


def _table(evaluation: "Evaluation") -> "Table":
    """Returns the errors as a table: centre crop beside ten crops."""
    from rich.table import Table

    table = Table()
    table.add_column("")
    kinds = [("centre crop", evaluation.centre_crop), ("ten crops", evaluation.ten_crop)]
    judged = [(name, errors) for name, errors in kinds if errors is not None]
    for name, _ in judged:
        table.add_column(name, justify="right")
    table.add_row("top-1 error", *(_share(e.top1_errors, e.examples) for _, e in judged))
    table.add_row("top-5 error", *(_share(e.top5_errors, e.examples) for _, e in judged))
    table.add_row("loss", *(f"{e.loss:.4f}" for _, e in judged))
    return table


def _share(errors: int, examples: int) -> str:
    """Returns an error as a percentage with the counts behind it."""
    return f"{100 * errors / examples:.2f}% ({errors:,} of {examples:,})"
