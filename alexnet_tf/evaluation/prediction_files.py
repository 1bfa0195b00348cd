"""CSV files of predictions: one row per image, written while a command works."""

import contextlib
import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TypeAlias

from alexnet_tf.console import ProgressReporter
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.error_analysis import LabeledPredictions, class_report
from alexnet_tf.evaluation.metrics import TOP_K, ClassReport
from alexnet_tf.evaluation.predict import Damaged, Prediction
from alexnet_tf.files import check_local_path, printable

CsvTarget: TypeAlias = str | os.PathLike[str] | IO[str]
Cell: TypeAlias = str | int | float
WriteRow: TypeAlias = Callable[[Iterable[Cell]], None]


def top_columns(count: int) -> list[str]:
    """Returns the columns of the most probable classes: class_1, probability_1, class_2, ..."""
    return [f"{name}_{k}" for k in range(1, count + 1) for name in ("class", "probability")]


def top_cells(names: Iterable[str], probabilities: Iterable[float]) -> list[Cell]:
    """Returns the cells of `top_columns`; probabilities have six significant digits."""
    pairs = zip(names, probabilities, strict=True)
    return [cell for name, p in pairs for cell in (name, f"{p:.6g}")]


@contextlib.contextmanager
def open_csv(target: CsvTarget, columns: Sequence[str]) -> Iterator[WriteRow]:
    """Opens a CSV file with a header, in UTF-8, and yields a function that appends a row.

    Each row is flushed to `<file>.<process id>.partial`, which gets the file's name when
    the block succeeds. If the block fails or the process is killed, the partial file stays, since
    its rows may have taken hours; a file under its own name is always complete.

    Args:
      target: The file; a pipe, device, link or open stream is written to directly.
      columns: The header.

    Raises:
      InputError: The path is an address, or its folder does not exist.
      OSError: The file cannot be written.
    """
    if not isinstance(target, str | os.PathLike):
        yield _row_writer(target, columns)
        return
    check_local_path(target, "--csv")
    path = Path(target)
    if not path.absolute().parent.is_dir():
        raise InputError(f"--csv {path}: folder {path.parent} not found")
    if path.is_symlink() or (path.exists() and not path.is_file()):  # such as /dev/stdout
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield _row_writer(file, columns)
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    rows = 0
    try:
        with partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            write = _row_writer(file, columns)

            def write_and_count(row: Iterable[Cell]) -> None:
                nonlocal rows
                write(row)
                rows += 1

            yield write_and_count
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename == str(partial):
            error.filename = str(path)  # the name that the user knows
        if rows:
            ProgressReporter().warn(f"{partial} has the rows of the first {rows:,} images")
        else:
            partial.unlink(missing_ok=True)
        raise


def _row_writer(stream: IO[str], columns: Sequence[str]) -> WriteRow:
    """Writes the header and returns a function that writes and flushes a row."""
    writer = csv.writer(stream, lineterminator="\n")

    def write(row: Iterable[Cell]) -> None:
        writer.writerow(printable(cell) if isinstance(cell, str) else cell for cell in row)
        stream.flush()

    write(columns)
    return write


@contextlib.contextmanager
def open_prediction_csv(
    target: CsvTarget | None, top: int
) -> Iterator[Callable[[Prediction | Damaged], None]]:
    """Opens the CSV file of `predict` and yields a function that appends an image's row.

    Args:
      target: As for `open_csv`; None: no file, and the function does nothing.
      top: Number of classes of each prediction.
    """
    if target is None:
        yield lambda prediction: None
        return
    columns = ("image", "prediction", *top_columns(top), "skipped")
    with open_csv(target, columns) as write:

        def write_prediction(prediction: Prediction | Damaged) -> None:
            if isinstance(prediction, Damaged):
                write([prediction.image, *[""] * (1 + 2 * top), prediction.reason])
                return
            names = [each.name for each in prediction.top]
            cells = top_cells(names, [each.probability for each in prediction.top])
            write([prediction.image, names[0], *cells, ""])

        yield write_prediction


class PredictionRecorder:
    """Collects the predictions of an evaluation: as rows of a CSV file, and for a report.

    Args:
      write: From `open_csv` with `EVALUATION_COLUMNS`, or None.
      per_class: Whether `report` returns a report.
    """

    def __init__(self, write: WriteRow | None, per_class: bool) -> None:
        self._write = write
        self._per_class = per_class
        self._parts: list[LabeledPredictions] = []
        self._images = 0

    def start(self, image_name: Callable[[int], str], class_names: Sequence[str]) -> None:
        """Sets the names of the images, a function of their index, and of the classes."""
        self._image_name, self._names = image_name, class_names

    def add(self, predictions: LabeledPredictions) -> None:
        """Adds the predictions of the next images."""
        if self._per_class:
            self._parts.append(predictions)
        if self._write is not None:
            for row in range(len(predictions)):
                self._write(self._cells(predictions, row))
        self._images += len(predictions)

    def _cells(self, predictions: LabeledPredictions, row: int) -> list[Cell]:
        """Returns the cells of an image; without a prediction if an output is NaN."""
        label = self._names[predictions.labels[row]]
        cells: list[Cell] = [self._image_name(self._images + row), label]
        if not predictions.is_valid[row]:
            return cells
        names = [self._names[index] for index in predictions.classes[row]]
        return [*cells, names[0], *top_cells(names, predictions.probabilities[row])]

    def report(self) -> ClassReport | None:
        """Returns the metrics by class if they were requested."""
        if not self._per_class:
            return None
        return class_report(LabeledPredictions.concatenate(self._parts), self._names)


EVALUATION_COLUMNS = ("image", "label", "prediction", *top_columns(TOP_K))


@contextlib.contextmanager
def record_predictions(target: CsvTarget | None, per_class: bool) -> Iterator[PredictionRecorder]:
    """Opens the CSV file of an evaluation, if there is one, and yields a recorder.

    Args:
      target: As for `open_csv`; None: no file.
      per_class: Whether to collect the predictions for a report too.
    """
    if target is None:
        yield PredictionRecorder(None, per_class)
        return
    with open_csv(target, EVALUATION_COLUMNS) as write:
        yield PredictionRecorder(write, per_class)
