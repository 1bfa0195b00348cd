"""`runs`: lists the runs with their results and sizes, and removes one."""

import shutil
import sys
from pathlib import Path
from typing import Any

import click
import filelock

from alexnet_tf.commands.options import FOLDER, UserPath, echo_json, flag, json_option, option
from alexnet_tf.errors import InputError
from alexnet_tf.files import folder_bytes, format_megabytes, printable
from alexnet_tf.runs import (
    CHECKPOINTS,
    LOCK,
    SAVED_MODELS,
    epochs_done,
    is_run,
    read_run,
    runs_by_age,
)
from alexnet_tf.system import command_name

_EXAMPLES = """\b
Examples:
  python cli.py runs
  python cli.py runs --remove saved_models/first"""


@click.command(epilog=_EXAMPLES, short_help="List the runs, their results and their sizes.")
@option(
    "--folder",
    "The folder whose runs are listed.",
    default=SAVED_MODELS,
    example="/data/runs",
    type=FOLDER,
)
@option(
    "--remove",
    "Delete this run's folder, with its models and checkpoints.",
    default="none",
    example="saved_models/first",
    type=UserPath(),
    metavar="RUN",
)
@flag("--yes", "Delete without confirmation.")
@json_option()
def command(folder: str | None, remove: str | None, yes: bool, as_json: bool) -> None:
    """List the runs, newest first: data, recipe, epochs, error and size on disk.

    With --remove, delete a run. A run that is being trained is not deleted.
    """
    if remove is not None:
        _remove(Path(remove), yes)
        return
    root = Path(folder or SAVED_MODELS)
    rows = [_describe(path) for path in runs_by_age(root)]
    if as_json:
        echo_json({"runs": rows})
    else:
        _show(root, rows)


def _describe(path: Path) -> dict[str, Any]:
    """Returns what the table shows about a run; "problem" for a run that cannot be read."""
    size = {
        "run": str(path),
        "bytes": folder_bytes(path),
        "checkpoint_bytes": folder_bytes(path / CHECKPOINTS),
    }
    try:
        record = read_run(path)
        done = epochs_done(path)
    except InputError as error:
        return {**size, "problem": str(error)}
    return {
        **size,
        "dataset": record.dataset.name,
        "recipe": record.recipe.name,
        "started": record.started,
        "is_finished": record.finished is not None,
        "epochs_done": done,
        "epochs": record.epochs,
        "validation_top1_error": record.best.validation_top1_error if record.best else None,
    }


def _show(root: Path, rows: list[dict[str, Any]]) -> None:
    """Prints the table."""
    from alexnet_tf.console import Column, Console

    console = Console()
    if not rows:
        console.message(f"no run under {root}/: train one first (`{command_name()} train`)")
        return
    numbers = (Column(title, is_number=True) for title in ("epochs", "error", "size"))
    columns: list[Column | str] = ["run", "data", "recipe", *numbers]
    cells = []
    for row in rows:
        name, size = str(Path(row["run"]).relative_to(root)), format_megabytes(row["bytes"])
        if "problem" in row:
            cells.append([name, "cannot be read", "", "", "", size])
            continue
        error = row["validation_top1_error"]
        cells.append(
            [
                name,
                Path(row["dataset"]).name,
                row["recipe"],
                f"{row['epochs_done']}/{row['epochs']}",
                "" if error is None else f"{error:.2%}",
                size,
            ]
        )
    total = format_megabytes(sum(row["bytes"] for row in rows))
    console.table(columns, cells, footer=["all", "", "", "", "", total])
    for row in rows:
        if "problem" in row:
            console.message(row["problem"])
    unfinished = [row for row in rows if not row.get("is_finished", True)]
    if unfinished:
        console.message(
            f"unfinished: {len(unfinished)}; continue one:\n"
            f"  {command_name()} train --resume --run-dir {unfinished[0]['run']}"
        )


def _remove(path: Path, is_confirmed: bool) -> None:
    """Deletes a run.

    Raises:
      InputError: The folder is not a run folder, the run is being trained, or there is no
        terminal to confirm at.
    """
    if not is_run(path):
        raise InputError(f"--remove {path}: not a run folder (run.json not found)")
    if not is_confirmed and not sys.stdin.isatty():
        raise InputError(f"--remove {path}: add --yes to delete without confirmation")
    size = format_megabytes(folder_bytes(path))
    try:
        lock = filelock.FileLock(path / LOCK).acquire(blocking=False)
    except filelock.Timeout:
        raise InputError(f"--remove {path}: the run is being trained; stop it first") from None
    with lock:
        if not is_confirmed:
            click.confirm(f"delete {printable(str(path))} ({size})?", abort=True, err=True)
        # Hidden first: a deletion that is interrupted leaves no half of a run. The next one of the
        # same name removes what is left.
        hidden = path.with_name(f".{path.name}.deleting")
        shutil.rmtree(hidden, ignore_errors=True)
        shutil.rmtree(path.rename(hidden))
    click.echo(f"deleted {printable(str(path))} ({size})")
