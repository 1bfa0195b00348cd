"""The drawn data set: deterministic, balanced, and of ten kinds."""

import io
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from alexnet_tf.console import ProgressReporter
from alexnet_tf.data import shapes
from alexnet_tf.data.shapes import CLASS_NAMES, draw_example
from alexnet_tf.data.sources import open_dataset


def test_an_example_is_a_function_of_split_and_number():
    image, label = draw_example("train", 17)
    again, _ = draw_example("train", 17)
    np.testing.assert_array_equal(image, again)
    assert image.shape == (72, 72, 3)
    assert image.dtype == np.uint8
    assert CLASS_NAMES[label] == "heart"
    for split, index in (("train", 27), ("validation", 17), ("test", 17)):
        assert (draw_example(split, index)[0] != image).mean() > 0.5


def test_every_class_is_drawn_and_visible():
    for index in range(60):
        image, label = draw_example("validation", index)
        assert label == index % 10
        # A shape in its own color and a background: not one flat color.
        assert image.reshape(-1, 3).std(axis=0).max() > 10, index


def test_shapes_are_apart_from_their_background():
    rng = np.random.default_rng(0)
    for _ in range(50):
        background = shapes._color(rng, [], (0, 256))
        color = shapes._color(rng, [background], (0, 256))
        assert np.linalg.norm(np.subtract(color, background)) >= 100


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(shapes, "SPLIT_SIZES", {"train": 40, "validation": 20, "test": 10})


def test_made_once_as_a_tfds_set(tmp_path, small, monkeypatch, capsys):
    data = open_dataset("shapes", data_dir=tmp_path)
    assert data.class_names == CLASS_NAMES
    assert data.origin == "shapes/1.1.0"
    assert {name: len(examples) for name, examples in data.splits.items()} == {
        "train": 40,
        "validation": 20,
        "test": 10,
    }
    train = data.splits["train"]
    assert np.bincount(train.labels).tolist() == [4] * 10
    drawn = {draw_example("train", index)[0].tobytes() for index in range(40)}
    assert {image.tobytes() for image in train.images} == drawn
    captured = capsys.readouterr()
    assert captured.out == ""  # stdout is for results
    assert captured.err == "drawing shapes, about half a minute\n"

    def fail(*_):
        raise AssertionError("drawn again")

    monkeypatch.setattr(shapes, "draw_example", fail)
    again = open_dataset("shapes", data_dir=tmp_path, channels=1)
    assert again.splits["test"].images.shape == (10, 72, 72, 1)


def test_drawing_shows_one_bar_at_a_terminal_and_nothing_if_quiet(tmp_path, small, capfd):
    shown = io.StringIO()
    reporter = ProgressReporter(width=100)
    reporter.rich = Console(file=shown, force_terminal=True, width=100)
    open_dataset("shapes", data_dir=tmp_path / "a", reporter=reporter)
    assert "drawing shapes, about half a minute" in shown.getvalue()
    assert "70/70" in shown.getvalue()
    open_dataset("shapes", data_dir=tmp_path / "b", reporter=ProgressReporter(quiet=True))
    assert capfd.readouterr() == ("", "")


def test_two_processes_with_one_empty_folder_share_the_data_set(tmp_path):
    code = (
        "import sys\n"
        "from alexnet_tf.data import shapes\n"
        "from alexnet_tf.data.sources import open_dataset\n"
        "shapes.SPLIT_SIZES = {'train': 400, 'validation': 20, 'test': 10}\n"
        "print(len(open_dataset('shapes', data_dir=sys.argv[1]).splits['train']))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in started:
        out, err = process.communicate()
        assert (process.returncode, out) == (0, "400\n"), err
