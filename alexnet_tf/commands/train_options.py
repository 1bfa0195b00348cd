"""The command-line options of `train`: those of `TrainOptions`, and a few more."""

import typing
from collections.abc import Callable
from typing import Any

import click

from alexnet_tf.commands.options import (
    COUNT,
    FOLDER,
    DataDir,
    DataSetName,
    Decorator,
    UserPath,
    flag,
    json_option,
    option,
)
from alexnet_tf.options import OptionInfo, flag_name, option_infos
from alexnet_tf.train_options import TrainOptions

_TYPES: dict[str, click.ParamType] = {
    "dataset": DataSetName(),
    "data_dir": DataDir(file_okay=False),
    "weights": UserPath(exists=True),
}
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
            type=COUNT,
        ),
        option(
            "--run-dir",
            "The run folder; must be new or empty, except with --resume.",
            default="saved_models/RECIPE-TIME",
            example="saved_models/first",
            type=FOLDER,
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
        flag("--dry-run", "Show the settings and the layers, and exit without starting a run."),
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
    """Values of a type, separated by commas, as a tuple."""

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
    for name, decorator in field_options(TrainOptions).items():
        decorators += [decorator, *_COMMAND_OPTIONS.get(name, [])]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def train_option(name: str) -> Decorator:
    """Returns one option of `train`, for a command that has it too."""
    return field_options(TrainOptions)[name]


def field_options(options: type) -> dict[str, Decorator]:
    """Returns a click option for each field of a dataclass of options, by field name.

    Args:
      options: `TrainOptions`, or another dataclass whose fields have an `OptionInfo`.
    """
    hints = typing.get_type_hints(options)
    return {
        name: _click_option(name, info, hints[name]) for name, info in option_infos(options).items()
    }


def _click_option(name: str, info: OptionInfo, hint: Any) -> Decorator:
    """Returns the click option for one field."""
    if hint is bool:
        return flag(flag_name(name), info.help)
    settings: dict[str, Any] = {"choices": info.choices}
    if not info.choices:
        settings = {"type": _TYPES.get(name) or _param_type(info, hint), "metavar": info.metavar}
    example, default = info.example, info.default
    return option(flag_name(name), info.help, default=default, example=example, **settings)


def _param_type(info: OptionInfo, hint: Any) -> click.ParamType | None:
    """Returns the click type of an option's values; None for any text."""
    (kind, *_) = typing.get_args(hint)
    if typing.get_origin(kind) is tuple:
        return _CommaSeparated(typing.get_args(kind)[0])
    if kind not in (int, float):
        return None
    number_range: Any = click.IntRange if kind is int else click.FloatRange
    low = info.minimum if info.above is None else info.above
    high = info.maximum if info.below is None else info.below
    is_open = {"min_open": info.above is not None, "max_open": info.below is not None}
    return number_range(low, high, **is_open)
