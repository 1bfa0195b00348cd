"""The errors that the command line turns into one line and exit code 2."""


class InputError(ValueError):
    """What the user gave cannot be used; the message names it and says what would be right.

    Whoever raises it has left nothing half-written. Everything else that escapes is a fault of ours
    and keeps its traceback.
    """


class FolderTakenError(InputError):
    """The folder to write to holds something else: another must be given."""


def choose(value: str, known: list[str] | tuple[str, ...], what: str) -> str:
    """Returns `value` if it is one of `known`.

    Args:
      value: What the user asked for.
      known: What there is.
      what: What it is called in the message: "recipe", "--init".

    Raises:
      InputError: `value` is none of them.
    """
    if value not in known:
        raise InputError(f"unknown {what} {value!r}: choose one of {', '.join(known)}")
    return value


class TrainingError(RuntimeError):
    """Training cannot go on; the message says where, and what to do."""


class DivergedError(TrainingError):
    """The loss is no number any more."""


class TrainingStopped(RuntimeError):  # noqa: N818 (it is no error)
    """Training was asked to stop, and has saved; the message has the command that goes on."""
