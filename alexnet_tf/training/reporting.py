"""What a run shows on the screen: settings, progress, a line per epoch, the end. All on stderr."""

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from alexnet_tf.run_record import EpochRecord
from alexnet_tf.system import command_name

_HEADER = (
    f"{'epoch':>7} {'train loss':>11} {'val loss':>9} {'top-1 err':>10} {'top-5 err':>10} "
    f"{'rate':>8} {'images/s':>9} {'waiting':>8}"
)


class Screen:
    """Writes for people.

    Args:
      quiet: Only messages that matter after the run: warnings.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._after_epoch: list[str] = []
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def settings(self, rows: dict[str, str]) -> None:
        """Shows what will run, a row a setting."""
        if self._quiet:
            return
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")  # of a long path nothing is left out
        for name, value in rows.items():
            table.add_row(f"[bold]{name}[/bold]", escape(value))
        self._console.print(table)

    def message(self, text: str) -> None:
        """Shows a line, unless quiet."""
        if not self._quiet:
            self._console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Shows a line, quiet or not."""
        self._console.print(text, style="yellow", markup=False)

    @contextmanager
    def counting(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Gives a function of (done, total) that moves a progress bar."""
        with self._progress("{task.fields[speed]}") as progress:
            task = progress.add_task(what, total=None, speed="")
            started = time.monotonic()

            def update(done: int, total: int) -> None:
                seconds = max(time.monotonic() - started, 1e-9)
                left = (total - done) * seconds / max(done, 1)
                speed = f"{done / seconds:,.0f} images/s, {_minutes(left)} left"
                progress.update(task, completed=done, total=total, speed=speed)

            yield update

    def header(self) -> None:
        """Shows the names of the columns of `epoch`."""
        self.message(_HEADER)

    @contextmanager
    def epoch_bar(self, epoch: int, epochs: int, steps: int) -> Iterator["EpochBar"]:
        """Gives the progress bar of an epoch."""
        columns = (
            "{task.fields[speed]}",
            "loss {task.fields[loss]}",
            "top-1 error {task.fields[top1]}",
        )
        with self._progress(*columns) as progress:
            task = progress.add_task(
                f"epoch {epoch}/{epochs}", total=steps, speed="", loss="", top1=""
            )
            yield EpochBar(progress, task)

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """Prints an epoch's line, and then the messages that `after_epoch` collected."""
        loss = top1 = top5 = "-"
        if record.validation_loss is not None:
            loss = f"{record.validation_loss:.4f}"
            top1, top5 = (
                f"{record.validation_top1_error:.2%}",
                f"{record.validation_top5_error:.2%}",
            )
        self.message(
            f"{record.epoch:>3}/{epochs:<3} {record.training_loss:>11.4f} {loss:>9} "
            f"{top1:>10} {top5:>10} {record.learning_rate:>8.2g} "
            f"{record.images_per_second:>9,.0f} {record.waiting_fraction:>8.1%}"
        )
        for text in self._after_epoch:
            self.message(text)
        self._after_epoch.clear()

    def stopping(self) -> None:
        """Tells that a stop request was received."""
        self.message("stopping: finishing the step, saving")

    def after_epoch(self, text: str) -> None:
        """Keeps a message until the line of the epoch that caused it is printed."""
        self._after_epoch.append(text)

    def finished(self, folder: Path, result: str) -> None:
        """Shows the end of a run and what to do next."""
        self.message(f"\n{result}")
        run = shlex.quote(str(folder))
        self.message(
            f"written to {folder}/: best.keras, last.keras, history.jsonl, curves.png, run.json\n"
            "next:\n"
            f"  {command_name()} evaluate --ten-crop --run {run}\n"
            f"  {command_name()} train --resume --run-dir {run} --epochs N    (trains for longer)"
        )

    def _progress(self, *texts: str) -> Progress:
        """Makes a progress bar with more texts behind it; it disappears when done."""
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            *(TextColumn(text) for text in texts),
            console=self._console,
            transient=True,
            disable=self._quiet or not self._console.is_terminal,
        )


class EpochBar:
    """The progress bar of one epoch."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def update(
        self,
        step: int,
        images_per_second: float,
        seconds_left: float,
        loss: float,
        top1_error: float,
    ) -> None:
        """Moves the bar.

        Args:
          step: Updates done in this epoch.
          images_per_second: In this epoch.
          seconds_left: Of the whole run.
          loss: Mean training loss of the epoch so far.
          top1_error: Fraction of wrong training examples of the epoch so far.
        """
        self._progress.update(
            self._task,
            completed=step,
            speed=f"{images_per_second:,.0f} images/s, {_minutes(seconds_left)} left",
            loss=f"{loss:.3f}",
            top1=f"{top1_error:.1%}",
        )


def _minutes(seconds: float) -> str:
    """Returns 75 as "1:15" and 3700 as "1:01:40"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
