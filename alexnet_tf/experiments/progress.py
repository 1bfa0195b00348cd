"""What an experiment shows while it runs: one bar over all runs, a line per finished run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from alexnet_tf.experiments.measures import Metric
from alexnet_tf.experiments.table import format_value
from alexnet_tf.run_record import EpochRecord


class Teller:
    """Writes for people, on stderr.

    Args:
      quiet: Write nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def message(self, text: str) -> None:
        """Shows a line."""
        if not self._quiet:
            self._console.print(text, markup=False)

    @contextmanager
    def bar(self, runs: int, epochs: int) -> Iterator["RunsBar"]:
        """Gives the bar over `runs` runs of `epochs` epochs in all."""
        columns = ("{task.fields[run]}", "{task.fields[speed]}", "{task.fields[left]}")
        with Progress(
            TextColumn(columns[0]),
            BarColumn(),
            *(TextColumn(column) for column in columns[1:]),
            console=self._console,
            transient=True,
            disable=self._quiet or not self._console.is_terminal,
        ) as progress:
            task = progress.add_task("", total=epochs, run="", speed="", left="")
            yield RunsBar(progress, task, self, runs, epochs)


class RunsBar:
    """Counts epochs over all runs, and what is left of them."""

    def __init__(
        self, progress: Progress, task: TaskID, teller: Teller, runs: int, epochs: int
    ) -> None:
        self._progress, self._task, self._teller = progress, task, teller
        self._runs, self._epochs = runs, epochs
        self._run = self._done = self._trained = 0
        self._of_run = self._in_run = 0
        self._seconds = 0.0
        self._last = time.monotonic()

    def start(self, what: str, epochs: int) -> None:
        """Begins a run of so many epochs."""
        self._run += 1
        self._of_run, self._in_run = epochs, 0
        self._last = time.monotonic()
        self._progress.update(self._task, run=f"{self._run}/{self._runs} {what}")

    def epoch(self, record: EpochRecord) -> None:
        """Counts an epoch; the time left is that of as many epochs as there may still be."""
        now = time.monotonic()
        self._seconds += now - self._last
        self._last = now
        self._in_run, self._trained = record.epoch, self._trained + 1
        done = self._done + self._in_run
        left = (self._epochs - done) * self._seconds / self._trained
        self._progress.update(
            self._task,
            completed=done,
            speed=f"epoch {record.epoch}/{self._of_run}, {record.images_per_second:,.0f} images/s",
            left=f"at most {left / 60:.0f} min left",
        )

    def finish(self, what: str, metric: Metric, value: float | None) -> None:
        """Ends a run and shows what it came to."""
        self._done += self._of_run
        self._progress.update(self._task, completed=self._done)
        self._teller.message(
            f"{self._run}/{self._runs} {what}: {metric.title} {format_value(value, metric.unit)}"
        )
