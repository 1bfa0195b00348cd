"""The options' one form: what it does, its default, an example."""

from collections.abc import Callable
from typing import Any

import click

from alexnet_tf.recipes import RECIPES

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


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
