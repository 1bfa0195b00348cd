"""The command line: `alexnet-tf train`, or `python cli.py train` from a clone.

Each command lives in `alexnet_tf.commands` and imports what it works with when it runs, so that
`--help` imports no TensorFlow.
"""

import difflib
import errno
import importlib
import io
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterable, Sequence

from alexnet_tf import __version__
from alexnet_tf.errors import InputError, TrainingError, TrainingStopped
from alexnet_tf.files import printable
from alexnet_tf.system import command_name, missing_dependency, restart_with_huge_pages

try:
    import click
except ImportError as error:
    print(f"Error: {missing_dependency(error)}", file=sys.stderr)
    sys.exit(2)

COMMANDS = (
    "train",
    "evaluate",
    "runs",
    "report",
    "summary",
    "predict",
    "similar",
    "demo",
    "export",
    "import-weights",
    "prepare",
    "data",
    "bench",
    "experiment",
)
# Long enough to restart the process for faster memory.
_LONG = ("train", "evaluate", "report", "bench", "experiment")
_FAILED = 1
_BAD_INPUT = 2
_STOPPED = 3  # interrupted and saved
# The user's disk: no space, no quota, file too large, mounted read-only.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# Names that no file can have: too long, or a link to itself.
_NAME_ERRORS = (errno.ENAMETOOLONG, errno.ELOOP)
_NO_BREAK_HYPHEN = "\N{NON-BREAKING HYPHEN}"  # while lines are broken; "-" is printed
_CLONE = "python cli.py"  # how help texts in the source name the command
_EXAMPLES = """\b
A first try, with nothing to download:
  python cli.py train
  python cli.py evaluate --ten-crop

\b
Exit codes:
  0  done
  1  training failed: the loss became NaN, an image cannot be read
  2  what was given cannot be used: an option, a file, the disk
  3  stopped by Ctrl-C or SIGTERM; training has saved"""


class _HelpFormatter(click.HelpFormatter):
    """Names the command as the user called it, and breaks no line after a hyphen."""

    def write_text(self, text: str) -> None:
        text = text.replace(_CLONE, command_name())
        super().write_text(text.replace("-", _NO_BREAK_HYPHEN))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        unbroken = [(name, text.replace("-", _NO_BREAK_HYPHEN)) for name, text in rows]
        super().write_dl(unbroken, col_max, col_spacing)

    def getvalue(self) -> str:
        return super().getvalue().replace(_NO_BREAK_HYPHEN, "-")


class _Context(click.Context):
    formatter_class = _HelpFormatter


class _LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    context_class = _Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            close = difflib.get_close_matches(cmd_name, COMMANDS, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            known = ", ".join(COMMANDS)
            raise click.UsageError(f"unknown command {cmd_name!r}: {hint}Choose one of {known}")
        command: click.Command = importlib.import_module(
            f"alexnet_tf.commands.{cmd_name.replace('-', '_')}"
        ).command
        command.name = cmd_name
        command.context_class = _Context
        return command


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="alexnet-tf")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """AlexNet for Keras and TensorFlow: train, evaluate, inspect and export it."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits the process.

    Errors of the user's input end in one line on stderr and exit code 2, failed training in one
    line and exit code 1. SIGTERM and Ctrl-C end in one line and exit code 3, within one image or
    step. Every other error is a bug and keeps its traceback.

    Args:
      arguments: The command line's words; None: the process's.
    """
    if arguments is None and sys.argv[1:2] and sys.argv[1] in _LONG:
        restart_with_huge_pages()
    _escape_unencodable()
    if threading.current_thread() is threading.main_thread():
        # SIGTERM ends a command as Ctrl-C does; training saves first (see training/train.py).
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = cli.main(args=arguments, prog_name=command_name(), standalone_mode=False)
    except click.ClickException as error:
        _fail(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        words = sys.argv[1:] if arguments is None else arguments
        again = shlex.join([*command_name().split(), *words])
        click.echo(
            printable(f"Stopped. Nothing is half-written; to start again: {again}"), err=True
        )
        sys.exit(_STOPPED)
    except InputError as error:
        _fail(str(error))
    except TrainingError as error:
        _fail(str(error), _FAILED)
    except TrainingStopped as stopped:
        click.echo("\n".join(map(printable, str(stopped).split("\n"))), err=True)
        sys.exit(_STOPPED)
    except BrokenPipeError:  # `summary | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_FAILED)
    except OSError as error:
        if not is_users(error):
            raise
        _fail(describe(error))
    except UnicodeEncodeError as error:
        if not _is_file_name(error):
            raise
        _fail(
            f"{printable(error.object)}: this name cannot be encoded as {error.encoding}: rename "
            "it, or set a UTF-8 locale (LC_ALL=C.UTF-8)"
        )
    except ImportError as error:
        message = missing_dependency(error)
        if message is None:
            raise
        _fail(message)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _escape_unencodable() -> None:
    """Makes stdout and stderr escape what they cannot encode: file names need not be UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        # An error handler that the user chose stays.
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def _is_file_name(error: UnicodeEncodeError) -> bool:
    """Returns whether what cannot be encoded is a file's name in another encoding."""
    has_raw_bytes = any("\udc80" <= letter <= "\udcff" for letter in error.object)
    return has_raw_bytes or error.encoding == sys.getfilesystemencoding() != "utf-8"


def is_users(error: OSError) -> bool:
    """Returns whether an operating system's error is about the user's files, not about our code."""
    kinds = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError)
    numbers = (*_DISK_ERRORS, *_NAME_ERRORS)
    return isinstance(error, (*kinds, IsADirectoryError)) or error.errno in numbers


def describe(error: OSError) -> str:
    """Returns an operating system's error as a sentence: the file, and what is wrong with it."""
    text = error.strerror or str(error)
    return f"{error.filename}: {text}" if error.filename else text


def _fail(message: str, code: int = _BAD_INPUT) -> None:
    """Prints one line on stderr and exits."""
    lines = (line.strip() for line in message.splitlines())  # names may hold several blanks
    click.echo(printable(f"Error: {' '.join(line for line in lines if line)}"), err=True)
    sys.exit(code)
