"""Judging a run from its folder, by the library and by the command line."""

import importlib
import json
import shutil
import types

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.cli import main
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.evaluate import evaluate
from alexnet_tf.evaluation.target import check_classes
from alexnet_tf.model.networks import build_model
from alexnet_tf.recipes import RECIPES, get_recipe
from alexnet_tf.runs import read_run

NAMES = ("dark", "light", "red")


def write_images(folder, counts, seed=0):
    """Writes small PNG files into class folders, easy to tell apart but for some noise."""
    random = np.random.default_rng(seed)
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            image = random.integers(0, 200, (20, 24, 3))
            image[..., number % 3] += 20
            Image.fromarray(image.astype(np.uint8)).save(folder / name / f"{i:03}.png")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A working folder with the data set photos/ and a finished run on it."""
    home = tmp_path_factory.mktemp("home")
    write_images(home / "photos", dict.fromkeys(NAMES, 40))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        patch.chdir(home)
        recipe = get_recipe("shapes").replace(epochs=2, batch_size=16, hold_out=0.3)
        patch.setitem(RECIPES, "shapes", recipe)
        words = ["--dataset", "photos", "--recipe", "shapes", "--precision", "float32", "--quiet"]
        with pytest.raises(SystemExit) as left:
            main(["train", *words, "--no-prepare", "--run-dir", "saved_models/first"])
        assert left.value.code == 0
    return home


@pytest.fixture(autouse=True)
def _in_the_folder(home, tmp_path, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def refused(arguments, capsys):
    """Returns the one line that a command is refused with."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    out, err = capsys.readouterr()
    assert (left.value.code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    return err


def test_the_newest_run_on_its_own_validation_set_gives_what_training_noted():
    record = read_run("saved_models/first")
    best = record.best
    found = evaluate()
    assert found.split == "validation"
    assert found.model.endswith("first/best.keras")
    assert found.center_crop.examples == best.validation_examples == 36
    assert found.center_crop.top1_errors == best.validation_top1_errors
    assert found.center_crop.loss == pytest.approx(best.validation_loss, rel=1e-4)


def test_a_folder_named_in_another_way_is_still_the_runs_own():
    assert evaluate(dataset="photos/").center_crop == evaluate().center_crop
    assert evaluate(split="train", dataset="./photos").center_crop.examples == 84


def test_json_is_one_object_on_stdout(capsys):
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "--ten-crop", "--json"])
    out, err = capsys.readouterr()
    assert (left.value.code, err, out.count("\n")) == (0, "", 1)
    values = json.loads(out)
    for kind in ("center_crop", "ten_crop"):
        counts = values[kind]
        assert counts["examples"] == 36
        assert counts["top1_error"] == counts["top1_errors"] / 36
        assert counts["top5_error"] == counts["top5_errors"] / 36 == 0
    assert values["split"] == "validation"
    assert {"model", "dataset"} <= values.keys()


def test_what_libraries_print_on_the_way_does_not_get_into_the_json(monkeypatch, capsys):
    module = importlib.import_module("alexnet_tf.evaluation.target")
    opened = module.open_dataset

    def open_noisily(*arguments, **options):
        print("Dataset prepared.")
        return opened(*arguments, **options)

    monkeypatch.setattr(module, "open_dataset", open_noisily)
    with pytest.raises(SystemExit):
        main(["evaluate", "--json"])
    out, err = capsys.readouterr()
    assert json.loads(out)["split"] == "validation"
    assert "Dataset prepared." in err


def test_the_table_has_both_crops_and_the_counts(capsys):
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "--ten-crop"])
    out = capsys.readouterr().out
    assert left.value.code == 0
    assert out.index("center crop") < out.index("ten crops")
    assert f"({evaluate().center_crop.top1_errors} of 36)" in out


def test_another_set_with_the_same_classes_is_judged_whole(tmp_path):
    write_images(tmp_path / "more", dict.fromkeys(NAMES, 5))
    found = evaluate(dataset=str(tmp_path / "more"))
    assert (found.split, found.center_crop.examples) == ("train", 15)


