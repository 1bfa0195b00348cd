"""What a run prints on stderr: settings, progress, one line per epoch, the end."""

import shlex
from pathlib import Path

from alexnet_tf.console import ProgressReporter, format_rate
from alexnet_tf.run_record import EpochRecord
from alexnet_tf.system import command_name

_HEADER = (
    f"{'epoch':>7} {'train loss':>11} {'val loss':>9} {'top-1 err':>10} {'top-5 err':>10} "
    f"{'rate':>8} {'images/s':>9} {'waiting':>8}"
)


class TrainingReporter(ProgressReporter):
    """Prints the progress of a run.

    Args:
      quiet: Whether to print warnings only.
    """

    def __init__(self, quiet: bool = False) -> None:
        super().__init__(quiet)
        self._after_epoch: list[str] = []

    def header(self) -> None:
        """Prints the names of the columns of `epoch`."""
        self.message(_HEADER)

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """Prints an epoch's line, and then the messages that `after_epoch` collected."""
        loss = top1 = top5 = "-"
        if record.validation_loss is not None:
            loss = f"{record.validation_loss:.4f}"
            top1 = f"{record.validation_top1_error:.2%}"
            top5 = f"{record.validation_top5_error:.2%}"
        self.message(
            f"{record.epoch:>3}/{epochs:<3} {record.training_loss:>11.4f} {loss:>9} "
            f"{top1:>10} {top5:>10} {record.learning_rate:>8.2g} "
            f"{record.images_per_second:>9,.0f} {record.waiting_fraction:>8.1%}"
        )
        for text in self._after_epoch:
            self.message(text)
        self._after_epoch.clear()

    def after_epoch(self, text: str) -> None:
        """Keeps a message until the line of the epoch that caused it is printed."""
        self._after_epoch.append(text)

    def stopping(self) -> None:
        """Prints that a stop request was received."""
        self.message("stopping: finishing the step, saving")

    def finished(self, folder: Path, result: str) -> None:
        """Prints the result of a run and the commands that continue from it."""
        self.message(f"\n{result}")
        run = shlex.quote(str(folder))
        self.message(
            f"written to {folder}/: best.keras, last.keras, history.jsonl, curves.png, run.json\n"
            "next:\n"
            f"  {command_name()} evaluate --ten-crop --run {run}\n"
            f"  {command_name()} train --resume --run-dir {run} --epochs N    (trains for longer)"
        )


def epoch_note(
    images_per_second: float, seconds_left: float, loss: float, top1_error: float
) -> str:
    """Returns the text behind an epoch's progress bar.

    Args:
      images_per_second: Training speed of the epoch.
      seconds_left: Of the whole run, validation included.
      loss: Mean training loss of the epoch so far.
      top1_error: Fraction of wrong training examples of the epoch so far.
    """
    rate = format_rate(images_per_second, seconds_left)
    return f"{rate}  loss {loss:.3f}  top-1 error {top1_error:.1%}"
