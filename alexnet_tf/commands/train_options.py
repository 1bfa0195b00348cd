"""The command-line options of `train`: those of `TrainOptions`, and a few more."""

import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any

import click

from alexnet_tf.commands.options import (
    DataDir,
    DataSetName,
    Decorator,
    UserPath,
    json_option,
    option,
)
from alexnet_tf.options import OptionInfo, flag_name, option_infos
from alexnet_tf.recipes import RECIPES
from alexnet_tf.train_options import TrainOptions

_TYPES: dict[str, click.ParamType] = {
    "dataset": DataSetName(),
    "data_dir": DataDir(file_okay=False),
    "weights": UserPath(exists=True),
}
_FIRST = ("dataset", "data_dir", "recipe")  # in the help text
# Options that are not part of `TrainOptions`, by the option that they follow in the help text.
_COMMAND_OPTIONS: dict[str, list[Decorator]] = {
    "seed": [
        option(
            "--seeds",
            "Train one run per seed, one after another, in RUN-DIR/seed-1 and so on; evaluate "
            "--run RUN-DIR averages their predictions.",
            default="none: one run",
            example="1,2,3",
            metavar="NUMBERS",
        ),
    ],
    "parallelism": [
        option(
            "--workers",
            "Simulate several machines on this one: train with this many processes.",
            default="this process alone",
            example="2",
            type=click.IntRange(min=1),
        ),
        option(
            "--run-dir",
            "The run folder; must be new or empty, except with --resume.",
            default="saved_models/RECIPE-TIME",
            example="saved_models/first",
            type=UserPath(file_okay=False),
        ),
        option(
            "--resume",
            "Resume the run in --run-dir, or the newest run.",
            default="off",
            example="--run-dir saved_models/first",
            is_flag=True,
        ),
    ],
    "quiet": [
        option(
            "--dry-run",
            "Show the settings and the layers, and exit without starting a run.",
            default="off",
            example="",
            is_flag=True,
        ),
        json_option(),
    ],
    "class_weights": [
        click.option(
            "--prepare/--no-prepare",
            default=None,  # three values, unlike other flags
            help="Prepare a folder of images first, into prepared/, and train on that.  "
            "[default: prompt at a terminal; e.g. --prepare]",
        ),
    ],
}


class _CommaSeparated(click.ParamType):
    """Values separated by commas, as a tuple.

    Args:
      kind: The type of one value.
    """

    name = "text"

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """Returns the values.

        Raises:
          click.BadParameter: One of them is empty or not of the type.
        """
        if isinstance(value, tuple):
            return value
        try:
            values = tuple(self._kind(part.strip()) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} must be numbers separated by commas, such as 30,60", param, ctx)
        if "" in values:
            self.fail(f"{value!r} has an empty name", param, ctx)
        return values


def train_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of `train` to a click command, in the order of `TrainOptions`."""
    decorators: list[Decorator] = []
    options = field_options(TrainOptions)
    for name, decorator in sorted(options.items(), key=lambda item: item[0] not in _FIRST):
        decorators += [decorator, *_COMMAND_OPTIONS.get(name, [])]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def field_options(options: type) -> dict[str, Decorator]:
    """Returns a click option for each field of a dataclass of options, by field name.

    Args:
      options: `TrainOptions`, or another dataclass whose fields have an `OptionInfo`.
    """
    infos, hints = option_infos(options), typing.get_type_hints(options)
    return {
        field.name: _click_option(field.name, infos[field.name], hints[field.name])
        for field in dataclasses.fields(options)
    }


def _click_option(name: str, info: OptionInfo, hint: Any) -> Decorator:
    """Returns the click option for one field."""
    settings: dict[str, Any] = {"default": info.default, "example": info.example}
    if hint is bool:
        return option(flag_name(name), info.help, is_flag=True, **settings)
    if info.metavar is not None:
        settings["metavar"] = info.metavar
    text = info.help
    if name == "recipe":
        text = f"{text.rstrip('.')}: one of {', '.join(RECIPES)}."
    param_type = _TYPES.get(name) or _param_type(info, hint)
    if param_type is not None:
        settings["type"] = param_type
    return option(flag_name(name), text, **settings)


def _param_type(info: OptionInfo, hint: Any) -> click.ParamType | None:
    """Returns the click type of an option's values; None for any text."""
    if info.choices:
        return click.Choice(info.choices)
    kinds = set(typing.get_args(hint)) - {types.NoneType}
    if tuple[int, ...] in kinds or tuple[str, ...] in kinds:
        return _CommaSeparated(int if tuple[int, ...] in kinds else str)
    if kinds == {int}:
        return click.IntRange(min=_whole(info.minimum), max=_whole(info.maximum))
    if kinds == {float}:
        low = info.minimum if info.above is None else info.above
        high = info.maximum if info.below is None else info.below
        return click.FloatRange(
            low, high, min_open=info.above is not None, max_open=info.below is not None
        )
    return None


def _whole(number: float | None) -> int | None:
    """Returns a limit as an integer, as click's integer ranges require."""
    return None if number is None else int(number)
