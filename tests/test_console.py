"""Lines, tables, bars and progress at a terminal and in streams that cannot encode everything."""

import io

import pytest

from alexnet_tf.console import Column, Console, ProgressReporter, format_duration, format_rate


class Stream(io.TextIOWrapper):
    """A stream in an encoding, which may be a terminal."""

    def __init__(self, encoding="utf-8", is_terminal=False):
        super().__init__(io.BytesIO(), encoding)
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal

    def text(self):
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)


NUMBER = Column("errors", is_number=True)


def test_table_aligns_numbers_to_the_right_and_text_to_the_left():
    stream = Stream()
    rows = [["cat", "5"], ["tiger", "12,345"], None, ["all", "12,350"]]
    Console(file=stream, width=80).table(["class", NUMBER], rows, title="test")
    lines = [line.rstrip() for line in stream.text().splitlines()]
    assert lines[:2] == ["test", "class  errors"]
    assert set(lines[2]) == {"\u2500"}
    assert lines[3:] == ["cat         5", "tiger  12,345", "", "all    12,350"]


def test_table_wraps_at_blanks_and_never_breaks_a_word():
    stream = Stream()
    name = "American Staffordshire terrier, Staffordshire terrier, American pit bull terrier"
    Console(file=stream, width=80).table(
        ["class", Column("probability", True), "image"],
        [[name, "12.34%", "/2026/a-name-of-forty-letters-without-blanks.jpg"]],
    )
    words = stream.text().split()
    assert {*name.split(), "12.34%", "/2026/a-name-of-forty-letters-without-blanks.jpg"} <= {*words}
    assert max(map(len, stream.text().splitlines())) <= 80


def test_table_keeps_all_of_a_path_that_is_wider_than_the_terminal():
    stream = Stream()
    path = "/folder" * 30
    Console(file=stream, width=80).table(["distance", "image"], [["1.5", path]])
    assert path in "".join(stream.text().replace("1.5", "").split())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_streams_without_block_characters_get_ascii(encoding):
    stream = Stream(encoding)
    console = Console(file=stream, width=40)
    console.table(["class", ""], [["\u732b", console.bar(0.5, 10)]], footer=["all", ""])
    console.message("\u732b")
    assert "#####" in stream.text() and "----" in stream.text()
    assert stream.text().count(r"\u732b") == 2 and r"\u2" not in stream.text()


def test_bar_is_of_blocks_where_they_can_be_encoded():
    assert Console(file=Stream(), width=80).bar(0.5, 10) == "\u2588" * 5


def test_names_are_shown_as_they_are_and_in_one_line():
    stream = Stream()
    console = Console(file=stream, width=80)
    console.message("my [red] set :cat: caf\udce9")
    console.table(["class"], [["[bold]a\nb"]])
    assert "my [red] set :cat: caf\\xe9\n" in stream.text()
    assert "[bold]a\\nb" in stream.text()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_messages_are_not_broken_so_that_commands_can_be_copied(is_terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Stream(is_terminal=is_terminal)
    text = "written to /a/folder with a blank: next: python cli.py train --resume"
    Console(file=stream, width=20).message(text)
    assert stream.text() == f"{text}\n"


def test_quiet_shows_warnings_only():
    stream = Stream()
    reporter = ProgressReporter(quiet=True, file=stream, width=80)
    reporter.message("hidden")
    reporter.settings({"recipe": "hidden"})
    with reporter.progress("hidden") as progress, reporter.status("hidden") as status:
        progress(1, 2)
        status("hidden")
    reporter.warn("seen")
    assert stream.text() == "seen\n"


@pytest.mark.parametrize(("encoding", "bar"), [("utf-8", "\u2501"), ("ascii", "-")])
def test_progress_bar_shows_count_rate_and_time_left_in_80_columns(encoding, bar, monkeypatch):
    times = iter([100.0, 102.0])
    monkeypatch.setattr("alexnet_tf.console.time.monotonic", lambda: next(times))
    stream = Stream(encoding, is_terminal=True)
    with ProgressReporter(file=stream, width=80).progress("reading [x]") as progress:
        progress(5_000, 10_000)
        progress._progress.refresh()
    assert "reading [x]" in stream.text() and bar * 6 in stream.text()
    assert "5000/10000" in stream.text() and "2,500 images/s, 0:02 left" in stream.text()
    assert "\u2026" not in stream.text()


def test_progress_bar_with_a_note_fits_into_80_columns():
    stream = Stream(is_terminal=True)
    note = format_rate(1234.4, 4500) + "  loss 1.500  top-1 25.0%"
    with ProgressReporter(file=stream, width=80).progress("epoch 12/90", 9_375) as progress:
        progress.update(123, note=note)
        progress._progress.refresh()
    assert note in stream.text() and " 123/9375" in stream.text()


def test_no_progress_is_drawn_without_a_terminal():
    stream = Stream()
    with ProgressReporter(file=stream).progress("reading", 10) as progress:
        progress(5, 10)
    assert stream.text() == ""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_status_shows_its_text_in_any_encoding(encoding):
    stream = Stream(encoding, is_terminal=True)
    with ProgressReporter(file=stream, width=80).status("writing") as status:
        status("checking")
    assert "checking" in stream.text() and r"\u" not in stream.text()


@pytest.mark.parametrize(("seconds", "text"), [(75, "1:15"), (3700, "1:01:40"), (0.4, "0:00")])
def test_durations_are_minutes_or_hours(seconds, text):
    assert format_duration(seconds) == text
