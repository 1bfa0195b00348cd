"""What a run prints on stderr: settings, progress, one line per epoch, the result."""

import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from alexnet_tf.console import ProgressReporter, format_rate
from alexnet_tf.data.pipeline import imbalance
from alexnet_tf.evaluation.metrics import TOP_K
from alexnet_tf.files import folder_bytes, format_megabytes
from alexnet_tf.run_record import EpochRecord, RunRecord
from alexnet_tf.settings import Recipe
from alexnet_tf.system import command_name

if TYPE_CHECKING:
    from alexnet_tf.training.open_run import Run

# Columns of the lines of epochs, and their widths.
_WIDTHS = {
    "epoch": 7,
    "train loss": 11,
    "val loss": 9,
    "top-1 err": 10,
    "top-5 err": 10,
    "lr": 8,
    "images/s": 9,
    "waiting": 8,
}
_IMBALANCED = 2.0  # ratio of class sizes from which the settings table shows it
_MAX_STEPS_PER_CALL = 50
_FEW_IMAGES = 3000  # training images, below which pretrained weights do better ...
_LARGE_NETWORK = 10_000_000  # ... in networks from this number of parameters


class TrainingReporter(ProgressReporter):
    """Prints the progress of a run; if `quiet`, warnings only."""

    def __init__(self, quiet: bool = False) -> None:
        super().__init__(quiet)
        self._has_top5 = True
        self._after_epoch: list[tuple[Callable[[str], None], str]] = []

    def history(self, history: Sequence[EpochRecord], epochs: int, num_classes: int) -> None:
        """Prints the names of the columns, and the lines of the epochs before a resume."""
        self._has_top5 = num_classes > TOP_K
        self._line(_WIDTHS)
        for record in history:
            self.epoch(record, epochs)

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """Prints an epoch's line, and then the messages that `after_epoch` collected."""
        loss = top1 = top5 = "-"
        if record.validation_loss is not None:
            loss = f"{record.validation_loss:.4f}"
            top1 = f"{record.validation_top1_error:.2%}"
            top5 = f"{record.validation_top5_error:.2%}"
        waiting = "-" if record.waiting_fraction is None else f"{record.waiting_fraction:.1%}"
        self._line(
            (
                f"{record.epoch:>3}/{epochs:<3}",
                f"{record.training_loss:.4f}",
                loss,
                top1,
                top5,
                f"{record.learning_rate:.2g}",
                f"{record.images_per_second:,.0f}",
                waiting,
            )
        )
        for show, text in self._after_epoch:
            show(text)
        self._after_epoch.clear()

    def _line(self, cells: Iterable[str]) -> None:
        """Prints the cells of a line, without the top-5 error where it is always zero."""
        columns = zip(cells, _WIDTHS.items(), strict=True)
        self.message(
            " ".join(
                f"{cell:>{width}}"
                for cell, (name, width) in columns
                if self._has_top5 or name != "top-5 err"
            )
        )

    def after_epoch(self, text: str, is_warning: bool = False) -> None:
        """Keeps a message until the line of the epoch that caused it is printed."""
        self._after_epoch.append((self.warn if is_warning else self.message, text))

    def finished(self, folder: Path, result: str) -> None:
        """Prints the result of a run and the commands that continue from it."""
        self.message(f"\n{result}")
        run, size = shlex.quote(str(folder)), format_megabytes(folder_bytes(folder))
        self.message(
            f"written to {folder}/ ({size}): best.keras, last.keras, history.jsonl, "
            "curves.png, run.json\n"
            "next:\n"
            f"  {command_name()} evaluate --ten-crop --run {run}\n"
            f"  {command_name()} train --resume --run-dir {run} --epochs N    (trains for longer)"
        )


def epoch_note(
    images_per_second: float, seconds_left: float, loss: float, top1_error: float
) -> str:
    """Returns the text after an epoch's progress bar: speed, time left of the run, and results."""
    speed = format_rate(images_per_second, seconds_left)
    return f"{speed}  loss {loss:.3f}  top-1 error {top1_error:.1%}"


class StepClock:
    """Measures the speed of an epoch; `examples` of it were seen before a resume.

    If there are several calls, the first, which may include compilation, is not counted.
    """

    def __init__(self, examples: int = 0) -> None:
        # (seconds, steps, examples) at the start and after each call.
        self._times = [(time.monotonic(), 0, examples)]

    def tick(self, steps: int, examples: int) -> None:
        """Records a call of `steps` updates, after which the epoch has seen `examples`."""
        self._times.append((time.monotonic(), self._times[-1][1] + steps, examples))

    @property
    def seconds(self) -> float:
        """Seconds from the start to the end of the last call."""
        return self._times[-1][0] - self._times[0][0]

    @property
    def seconds_per_step(self) -> float:
        """Seconds per update."""
        seconds, steps, _ = self._measured()
        return seconds / max(steps, 1)

    @property
    def images_per_second(self) -> float:
        """Images per second."""
        seconds, _, examples = self._measured()
        return examples / max(seconds, 1e-9)

    def steps_in(self, seconds: float) -> int:
        """Returns how many updates a call of that length makes: 1 until the speed is known."""
        if len(self._times) < 3:
            return 1
        return max(1, min(_MAX_STEPS_PER_CALL, int(seconds / self.seconds_per_step)))

    def _measured(self) -> tuple[float, int, int]:
        """Returns the seconds, steps and examples that count."""
        since, last = self._times[1 if len(self._times) > 2 else 0], self._times[-1]
        return last[0] - since[0], last[1] - since[1], last[2] - since[2]