def test_other_classes_are_refused(tmp_path, capsys):
    write_images(tmp_path / "two", dict.fromkeys(NAMES[:2], 2))
    assert "3 classes" in refused(["evaluate", "--dataset", str(tmp_path / "two")], capsys)
    write_images(tmp_path / "named", dict.fromkeys(("dark", "light", "blue"), 2))
    line = refused(["evaluate", "--dataset", str(tmp_path / "named")], capsys)
    assert "'dark'" in line and "'blue'" in line


def test_a_model_file_is_judged_without_a_run(capsys):
    words = ["--model", "saved_models/first/best.keras", "--dataset", "photos", "--json"]
    with pytest.raises(SystemExit) as left:
        main(["evaluate", *words])
    assert left.value.code == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["split"], values["center_crop"]["examples"]) == ("train", 120)
    assert "--dataset" in refused(["evaluate", *words[:2]], capsys)


def test_imagenets_classes_go_by_name_and_by_number():
    dataset = types.SimpleNamespace(name="imagenet", class_names=("n01440764", "n01443537"))
    network = build_model("lenet", class_names=("tench", "goldfish"))
    np.testing.assert_array_equal(check_classes(network, dataset), [0, 1])
    dataset.class_names = dataset.class_names[::-1]
    np.testing.assert_array_equal(check_classes(network, dataset), [1, 0])
    dataset.class_names = ("n01440764", "n01484850")
    with pytest.raises(InputError, match="class 'n01484850', which the model does not have"):
        check_classes(network, dataset)


def test_classes_in_another_order_are_evaluated_by_name(tmp_path):
    """Folders and tables order the classes 10 and 9 differently."""
    write_images(tmp_path / "photos", dict.fromkeys(NAMES, 12))
    network = build_model("lenet", class_names=NAMES, init="he", seed=1)
    turned = build_model("lenet", class_names=NAMES[::-1], init="he", seed=1)
    for ours, theirs in zip(turned.layers, network.layers, strict=True):
        last = ours is turned.layers[-2]
        ours.set_weights([w[..., ::-1] if last else w for w in theirs.get_weights()])
    dataset = str(tmp_path / "photos")
    found, expected = (evaluate(model=m, dataset=dataset).center_crop for m in (turned, network))
    assert found == expected


def test_damaged_images_are_left_out_by_name_unless_they_are_many(tmp_path, capsys):
    write_images(tmp_path / "many", dict(zip(NAMES, (60, 30, 30), strict=True)))
    (tmp_path / "many" / "dark" / "007.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    found = evaluate(dataset=str(tmp_path / "many"))
    assert found.center_crop.examples == 119
    assert [name.endswith("007.png") for name, _ in found.left_out] == [True]
    assert found.to_json()["left_out"] == 1
    (tmp_path / "many" / "red" / "003.png").write_bytes(b"")
    assert "003.png" in refused(["evaluate", "--dataset", str(tmp_path / "many")], capsys)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--split test", "test"),
        ("--batch-size 37", "36 images"),
        ("--dataset no-such-folder/", "no-such-folder"),
        ("--run photos", "photos"),
    ],
)
def test_bad_input_is_refused(words, expected, capsys):
    assert expected in refused(["evaluate", *words.split()], capsys)


def test_a_run_without_or_with_a_damaged_model_is_refused(tmp_path, capsys):
    shutil.copytree("saved_models/first", tmp_path / "copy")
    model = tmp_path / "copy" / "best.keras"
    model.unlink()
    model.write_bytes(b"PK no zip")
    assert "best.keras" in refused(["evaluate", "--run", str(tmp_path / "copy")], capsys)
    model.unlink()
    (tmp_path / "copy" / "last.keras").unlink()
    with pytest.raises(InputError, match="no model"):
        evaluate(tmp_path / "copy")


def test_predict_takes_the_newest_runs_model_unless_told(capsys):
    photo = "photos/red/000.png"
    answers = []
    for more in ([], ["--model", "saved_models/first"]):
        with pytest.raises(SystemExit) as left:
            main(["predict", photo, "--json", *more])
        assert left.value.code == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]
    assert answers[0]["model"].endswith("saved_models/first/best.keras")
    assert {guess["class"] for guess in answers[0]["images"][0]["top"]} == set(NAMES)
