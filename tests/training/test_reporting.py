"""What a run prints at a terminal, and the speed that it reports."""

import io
import types
from pathlib import Path

import pytest
from rich.console import Console
from run_records import epoch_record, run_record

from alexnet_tf.training import reporting
from alexnet_tf.training.reporting import (
    StepClock,
    TrainingReporter,
    epoch_note,
    pretrained_hint,
    result_line,
)

RECORD = epoch_record(
    2,
    training_loss=1.5,
    validation_loss=1.25,
    validation_top1_error=0.5,
    validation_top5_error=0.125,
)


@pytest.fixture
def reporter():
    reporter = TrainingReporter()
    reporter.rich = Console(
        file=io.StringIO(), force_terminal=True, width=120, highlight=False, markup=False
    )
    return reporter


def shown(reporter):
    return reporter.rich.file.getvalue()


def test_epoch_bar_shows_speed_time_left_loss_and_top1_error(reporter):
    with reporter.progress("epoch 2 of 8", 40) as bar:
        bar.update(10, note=epoch_note(1234.4, 75, 1.5, 0.25))
    speed, errors = "1,234 images/s, 1:15 left", ("loss 1.500", "top-1 error 25.0%")
    for part in ("epoch 2 of 8", "10/40", speed, *errors):
        assert part in shown(reporter)


def test_progress_bar_starts_without_a_total(reporter):
    with reporter.progress("reading the training images") as update:
        update(5, 10)
    assert "reading the training images" in shown(reporter)
    assert "5/10" in shown(reporter)


def test_epoch_line_is_aligned_with_its_header(reporter):
    reporter.history([RECORD], 8, 6)
    header, line = shown(reporter).splitlines()
    for part in ("2/8", "1.5000", "1.2500", "50.00%", "12.50%", "0.01", "1,234", "1.5%"):
        assert part in line
    assert line.index("50.00%") + len("50.00%") == header.index("top-1 err") + len("top-1 err")


def test_top5_error_is_missing_for_five_classes(reporter):
    reporter.history([RECORD], 8, 5)
    header, line = shown(reporter).splitlines()
    assert "top-5" not in header and "12.50%" not in line
    assert len(line) == len(header) < 80
    best = epoch_record(2, validation_top1_error=0.5, validation_top5_error=0.0)
    for names, has_top5 in (("abcde", False), ("abcdef", True)):
        record = run_record(best=best, class_names=tuple(names))
        assert ("top-5 error" in result_line(record, selects_best=True)) == has_top5


def test_epoch_line_without_validation_has_dashes(reporter):
    reporter.epoch(epoch_record(2), 8)
    assert shown(reporter).count(" - ") == 3


def test_quiet_reporter_prints_warnings_only(capfd):
    reporter = TrainingReporter(quiet=True)
    reporter.message("hidden")
    reporter.warn("seen")
    assert capfd.readouterr().err == "seen\n"


def test_reporter_prints_brackets_and_quotes_paths_with_spaces(reporter):
    reporter.settings({"data": "my [red] set: 90 training images"})
    assert "my [red] set: 90 training images" in shown(reporter)
    reporter.settings({"results": "/folder" * 40})
    assert "/folder" * 40 in "".join(shown(reporter).split())
    reporter.finished(Path("my [red] run"), "best epoch 2")
    assert "evaluate --ten-crop --run 'my [red] run'\n" in shown(reporter)
    assert "train --resume --run-dir 'my [red] run' --epochs N" in shown(reporter)


def run_on(dataset, images=300, weights=None, recorded=None, channels=3):
    """What `pretrained_hint` reads of a run."""
    name = types.SimpleNamespace
    options = name(weights=weights)
    return name(
        settings=name(dataset=dataset, options=options),
        splits=name(train=range(images)),
        recorded=recorded,
        data=name(channels=channels),
    )


def test_few_images_and_a_large_network_name_the_commands_that_do_better(monkeypatch):
    monkeypatch.setattr(reporting, "trainable_parameters", lambda parameters: parameters)
    hint = pretrained_hint(run_on("/my photos"), 60_000_000)
    assert hint.startswith("300 images are few for this network")
    assert "import-weights torchvision --out torchvision.keras && " in hint
    assert hint.endswith("train --dataset '/my photos' --weights torchvision.keras")
    assert "\n" not in hint
    others = (
        ("shapes",),
        ("/a", 3000),
        ("/a", 9, "m.keras"),
        ("/a", 9, None, 1),
        ("/a", 9, None, None, 1),
    )
    for other in others:
        assert pretrained_hint(run_on(*other), 60_000_000) is None
    assert pretrained_hint(run_on("/a"), 300_000) is None


@pytest.fixture
def now(monkeypatch):
    """A list of the one time that it is."""
    now = [0.0]
    monkeypatch.setattr(reporting, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_step_clock_excludes_the_first_call_if_others_follow(now):
    clock = StepClock()
    now[0] = 10
    clock.tick(1, 16)
    assert (clock.seconds, clock.seconds_per_step, clock.images_per_second) == (10, 10, 1.6)
    assert clock.steps_in(1e6) == 1
    now[0] = 11
    clock.tick(4, 80)
    assert (clock.seconds, clock.seconds_per_step, clock.images_per_second) == (11, 0.25, 64)
    assert [clock.steps_in(seconds) for seconds in (0.1, 0.5, 1e6)] == [1, 2, 50]


def test_step_clock_excludes_images_seen_before_a_resume(now):
    clock = StepClock(examples=32)
    now[0] = 10
    clock.tick(1, 48)
    assert clock.images_per_second == 1.6
