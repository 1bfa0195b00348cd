"""The errors that the command line prints as one line, with an exit code of their own."""


class InputError(ValueError):
    """What the user gave cannot be used; the message names it and the remedy. Exit code 2.

    Whoever raises it leaves nothing half-written. Every other error that escapes is a bug of this
    package and keeps its traceback.

    Examples:
      >>> an.get_recipe("vgg")
      Traceback (most recent call last):
        ...
      alexnet_tf.errors.InputError: unknown recipe 'vgg': choose one of shapes, paper, ...
    """


class FolderTakenError(InputError):
    """The folder to write to already exists and holds something else."""


def choose(value: str, known: list[str] | tuple[str, ...], what: str) -> str:
    """Returns `value` if it is one of `known`.

    Args:
      value: What the user gave.
      known: The allowed values.
      what: The name of the setting in the message: "recipe", "--init".

    Raises:
      InputError: `value` is not allowed.
    """
    if value not in known:
        raise InputError(f"unknown {what} {value!r}: choose one of {', '.join(known)}")
    return value


class TrainingError(RuntimeError):
    """Training failed; the message says where, and what to do. Exit code 1."""


class DivergedError(TrainingError):
    """The loss or a weight became NaN, infinite or huge."""


class TrainingStopped(RuntimeError):  # noqa: N818 (not an error)
    """Training was interrupted and has saved; the message has the command that resumes it."""
