"""`evaluate`: judge a run's model, or several together."""

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alexnet_tf.commands.options import (
    DataSetName,
    crops_option,
    data_dir_option,
    json_option,
    model_option,
    option,
    run_option,
    split_option,
)
from alexnet_tf.runs import has_seeds, is_run, newest_run, read_run, read_seeds, seed_folder

if TYPE_CHECKING:
    from rich.table import Table

    from alexnet_tf.evaluation.ensemble_report import EnsembleEvaluation
    from alexnet_tf.evaluation.report import Errors, Evaluation

_EXAMPLES = """\b
Examples:
  python cli.py evaluate
  python cli.py evaluate --ten-crop --split test
  python cli.py evaluate --run saved_models/first --json
  python cli.py evaluate --run saved_models/first --run saved_models/second
  python cli.py evaluate --model caffe.keras --dataset imagenet2012"""


@click.command(epilog=_EXAMPLES, short_help="Judge a trained network: top-1 and top-5 error.")
@run_option(
    "The run's folder. Given several times, or as a folder that train --seeds made: each network "
    "alone, and their predictions averaged.",
    multiple=True,
)
@model_option(
    "A .keras file in place of a run or beside it, such as import-weights writes; without a run it "
    "needs --dataset.",
    multiple=True,
)
@option(
    "--dataset",
    "What to judge it on: a TFDS name or a folder, with the model's classes.",
    default="the run's own",
    example="photos/",
    type=DataSetName(),
    metavar="NAME|PATH",
)
@data_dir_option()
@split_option()
@crops_option()
@option(
    "--ten-crop",
    "Also average over ten crops: corners, center, and their reflections.",
    default="off",
    example="",
    is_flag=True,
)
@json_option()
def command(
    run: Sequence[str],
    model: Sequence[str],
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
    members = [*run, *model] or [str(newest_run())]
    for folder in run or members[: not model]:
        _check_run(folder)  # tells a wrong folder before TensorFlow loads
    from alexnet_tf.system import import_tensorflow

    import_tensorflow()
    from rich.console import Console

    from alexnet_tf.evaluation.ensemble import evaluate_ensemble
    from alexnet_tf.evaluation.evaluate import evaluate
    from alexnet_tf.training.reporting import Screen

    options: dict[str, Any] = {
        "dataset": dataset,
        "data_dir": data_dir,
        "split": split,
        "batch_size": batch_size,
        "ten_crop": ten_crop,
    }
    found: EnsembleEvaluation | Evaluation
    with (
        # Preparing a data set prints to stdout, where the result alone belongs.
        contextlib.redirect_stdout(sys.stderr),
        Screen().counting("evaluating") as on_progress,
    ):
        if len(members) > 1 or _is_series(members[0]):
            found = evaluate_ensemble(members, on_progress=on_progress, **options)
            whole, tables = found.ensemble, [_ensemble_table(found, c) for c in found.crops]
        else:
            (member,) = members
            given: dict[str, Any] = {"model": member} if model else {"run": member}
            found = whole = evaluate(**given, on_progress=on_progress, **options)
            tables = [_table(found)]
    for name, reason in whole.left_out:
        click.echo(f"left out: {name}: {reason}", err=True)
    if as_json:
        click.echo(json.dumps(found.to_json()))
        return
    click.echo(f"{whole.model} on {whole.dataset}, {whole.split} images")
    for number, member in enumerate(getattr(found, "members", ()), 1):
        click.echo(f"  {number}: {member.model}")
    for table in tables:
        Console().print(table)


def _is_series(folder: str) -> bool:
    """Returns whether a folder is not a run, but holds the runs of `train --seeds`."""
    return has_seeds(folder) and not is_run(Path(folder))


def _check_run(folder: str) -> None:
    """Raises InputError if a folder is neither a run nor one of runs by seeds."""
    if not _is_series(folder):
        read_run(folder)
        return
    for seed in read_seeds(folder)["seeds"]:
        read_run(seed_folder(folder, seed))


def _ensemble_table(found: "EnsembleEvaluation", crop: str) -> "Table":
    """Returns the errors of each network, of their average, and what that gains."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)  # lines between the columns would not fit in 80 letters
    table.add_column({"center_crop": "center crop", "ten_crop": "ten crops"}[crop])
    for name in ("top-1 error", "top-5 error", "loss"):
        table.add_column(name, justify="right", no_wrap=True)

    def add(name: str, errors: "Errors") -> None:
        shares = ((errors.top1_errors, errors.examples), (errors.top5_errors, errors.examples))
        table.add_row(name, *(_share(*share) for share in shares), f"{errors.loss:.4f}")

    for number, member in enumerate(found.members, 1):
        add(str(number), getattr(member, crop))
    table.add_section()
    add(found.ensemble.model, getattr(found.ensemble, crop))
    top1, top5 = found.gain(crop, "top1_error"), found.gain(crop, "top5_error")
    for name, gains in (
        ("gain over best", (top1.over_best, top5.over_best)),
        ("gain over mean", (top1.over_mean, top5.over_mean)),
    ):
        table.add_row(name, *(f"{100 * gain:+.2f} points" for gain in gains))
    return table


def _table(evaluation: "Evaluation") -> "Table":
    """Returns the errors as a table: center crop beside ten crops."""
    from rich.table import Table

    table = Table()
    table.add_column("")
    kinds = [("center crop", evaluation.center_crop), ("ten crops", evaluation.ten_crop)]
    judged = [(name, errors) for name, errors in kinds if errors is not None]
    for name, _ in judged:
        table.add_column(name, justify="right")
    table.add_row("top-1 error", *(_share(e.top1_errors, e.examples) for _, e in judged))
    table.add_row("  95% interval", *(_between(*e.top1_interval) for _, e in judged))
    table.add_row("top-5 error", *(_share(e.top5_errors, e.examples) for _, e in judged))
    table.add_row("  95% interval", *(_between(*e.top5_interval) for _, e in judged))
    table.add_row("loss", *(f"{e.loss:.4f}" for _, e in judged))
    return table


def _share(errors: int, examples: int) -> str:
    """Returns an error as a percentage with the counts behind it."""
    return f"{100 * errors / examples:.2f}% ({errors:,} of {examples:,})"


def _between(low: float, high: float) -> str:
    """Returns an interval in percent."""
    return f"{low:.2%} to {high:.2%}"
