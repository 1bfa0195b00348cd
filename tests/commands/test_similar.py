"""The command `similar`."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from run_records import record_on

from alexnet_tf.cli import main
from alexnet_tf.evaluation.similarity import Neighbor, _caption
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import save_model
from alexnet_tf.network_settings import Convolution, Network
from alexnet_tf.runs import write_run

NAMES = ("blue", "green", "red")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with photos in three colors, and a run that was trained on them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for label, color in enumerate(NAMES):
        (tmp_path / "photos" / color).mkdir(parents=True)
        for i in range(4):
            image = random.integers(0, 80, (16, 16, 3)).astype(np.uint8)
            image[..., 2 - label] += 170
            Image.fromarray(image).save(tmp_path / "photos" / color / f"{i}.png")
    network = Network(
        convolutions=(Convolution(8, 3, strides=2),), hidden_units=(16,), input_size=16
    )
    run = tmp_path / "saved_models" / "first"
    run.mkdir(parents=True)
    model = build_model(network, class_names=NAMES, resize_pixels=16, init="he", seed=1)
    save_model(model, run / "best.keras")
    write_run(run, record_on(tmp_path / "photos"))
    return tmp_path


def outcome(words, capsys):
    with pytest.raises(SystemExit) as exited:
        main(["similar", *words])
    out, err = capsys.readouterr()
    return exited.value.code, out, err


def test_similar_searches_the_newest_runs_training_images(home, capsys):
    image = "photos/green/2.png"
    code, out, err = outcome([image, "--json", "--picture", "seen.png"], capsys)
    assert (code, out.count("\n"), err) == (0, 1, "picture: seen.png\n")
    values = json.loads(out)
    assert (values["images"], values["distance"]) == (12, "euclidean")
    first, *others = values["nearest"]
    assert (first["image"], first["class"]) == (str(home / image), "green")
    assert first["distance"] < 1e-2 < others[0]["distance"]
    assert [n["class"] for n in values["nearest"][:4]] == ["green"] * 4  # each class has its color
    with Image.open("seen.png") as picture:
        assert picture.width > picture.height > 100
    code, out, _ = outcome([image, "--top", "3", "--distance", "cosine"], capsys)
    assert code == 0
    assert "among the 12 images" in out
    assert out.count(".png") == 4 and out.count("green") == 8


def test_similar_prints_names_that_are_not_utf_8_escaped(home, capsys):
    name = os.fsdecode(b"loose/caf\xe9.png")
    shutil.copytree("photos/red", "loose")
    os.rename("loose/1.png", name)  # noqa: PTH104
    words = ["--model", "saved_models/first/best.keras", "--in", "loose", "--picture", "seen.png"]
    code, out, _ = outcome([name, *words], capsys)
    assert code == 0
    assert out.count(r"loose/caf\xe9.png") == 2
    code, out, _ = outcome([name, *words, "--json"], capsys)
    assert code == 0
    values = json.loads(out)
    assert values["image"] == values["nearest"][0]["image"] == name


def test_similar_finds_a_photo_with_exif_orientation_at_distance_0(home, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(home / "photos" / "red" / "0.png")
    image.paste((0, 0, 0), (0, 0, 16, 5))  # no symmetry, so that a rotation changes the image
    image.save(home / "photos" / "red" / "rotated.jpg", exif=exif, quality=95)
    words = ["similar", "photos/red/rotated.jpg", "--in", "photos/", "--top", "1", "--json"]
    with pytest.raises(SystemExit):
        main(words)
    (nearest,) = json.loads(capsys.readouterr().out)["nearest"]
    assert nearest["image"].endswith("rotated.jpg")
    assert nearest["distance"] == pytest.approx(0, abs=1e-3)


def test_similar_with_a_model_and_a_folder_without_classes(home, capsys):
    shutil.copytree("photos/red", "loose")
    words = ["--model", "saved_models/first/best.keras", "--in", "loose", "--json"]
    code, out, _ = outcome(["photos/red/0.png", *words], capsys)
    assert code == 0
    values = json.loads(out)
    assert (values["images"], values["split"]) == (4, "")
    assert values["nearest"][0] == {
        "index": 0,
        "image": "loose/0.png",
        "class": None,
        "distance": pytest.approx(0, abs=1e-2),
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("none.png", "none.png"),
        ("photos", "name one image"),
        ("cut.png", "cut.png: damaged"),
        ("photos/red/0.png --model saved_models/first/best.keras", "needs --in"),
        ("photos/red/0.png --model m.keras --run saved_models/first", "name two models"),
        ("photos/red/0.png --in elsewhere/", "elsewhere"),
        ("photos/red/0.png --split test", "no split 'test'"),
        ("photos/red/0.png --top 0", "--top"),
        ("photos/red/0.png --distance far", "--distance"),
        ("photos/red/0.png --picture seen.txt", "seen.txt"),
    ],
)
def test_similar_reports_bad_input_in_one_line(words, expected, home, capsys):
    (home / "cut.png").write_bytes((home / "photos/red/0.png").read_bytes()[:50])
    code, out, err = outcome(words.split(), capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err


def test_caption_shortens_the_name_and_keeps_the_distance():
    near = Neighbor(0, "IMG_20210304_123456.jpg", None, 41.071)
    assert _caption(near) == "IMG_20210… 41.07"
    assert _caption(near._replace(class_name="cat")) == "cat 41.07"
