"""The options' one form: what it does, its default, an example."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from alexnet_tf.recipes import RECIPES

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class UserPath(click.Path):
    """A path on the command line, which has a name.

    An empty one, as an unset shell variable leaves it, would be the working folder.
    """

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Returns the path.

        Raises:
          click.BadParameter: It is empty, or is not what `click.Path` was told to take.
        """
        if not os.fspath(value):
            self.fail("the path is empty: is a shell variable unset?", param, ctx)
        return super().convert(value, param, ctx)


class DataSetName(click.ParamType):
    """A data set's name or path, as a user types it; an empty one would be taken for none."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the name.

        Raises:
          click.BadParameter: It is empty.
        """
        if not value:
            self.fail("the name is empty: is a shell variable unset?", param, ctx)
        return value


def option(name: str, help_text: str, *, default: str, example: str, **settings: Any) -> Decorator:
    """Returns a click option whose help ends in its default and an example.

    Args:
      name: "--epochs".
      help_text: What it does, one sentence.
      default: The default as the user is told it: "the recipe's".
      example: A value, or "" for a flag that takes none.
      **settings: What `click.option` takes.

    Returns:
      The decorator.
    """
    shown = f"{name} {example}".strip()
    text = f"{help_text}  [default: {default}; e.g. {shown}]"
    return click.option(name, help=text, **settings)


def recipe_option(default: str) -> Decorator:
    """Returns the option --recipe; the value is checked by `get_recipe`."""
    return option(
        "--recipe",
        f"Network and training: one of {', '.join(RECIPES)}.",
        default=default,
        example="cifar10",
        metavar="NAME",
    )


def json_option() -> Decorator:
    """Returns the flag --json, as the argument `as_json`."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="Print exactly one JSON object on stdout.  [default: off; e.g. --json]",
    )


def echo_json(values: Any) -> None:
    """Prints values as one line of JSON: as they are, or escaped where stdout has no such letters.

    Names of files that are not UTF-8 can be printed nowhere as they are.
    """
    text = json.dumps(values, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(values)
    click.echo(text)


def run_option(help_text: str = "The run's folder.", **settings: Any) -> Decorator:
    """Returns the option --run."""
    return option(
        "--run",
        help_text,
        default="the newest under saved_models/",
        example="saved_models/first",
        type=UserPath(file_okay=False),
        **settings,
    )


def model_option(help_text: str = "A .keras file in place of a run.", **settings: Any) -> Decorator:
    """Returns the option --model."""
    return option(
        "--model",
        help_text,
        default="the run's best",
        example="caffe.keras",
        type=UserPath(dir_okay=False),
        **settings,
    )


def data_dir_option() -> Decorator:
    """Returns the option --data-dir of what looks at a run."""
    return option(
        "--data-dir",
        "Folder of prepared TFDS data sets.",
        default="the run's own",
        example="/data/tfds",
        type=UserPath(file_okay=False),
    )


def split_option(
    help_text: str = "train, validation (also where it was held out from train) or test.",
    default: str = "the one that the run was watched on",
) -> Decorator:
    """Returns the option --split."""
    return option(
        "--split",
        help_text,
        default=default,
        example="test",
        type=click.Choice(["train", "validation", "test"]),
        metavar="NAME",
    )


def crops_option() -> Decorator:
    """Returns the option --batch-size of what judges."""
    return option(
        "--batch-size",
        "Crops in a step.",
        default="128, or the split's size if smaller",
        example="32",
        type=click.IntRange(min=1),
    )
