"""Everything that commands show in a terminal: lines, tables, bars, progress and warnings.

Results go to stdout through `Console`; progress, messages and warnings go to stderr through
`ProgressReporter`. Where the stream cannot encode a character, it is written as an escape, and bars
and lines are drawn in ASCII.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import IO, NamedTuple

from rich import box
from rich import console as rich_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Column as RichColumn
from rich.table import Table
from rich.text import Text

from alexnet_tf.files import printable

_BLOCK = "\u2588"
_ASCII_BOX = box.Box("    \n    \n -- \n    \n    \n -- \n    \n    \n", ascii=True)
_GAP = 2  # blanks between columns; one where two do not fit
_NARROWEST = 10  # characters of a column whose words must be broken
_SHORTEST_BAR = 6  # characters of a progress bar


class Column(NamedTuple):
    """A column of a table.

    Attributes:
      title: The heading; "" for none.
      is_number: Whether its cells are aligned to the right, and only its title may wrap.
    """

    title: str
    is_number: bool = False


class Console:
    """Writes lines and tables for people.

    Args:
      stderr: Whether to write to stderr instead of stdout.
      quiet: Whether to write warnings only.
      file: The stream to write to instead of both.
      width: Width in characters; None: the terminal's, or 80 without a terminal.
    """

    def __init__(
        self,
        *,
        stderr: bool = False,
        quiet: bool = False,
        file: IO[str] | None = None,
        width: int | None = None,
    ) -> None:
        self.quiet = quiet
        self.rich = rich_console.Console(
            stderr=stderr, file=file, width=width, highlight=False, emoji=False, markup=False
        )

    @property
    def is_terminal(self) -> bool:
        """Whether the output goes to a terminal that can draw progress."""
        return self.rich.is_terminal and not self.rich.is_dumb_terminal

    def message(self, text: str = "") -> None:
        """Writes lines, unless quiet.

        Long lines are left to the terminal to wrap, so that paths and commands can be copied.
        """
        if not self.quiet:
            self._print(text)

    def warn(self, text: str) -> None:
        """Writes lines that the user should act on, quiet or not."""
        self._print(text, "yellow")

    def _print(self, text: str, style: str | None = None) -> None:
        lines = "\n".join(self.encodable(line) for line in text.split("\n"))
        self.rich.print(lines, style=style, soft_wrap=True)

    def table(
        self,
        columns: Sequence[Column | str],
        rows: Iterable[Sequence[str] | None],
        *,
        title: str | None = None,
        footer: Sequence[str] | None = None,
    ) -> None:
        """Writes a table, unless quiet. Cells wrap at spaces; words are never broken.

        Args:
          columns: The columns; a plain string is the heading of a column of text.
          rows: Cells by column; None leaves a blank line.
          title: A line above the table.
          footer: A last row, set off by a line.
        """
        if self.quiet:
            return
        headed = [each if isinstance(each, Column) else Column(each) for each in columns]
        cells = [None if row is None else [self.encodable(cell) for cell in row] for row in rows]
        last = [self.encodable(cell) for cell in footer or ()]
        widths, gap = self._widths(headed, [row for row in [*cells, last] if row])
        table = Table(
            box=_ASCII_BOX if self.rich.options.ascii_only else box.SIMPLE,
            padding=(0, gap - 1, 0, 0),
            pad_edge=False,
            show_edge=False,
            show_header=any(column.title for column in headed),
            show_footer=bool(last),
        )
        for index, column in enumerate(headed):
            table.add_column(
                column.title,
                last[index] if index < len(last) else "",
                justify="right" if column.is_number else "left",
                overflow="fold",
                width=widths[index],
                min_width=widths[index],
            )
        for row in cells:
            if row is None:
                table.add_section()
            else:
                table.add_row(*(Text(cell) for cell in row))
        if title is not None:
            self.message(title)
        self.rich.print(table, crop=False)

    def _widths(self, columns: Sequence[Column], rows: list[list[str]]) -> tuple[list[int], int]:
        """Returns the columns' widths, and the blanks between them.

        If the table is too wide, its widest columns of text are narrowed, down to their longest
        word. If it is still too wide, the widest one breaks words: paths, as a rule.
        """
        full, least = [], []
        for index, column in enumerate(columns):
            cells = [row[index] for row in rows if index < len(row)]
            words = cells if column.is_number else [word for cell in cells for word in cell.split()]
            least.append(_longest([*words, *column.title.split()]))
            full.append(least[-1] if column.is_number else _longest([*cells, column.title]))
        texts = [index for index, column in enumerate(columns) if not column.is_number]
        gap = _GAP if sum(least) + _GAP * (len(columns) - 1) <= self.rich.width else 1
        room = self.rich.width - gap * (len(columns) - 1)
        while sum(full) > room and any(full[i] > least[i] for i in texts):
            full[max((i for i in texts if full[i] > least[i]), key=full.__getitem__)] -= 1
        if sum(full) > room and texts:
            widest = max(texts, key=full.__getitem__)
            full[widest] = max(full[widest] - (sum(full) - room), _NARROWEST)
        return full, gap

    def settings(self, rows: dict[str, str]) -> None:
        """Writes names and values, one pair per line, unless quiet."""
        self.table(["", ""], list(rows.items()))

    def bar(self, fraction: float, width: int) -> str:
        """Returns a bar of blocks, or of # where the stream has no blocks.

        Args:
          fraction: 0..1 of `width`.
          width: In characters.
        """
        is_ascii = self.encodable(_BLOCK) != _BLOCK
        return ("#" if is_ascii else _BLOCK) * round(fraction * width)

    def encodable(self, text: str) -> str:
        """Returns one line in which what cannot be printed or encoded is escaped."""
        encoding = self.rich.encoding
        return printable(text).encode(encoding, "backslashreplace").decode(encoding)


class ProgressReporter(Console):
    """Writes messages, warnings and progress bars to stderr.

    Bars are drawn at a terminal only, and disappear when done. What libraries print to stdout
    meanwhile goes to stderr, since stdout is for results.

    Args:
      quiet: Whether to write warnings only.
      file: The stream to write to instead of stderr.
      width: Width in characters; None: the terminal's, or 80 without a terminal.
    """

    def __init__(
        self, quiet: bool = False, *, file: IO[str] | None = None, width: int | None = None
    ) -> None:
        super().__init__(stderr=True, quiet=quiet, file=file, width=width)

    @contextmanager
    def progress(
        self, description: str, total: int | None = None, *, unit: str = "images"
    ) -> Iterator["ProgressBar"]:
        """Shows a progress bar while the block runs.

        Args:
          description: What is done.
          total: How many units are to be done, if known already.
          unit: What is counted, for the rate: "images".

        Yields:
          The bar; as a function of (done, total) it is an `on_progress` callback.
        """
        text = RichColumn(no_wrap=True, overflow="crop")
        bar = Progress(
            TextColumn("{task.description}", markup=False, table_column=text),
            BarColumn(bar_width=None, table_column=RichColumn(ratio=1, min_width=_SHORTEST_BAR)),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False, table_column=text.copy()),
            console=self.rich,
            expand=True,
            transient=True,
            disable=self.quiet or not self.is_terminal,
        )
        with redirect_stdout(sys.stderr), bar:
            task = bar.add_task(self.encodable(description), total=total, note="")
            yield ProgressBar(bar, task, unit, self.encodable)

    @contextmanager
    def status(self, description: str) -> Iterator[Callable[[str], None]]:
        """Shows a spinner while the block runs; yields a function that changes its text."""
        spinner = "line" if self.rich.options.ascii_only else "dots"
        status = self.rich.status(self.encodable(description), spinner=spinner)
        is_shown = self.is_terminal and not self.quiet
        with redirect_stdout(sys.stderr), status if is_shown else nullcontext():
            yield lambda text: status.update(self.encodable(text))


class ProgressBar:
    """One progress bar, from `ProgressReporter.progress`."""

    def __init__(
        self, progress: Progress, task: TaskID, unit: str, encodable: Callable[[str], str]
    ) -> None:
        self._progress = progress
        self._task = task
        self._unit = unit
        self._encodable = encodable
        self._started = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Moves the bar, and shows the rate and the time left."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        left = (total - done) * seconds / max(done, 1)
        note = format_rate(done / seconds, left, self._unit) if done else ""
        self.update(done, total=total, note=note)

    def update(
        self,
        done: int,
        *,
        total: int | None = None,
        description: str | None = None,
        note: str = "",
    ) -> None:
        """Moves the bar.

        Args:
          done: Units done.
          total: Units in all, if it changed.
          description: What is done, if it changed.
          note: The text after the bar: a rate, a loss.
        """
        text = None if description is None else self._encodable(description)
        self._progress.update(
            self._task, completed=done, total=total, description=text, note=self._encodable(note)
        )


def _longest(texts: Sequence[str]) -> int:
    """Returns the most terminal cells that one of the texts takes."""
    return max((Text(text).cell_len for text in texts), default=0)


def format_rate(per_second: float, seconds_left: float, unit: str = "images") -> str:
    """Returns a rate and the time left: "1,234 images/s, 1:15 left"."""
    return f"{per_second:,.0f} {unit}/s, {format_duration(seconds_left)} left"


def format_duration(seconds: float) -> str:
    """Returns 75 as "1:15" and 3700 as "1:01:40"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
