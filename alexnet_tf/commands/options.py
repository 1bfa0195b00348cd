"""Options of several commands, and the form of an option: help, default, example."""

import itertools
import os
import sys
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any

import click

from alexnet_tf.errors import InputError
from alexnet_tf.files import NO_ADDRESSES, STORAGE, is_address, to_json
from alexnet_tf.recipes import RECIPES

if TYPE_CHECKING:
    from alexnet_tf.console import Console, ProgressReporter
    from alexnet_tf.runs import ModelSource

_CLASSES_WIDTH = 60  # characters of class names in a line

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class UserPath(click.Path):
    """A local path on the command line."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Returns the path.

        Raises:
          click.BadParameter: It is empty (which would mean the working folder), is an address such
            as gs://bucket/run, or does not meet the conditions of `click.Path`.
        """
        if not os.fspath(value):
            self.fail("the path is empty: is a shell variable unset?", param, ctx)
        if is_address(os.fspath(value)):
            self.fail(f"{os.fspath(value)}: {NO_ADDRESSES}", param, ctx)
        return super().convert(value, param, ctx)


class DataDir(UserPath):
    """TFDS's data folder: a local one, or one in cloud storage."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Returns the folder; raises click.BadParameter as `UserPath` does."""
        if os.fspath(value).startswith(STORAGE):
            return value
        return super().convert(value, param, ctx)


class DataSetName(click.ParamType):
    """A data set's name or local path."""

    name = "name|path"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the name or path.

        Raises:
          click.BadParameter: It is empty, or is an address such as gs://bucket/photos.
        """
        if not value:
            self.fail("the name is empty: is a shell variable unset?", param, ctx)
        if is_address(value):
            self.fail(f"{value}: {NO_ADDRESSES}", param, ctx)
        return value


COUNT = click.IntRange(min=1)
FILE = UserPath(dir_okay=False)
FOLDER = UserPath(file_okay=False)


def option(
    name: str,
    help_text: str,
    *,
    default: str,
    example: str,
    choices: Sequence[str] = (),
    **settings: Any,
) -> Decorator:
    """Returns a click option whose help ends in its default and an example.

    Args:
      name: "--epochs".
      help_text: What it does, one sentence.
      default: The default in words: "the recipe's".
      example: A value, or "" for a flag.
      choices: All allowed values, or () for any.
      **settings: Arguments of `click.option`.
    """
    if choices:
        settings = {"type": click.Choice(choices), "metavar": "NAME", **settings}
    shown = f"{name} {example}".strip()
    text = f"{help_text}  [default: {default}; e.g. {shown}]"
    return click.option(name, help=text, **settings)


def flag(name: str, help_text: str, default: str = "off") -> Decorator:
    """Returns a click option without a value."""
    return option(name, help_text, default=default, example="", is_flag=True)


def recipe_option(
    default: str, help_text: str = "Network and training", example: str = "cifar10"
) -> Decorator:
    """Returns the option --recipe; the value is checked by `get_recipe`."""
    text = f"{help_text}: one of {', '.join(RECIPES)}."
    return option("--recipe", text, default=default, example=example, metavar="NAME")


def json_option() -> Decorator:
    """Returns the flag --json, as the argument `as_json`."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="Print exactly one JSON object on stdout.  [default: off; e.g. --json]",
    )


def csv_option(help_text: str) -> Decorator:
    """Returns the option --csv."""
    return option(
        "--csv",
        help_text,
        default="none",
        example="predictions.csv",
        type=UserPath(dir_okay=False, allow_dash=True),
        metavar="FILE",
    )


def picture_option(help_text: str, example: str, default: str = "none") -> Decorator:
    """Returns the option --picture."""
    return option("--picture", help_text, default=default, example=example, type=FILE)


def csv_target(csv: str | None, as_json: bool) -> str | IO[str] | None:
    """Returns where the rows of --csv go: a file, stdout for "-", or None.

    Raises:
      InputError: --csv - and --json would both write to stdout.
    """
    if csv != "-":
        return csv
    if as_json:
        raise InputError("--csv - and --json both write to stdout: give --csv a file")
    return sys.stdout


def echo_json(values: Any) -> None:
    """Prints values as one line of strict JSON, escaped where stdout cannot encode them."""
    click.echo(to_json(values, encoding=getattr(sys.stdout, "encoding", None) or "utf-8"))


def run_option(
    help_text: str = "The run's folder.",
    default: str = "the newest under saved_models/ that has a model",
    **settings: Any,
) -> Decorator:
    """Returns the option --run; a model file is accepted, too."""
    settings |= {"default": default, "example": "saved_models/first", "type": UserPath()}
    return option("--run", help_text, **settings)


def model_option(
    help_text: str = "A .keras file in place of a run.",
    default: str = "the run's best",
    example: str = "caffe.keras",
    **settings: Any,
) -> Decorator:
    """Returns the option --model; a run folder is accepted, too."""
    settings |= {"default": default, "example": example, "type": UserPath()}
    return option("--model", help_text, **settings)


def data_dir_option(
    help_text: str = "Folder of prepared TFDS data sets; also gs://BUCKET/... and s3://BUCKET/...",
    default: str = "the run's own",
) -> Decorator:
    """Returns the option --data-dir."""
    return option(
        "--data-dir",
        help_text,
        default=default,
        example="/data/tfds",
        type=DataDir(file_okay=False),
    )


def split_option(
    help_text: str = "train, validation (also a held-out part of train) or test.",
    default: str = "the split that the run was validated on",
) -> Decorator:
    """Returns the option --split."""
    return option(
        "--split",
        help_text,
        default=default,
        example="test",
        choices=("train", "validation", "test"),
    )


def crops_option() -> Decorator:
    """Returns the option --batch-size of commands that evaluate."""
    return option(
        "--batch-size",
        "Crops per step.",
        default="128, or the split's size if smaller",
        example="32",
        type=COUNT,
    )


def report_model(
    source: "ModelSource",
    class_names: Sequence[str],
    console: "Console",
    reporter: "ProgressReporter",
) -> None:
    """Prints which model a command uses, and its classes, above the results.

    Args:
      source: The model.
      class_names: The names of its classes.
      console: Where the results go; a quiet one prints nothing.
      reporter: Where notes on the choice of the model go.
    """
    report_notes(source, reporter)
    trained_on = "" if source.dataset is None else f", trained on {source.dataset}"
    console.message(f"model: {source.path}{trained_on}")
    shown = list(itertools.accumulate(class_names, "{}, {}".format))
    fitting = [text for text in shown if len(text) <= _CLASSES_WIDTH] or [class_names[0]]
    more = ", ..." if len(fitting) < len(class_names) else ""
    console.message(f"{len(class_names):,} classes: {fitting[-1]}{more}")


def report_notes(source: "ModelSource", reporter: "ProgressReporter") -> None:
    """Prints what the user should know about the choice of a model."""
    for note in source.notes:
        reporter.warn(note)
