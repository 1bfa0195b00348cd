"""The commands prepare and data, and train --prepare: what is printed, written and refused."""

import csv
import json
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.cli import main
from alexnet_tf.commands import train
from alexnet_tf.commands.prepare import is_unprepared


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two classes unlike in size, and a file that is no image, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for name, count in (("cat", 12), ("[dog]", 4)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(folder / f"{i}.png")
    (tmp_path / "photos" / "cat" / "bad.jpg").write_bytes(b"bad")
    return tmp_path / "photos"


def outcome(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    captured = capsys.readouterr()
    return left.value.code, captured.out, captured.err


def test_prepare_prints_what_it_found_and_then_that_it_is_done(photos, capsys):
    code, out, _ = outcome(["prepare", "photos", "--size", "24"], capsys)
    assert code == 0
    assert "not a JPEG, PNG, WebP, BMP or GIF image: skipped" in out
    assert "train --dataset prepared/photos" in out
    with Path("prepared/photos/problems.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["name"] == "cat/bad.jpg"
    code, out, _ = outcome(["prepare", "photos", "--size", "24", "--json"], capsys)
    values = json.loads(out)
    assert (code, values["was_done"], values["folder"]) == (0, True, "prepared/photos")
    assert values["splits"]["train"]["per_class"] == {"[dog]": 4, "cat": 12}


def test_prepare_interrupted_by_ctrl_c_prints_how_to_resume(photos, monkeypatch, capsys):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("alexnet_tf.prepare.prepare.write_shards", interrupt)
    code, out, err = outcome(["prepare", "photos", "--size", "24"], capsys)
    assert (code, out) == (3, "")
    last = (
        "stopped; finished shards are kept in prepared/photos: run the same command again to resume"
    )
    assert err.splitlines()[-1] == last


def test_data_shows_classes_imbalance_and_a_picture(photos, capsys):
    code, out, _ = outcome(["data", "./photos", "--recipe", "shapes"], capsys)
    assert code == 0
    assert "[dog]" in out and "3.2 times" in out and "--class-weights balanced" in out
    assert "cannot be read: " in out
    with Image.open("data-photos.png") as picture:
        assert min(picture.size) > 400
        assert np.asarray(picture.convert("RGB")).std() > 20
    words = ["data", "./photos", "--recipe", "shapes", "--picture", "page.svg", "--json"]
    code, out, _ = outcome(words, capsys)
    values = json.loads(out)
    assert values["splits"]["train"]["per_class"] == {"[dog]": 4, "cat": 13}
    assert values["sizes"]["width"] == {"smallest": 40, "median": 40, "largest": 40}
    assert values["picture"] == "page.svg"


def test_classes_whose_names_are_no_utf_8(photos, capsys):
    (photos / "cat").rename(photos / os.fsdecode(b"c\xffat"))
    code, out, _ = outcome(["data", "./photos", "--recipe", "shapes", "--json"], capsys)
    assert code == 0
    values = json.loads(out)
    assert values["splits"]["train"]["per_class"]["c\\xffat"] == 13
    assert values["sizes"]["unreadable"] == ["photos/c\\xffat/bad.jpg"]


@pytest.mark.filterwarnings("error:Glyph")
def test_the_picture_has_class_names_in_any_script(photos, capsys):
    (photos / "[dog]").rename(photos / "狗 $x$ \U0001fae8 \U000e0100")  # the last is in no font
    (photos / "cat").rename(photos / "größer als $100$")
    assert outcome(["data", "./photos", "--recipe", "shapes", "--picture", "p.svg"], capsys)[0] == 0


def test_the_picture_of_the_current_folder_is_called_as_it_is(photos, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    assert "data-photos.png" in outcome(["data", ".", "--recipe", "shapes"], capsys)[1]


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves out the picture that goes with the table."""
    monkeypatch.setattr("alexnet_tf.data.summary.draw_examples", lambda *given, **named: None)


def test_a_folder_called_as_a_known_set_has_the_recipe_of_photos(photos, capsys, undrawn):
    folder = photos.rename(photos.with_name("mnist"))
    for name in ("./mnist", "mnist/", str(folder)):
        code, out, _ = outcome(["data", name, "--json"], capsys)
        assert (code, json.loads(out)["channels"]) == (0, 3)


def test_a_link_to_itself_is_named(photos, capsys):
    loop = photos / "cat" / "loop.jpg"
    loop.symlink_to(loop)
    code, _, err = outcome(["data", "./photos", "--recipe", "shapes"], capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "loop.jpg" in err


def test_the_path_of_a_folder_is_printed_once(photos, capsys, undrawn):
    path = str(Path("photos").resolve())
    for words, header in ((path, path), ("./photos", f"./photos ({path})")):
        _, out, _ = outcome(["data", words, "--recipe", "shapes"], capsys)
        assert out.startswith(f"{header}: 2 classes\n")


def test_skipped_files_are_printed(photos, capsys, undrawn):
    (photos / "cat" / "notes.txt").write_text("none")
    code, out, _ = outcome(["data", "./photos", "--recipe", "shapes"], capsys)
    assert (code, "1 file is skipped" in out) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prepare", "./nowhere"], "./nowhere"),
        (["prepare", ""], "the name is empty"),
        (["prepare", "~no-such-user/photos"], "~no-such-user/photos does not exist"),
        (["prepare", "x" * 300], "x" * 300),
        (["prepare", "photos", "--out", "photos"], "is inside photos: prepare it with --out"),
        (["prepare", "photos", "--size", "0"], "--size"),
        (["prepare", "photos", "--format", "tiff"], "raw"),
        (["prepare"], "SOURCE"),
        (["data", "./nowhere"], "./nowhere"),
        (["data", "./photos", "--picture", "page.txt"], ".png"),
        (["data", "./photos", "--picture", "no/such/page.png"], "no/such"),
        (["train", "--dataset", "photos", "--class-weights", "fair"], "balanced"),
    ],
)
def test_what_cannot_be_is_one_line(words, said, photos, capsys):
    code, out, err = outcome(words, capsys)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [(["--prepare"], "prepared/photos"), (["--no-prepare"], "photos"), ([], "photos")],
)
def test_train_prepares_a_folder_where_asked_to(flags, expected, photos, monkeypatch, capsys):
    given = {}
    module = types.ModuleType("alexnet_tf.training.train")
    module.train = lambda **options: given.update(options)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert outcome(["train", "--dataset", "photos", "--quiet", *flags], capsys)[0] == 0
    assert given["dataset"] == expected
    assert "prepare" not in given


def test_train_prepares_a_table_and_leaves_an_interrupted_preparation(photos, capsys):
    rows = "".join(f"{path},{path.parent.name}\n" for path in photos.glob("*/*.png"))
    Path("labels.csv").write_text("file,label\n" + rows)
    assert (
        is_unprepared("labels.csv") and is_unprepared("photos") and not is_unprepared("nowhere.csv")
    )
    (photos / ".preparing").mkdir()
    code, _, err = outcome(["train", "--dataset", "photos", "--prepare", "--quiet"], capsys)
    assert (code, "prepare SOURCE --out" in err) == (2, True)


def test_where_prepared_is_taken_train_says_what_to_run(photos, capsys):
    assert outcome(["prepare", "photos", "--size", "24"], capsys)[0] == 0
    code, _, err = outcome(["train", "--dataset", "photos", "--prepare", "--quiet"], capsys)
    assert code == 2
    told = err.splitlines()[-1]
    assert "prepared/photos contains another prepared set" in told
    words = told.split("python cli.py ")[1].split(", ")[0].split()
    assert words == ["prepare", "photos", "--out", "prepared/photos-2"]
    assert outcome([*words, "--size", "24"], capsys)[0] == 0
    assert told.endswith("python cli.py train --dataset prepared/photos-2")


def test_train_inside_of_the_source_asks_for_a_folder_outside(photos, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    code, _, err = outcome(["train", "--dataset", ".", "--prepare", "--quiet"], capsys)
    assert code == 2
    assert err.splitlines()[-1].endswith(
        "is inside .: prepare it with --out and a folder outside it"
    )
    assert not Path("prepared").exists()


def test_several_workers_do_not_prepare(photos, monkeypatch, capsys):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1", "b:1"]}}))
    code, _, err = outcome(["train", "--dataset", "photos", "--prepare"], capsys)
    assert (code, "run `python cli.py prepare photos` first" in err) == (2, True)
    assert not Path("prepared").exists()


def test_a_folder_that_is_called_as_a_tfds_set_is_not_prepared_in_its_place(photos):
    photos.rename(photos.parent / "mnist")
    assert not is_unprepared("mnist")
    assert is_unprepared("./mnist")


@pytest.mark.parametrize("answer", [True, False])
def test_at_a_terminal_train_asks_whether_to_prepare(answer, monkeypatch):
    asked = []
    screen = types.SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(train, "sys", types.SimpleNamespace(stdin=screen, stderr=screen))
    monkeypatch.setattr(train.click, "confirm", lambda text, err: asked.append(text) or answer)
    monkeypatch.setattr(train, "prepare_for_training", lambda folder, quiet: "prepared/photos")
    assert train._prepared("photos", None, False) == ("prepared/photos" if answer else "photos")
    assert "photos is not prepared" in asked.pop()
    assert train._prepared("photos", None, True) == "photos"  # --quiet
    assert train._prepared("photos", False, False) == "photos"  # --no-prepare
    monkeypatch.setenv("TF_CONFIG", "{}")
    assert train._prepared("photos", None, False) == "photos"  # one of several workers
    assert not asked


def test_the_next_command_can_be_copied(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "my [red] photos" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "my [red] photos" / name / f"{name}.png")
    monkeypatch.setattr(sys, "argv", ["/usr/bin/alexnet-tf"])
    words = ["prepare", "my [red] photos", "--size", "8", "--out", "out [1]"]
    code, out, err = outcome(words, capsys)
    assert code == 0, err
    assert "out [1] is prepared" in out
    assert "\n  alexnet-tf train --dataset 'out [1]'" in out