def settings_rows(run: "Run", model: keras.Model) -> dict[str, str]:
    """Returns the rows of the settings table: names and values."""
    settings, recipe, devices, splits = run.settings, run.settings.recipe, run.devices, run.splits
    validation = "no validation"
    if splits.validation is not None:
        validation = f"{len(splits.validation):,} {splits.validation_name}"
        validation += "" if splits.selects_best else " (reported only)"
    warm_up = f", warm-up {recipe.warm_up_epochs:g} epochs" if recipe.warm_up_epochs else ""
    changed = ", ".join(f"{name} {value}" for name, value in settings.options.overrides().items())
    device = f"{', '.join(devices.devices)} ({devices.strategy_name}"
    if devices.replicas > 1:
        device += f", {recipe.batch_size // devices.replicas} images per device"
    if devices.strategy_name == "towers":
        device = f"tower one on {devices.devices[0]}, tower two on {devices.devices[1]} ("
        device += f"all {recipe.batch_size} images on both"
    return {
        "recipe": f"{recipe.name}: {recipe.description}" + (f"; with {changed}" if changed else ""),
        "network": f"{recipe.network.input_size} x {recipe.network.input_size} input, "
        f"{trainable_parameters(model):,} parameters",
        "data": f"{run.data.name}: {len(splits.train):,} training, {validation} images, "
        f"{len(run.data.class_names)} classes{_imbalance(run)}",
        "training": f"{settings.epochs} epoch{'s' * (settings.epochs != 1)}, "
        f"batch {recipe.batch_size}, learning rate {recipe.learning_rate:g} "
        f"({_schedule(recipe)}{warm_up}), init {recipe.init}",
        "device": device + ")",
        "precision": devices.precision + (f" ({note})" if (note := devices.precision_note) else ""),
        "seed": str(settings.seed),
        "results": f"{run.path}/",
    }


def pretrained_hint(run: "Run", model: keras.Model) -> str | None:
    """Returns the commands that do better for a large network and few photos in a folder."""
    dataset, count = run.settings.dataset, len(run.splits.train)
    is_new = run.settings.options.weights is None and run.recorded is None
    has_few_photos = Path(dataset).is_absolute() and count < _FEW_IMAGES and run.data.channels == 3
    if not (is_new and has_few_photos and trainable_parameters(model) >= _LARGE_NETWORK):
        return None
    command = command_name()
    return (
        f"{count:,} images are few for this network; pretrained weights do better: {command} "
        f"import-weights torchvision --out torchvision.keras && {command} train --dataset "
        f"{shlex.quote(dataset)} --weights torchvision.keras"
    )


def _schedule(recipe: Recipe) -> str:
    """Returns the schedule, the epochs of its steps, and the patience."""
    schedule = recipe.schedule
    epochs = ", ".join(str(epoch) for epoch in schedule.step_epochs(recipe.epochs))
    steps = f" after epochs {epochs}" if schedule.kind == "steps" else ""
    patience = f", patience {recipe.patience} epochs" if recipe.patience else ""
    return f"{schedule.kind}{steps}{patience}"


def _imbalance(run: "Run") -> str:
    """Returns a note on imbalanced classes and the option for them, or "" if they are balanced."""
    if run.settings.options.class_weights == "balanced":
        return ", weighted equally (--class-weights balanced)"
    ratio = imbalance(run.splits.train.labels, len(run.data.class_names))
    if ratio is None:
        return ", some without training examples"
    if ratio < _IMBALANCED:
        return ""
    return f", the largest {ratio:.1f} times the smallest (see --class-weights balanced)"


def result_line(record: RunRecord, selects_best: bool) -> str:
    """Returns the result of a finished run; `selects_best`: whether validation selected it."""
    best = record.best
    assert best is not None
    if best.validation_top1_error is None or best.validation_top5_error is None:
        return f"last epoch {best.epoch}: training loss {best.training_loss:.4f}"
    has_top5 = len(record.class_names) > TOP_K
    return (
        f"{'best' if selects_best else 'last'} epoch {best.epoch}: "
        f"{record.dataset.validation_split} top-1 error {best.validation_top1_error:.2%} "
        f"({best.validation_top1_errors} of {best.validation_examples})"
        + (f", top-5 error {best.validation_top5_error:.2%}" if has_top5 else "")
    )


def trainable_parameters(model: keras.Model) -> int:
    """Returns the number of trainable parameters."""
    return sum(int(tf.size(v)) for v in model.trainable_variables)
