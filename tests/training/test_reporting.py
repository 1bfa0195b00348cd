"""The screen at a terminal: tests otherwise run without one, where no bar is drawn."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from run_records import epoch_record

from alexnet_tf.training.reporting import Screen, _minutes

RECORD = epoch_record(
    2,
    training_loss=1.5,
    validation_loss=1.25,
    validation_top1_error=0.5,
    validation_top5_error=0.125,
)


@pytest.fixture
def screen():
    screen = Screen()
    screen._console = Console(file=io.StringIO(), force_terminal=True, width=120, highlight=False)
    return screen


def shown(screen):
    return screen._console.file.getvalue()


def test_the_bar_of_an_epoch_shows_speed_time_left_loss_and_top1(screen):
    with screen.epoch_bar(2, 8, 40) as bar:
        bar.update(10, 1234.4, 75, 1.5, 0.25)
    speed, errors = "1,234 images/s, 1:15 left", ("loss 1.500", "top-1 error 25.0%")
    for part in ("epoch 2/8", "10/40", speed, *errors):
        assert part in shown(screen)


def test_counting_starts_without_a_total(screen):
    with screen.counting("reading the training images") as update:
        update(5, 10)
    assert "reading the training images" in shown(screen)
    assert "5/10" in shown(screen)


def test_an_epochs_line_stands_under_its_header(screen):
    screen.header()
    screen.epoch(RECORD, 8)
    header, line = shown(screen).splitlines()
    for part in ("2/8", "1.5000", "1.2500", "50.00%", "12.50%", "0.01", "1,234", "1.5%"):
        assert part in line
    assert line.index("50.00%") + len("50.00%") == header.index("top-1 err") + len("top-1 err")


def test_an_epoch_without_validation_has_dashes(screen):
    screen.epoch(epoch_record(2), 8)
    assert shown(screen).count(" - ") == 3


def test_quiet_shows_warnings_only(capfd):
    screen = Screen(quiet=True)
    screen.message("hidden")
    screen.warn("seen")
    assert capfd.readouterr().err == "seen\n"


@pytest.mark.parametrize(("seconds", "text"), [(75, "1:15"), (3700, "1:01:40"), (0.4, "0:00")])
def test_time_left(seconds, text):
    assert _minutes(seconds) == text


def test_brackets_and_blanks_in_names_are_shown_and_quoted(screen):
    screen.settings({"data": "my [red] set: 90 training images"})
    assert "my [red] set: 90 training images" in shown(screen)
    screen.settings({"results": "/folder" * 40})
    assert "/folder" * 40 in "".join(shown(screen).split())
    screen.finished(Path("my [red] run"), "best epoch 2")
    assert "evaluate --ten-crop --run 'my [red] run'\n" in shown(screen)
    assert "train --resume --run-dir 'my [red] run' --epochs N" in shown(screen)
