"""Options as data: help text, allowed values, and scope. No TensorFlow."""

import dataclasses
import math
from typing import Any, Literal

from alexnet_tf.errors import InputError

# The scope of an option: where it is recorded, and whether a resumed run may change it.
#   "run"     recorded; a resumed run must have the same value.
#   "recipe"  as "run", and replaces the value of the same name in the recipe or its network.
#   "process" recorded, but does not change the results: a resume may use another value.
Scope = Literal["run", "recipe", "process"]


@dataclasses.dataclass(frozen=True)
class OptionInfo:
    """The description and the allowed values of one option.

    Attributes:
      help: What the option does, one sentence.
      default: The default in words, such as "the recipe's".
      example: A value for the help text; "" for a flag.
      scope: See `Scope`.
      choices: All allowed values, or () for any.
      minimum: The smallest allowed number, or None.
      above: A number that the value must exceed, or None.
      below: A number that the value must stay under, or None.
      maximum: The largest allowed number, or None.
      metavar: The placeholder in the help text; None: NAME for choices, else that of the type.
    """

    help: str
    default: str
    example: str
    scope: Scope = "run"
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    above: float | None = None
    below: float | None = None
    maximum: float | None = None
    metavar: str | None = None

    def check(self, flag: str, value: Any) -> None:
        """Checks a value.

        Args:
          flag: The option as it is typed, for the message.
          value: The value; None means "not given" and is always allowed.

        Raises:
          InputError: The value is not one of the choices, or outside the range.
        """
        if value is None:
            return
        if self.choices and value not in self.choices:
            raise InputError(
                f"{flag} must be one of {', '.join(self.choices)}. Received: {value!r}"
            )
        limits = (
            ("at least", self.minimum, lambda limit: value >= limit),
            ("above", self.above, lambda limit: value > limit),
            ("below", self.below, lambda limit: value < limit),
            ("at most", self.maximum, lambda limit: value <= limit),
        )
        for words, limit, holds in limits:
            if limit is not None and not (math.isfinite(value) and holds(limit)):
                raise InputError(f"{flag} must be {words} {limit:g}. Received: {value}")


def option(help_text: str, *, default: str, example: str, **info: Any) -> Any:
    """Returns a dataclass field whose default is None, described by an `OptionInfo`."""
    described = OptionInfo(help_text, default, example, **info)
    return dataclasses.field(default=None, metadata={"option": described})


def recipe_option(
    help_text: str, example: str, *, default: str = "the recipe's", **info: Any
) -> Any:
    """Returns an `option` that replaces the value of the same name in the recipe."""
    return option(help_text, default=default, example=example, scope="recipe", **info)


def flag(help_text: str, **info: Any) -> Any:
    """Returns a dataclass field for an option without a value, off by default."""
    described = OptionInfo(help_text, "off", "", **info)
    return dataclasses.field(default=False, metadata={"option": described})


def option_infos(options: type) -> dict[str, OptionInfo]:
    """Returns the description of every option, by field name, in the order of the help text."""
    return {field.name: field.metadata["option"] for field in dataclasses.fields(options)}


def flag_name(name: str) -> str:
    """Returns an option as it is typed: "--batch-size" for "batch_size"."""
    return "--" + name.replace("_", "-")
