"""Evaluation of a run folder, by the function and by the command line."""

import importlib
import json
import shutil
import types

import numpy as np
import pytest
from command_line import run_command
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
    """Writes small noisy PNG files of one color per class into class folders."""
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
        with pytest.raises(SystemExit) as exited:
            main(["train", *words, "--no-prepare", "--run-dir", "saved_models/first"])
        assert exited.value.code == 0
    return home


@pytest.fixture(autouse=True)
def _in_the_folder(home, tmp_path, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def error_line(arguments, capsys):
    """Runs a command with invalid input and returns its only line of output."""
    code, out, err = run_command(arguments, capsys)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    return err


def test_evaluate_newest_run_gives_the_errors_recorded_in_training():
    record = read_run("saved_models/first")
    best = record.best
    found = evaluate()
    assert found.split == "validation"
    assert found.model.endswith("first/best.keras")
    assert found.center_crop.examples == best.validation_examples == 36
    assert found.center_crop.top1_errors == best.validation_top1_errors
    assert found.center_crop.loss == pytest.approx(best.validation_loss, rel=1e-4)


def test_evaluate_recognizes_the_runs_data_set_by_other_paths():
    assert evaluate(dataset="photos/").center_crop == evaluate().center_crop
    assert evaluate(split="train", dataset="./photos").center_crop.examples == 84


def test_evaluate_json_is_one_object_on_stdout(capsys):
    code, out, err = run_command(["evaluate", "--ten-crop", "--json"], capsys)
    assert (code, err, out.count("\n")) == (0, "", 1)
    values = json.loads(out)
    for kind in ("center_crop", "ten_crop"):
        counts = values[kind]
        assert counts["examples"] == 36
        assert counts["top1_error"] == counts["top1_errors"] / 36
        assert counts["top5_error"] == counts["top5_errors"] / 36 == 0
    assert values["split"] == "validation"
    assert {"model", "dataset"} <= values.keys()


def test_evaluate_keeps_output_of_libraries_out_of_the_json(monkeypatch, capsys):
    module = importlib.import_module("alexnet_tf.evaluation.target")
    opened = module.open_dataset

    def open_noisily(*arguments, **options):
        print("Dataset prepared.")
        return opened(*arguments, **options)

    monkeypatch.setattr(module, "open_dataset", open_noisily)
    _, out, err = run_command(["evaluate", "--json"], capsys)
    assert json.loads(out)["split"] == "validation"
    assert "Dataset prepared." in err


def test_evaluate_table_has_both_crops_and_the_counts(capsys):
    code, out, _ = run_command(["evaluate", "--ten-crop"], capsys)
    assert code == 0
    assert out.index("center crop") < out.index("ten crops")
    assert f"({evaluate().center_crop.top1_errors} of 36)" in out


def test_evaluate_uses_all_images_of_another_data_set(tmp_path):
    write_images(tmp_path / "more", dict.fromkeys(NAMES, 5))
    found = evaluate(dataset=str(tmp_path / "more"))
    assert (found.split, found.center_crop.examples) == ("train", 15)


def test_evaluate_rejects_other_classes(tmp_path, capsys):
    write_images(tmp_path / "two", dict.fromkeys(NAMES[:2], 2))
    assert "3 classes" in error_line(["evaluate", "--dataset", str(tmp_path / "two")], capsys)
    write_images(tmp_path / "named", dict.fromkeys(("dark", "light", "blue"), 2))
    line = error_line(["evaluate", "--dataset", str(tmp_path / "named")], capsys)
    assert "'dark'" in line and "'blue'" in line


def test_evaluate_model_file_without_a_run(capsys):
    words = ["--model", "saved_models/first/best.keras", "--dataset", "photos", "--json"]
    code, out, _ = run_command(["evaluate", *words], capsys)
    assert code == 0
    values = json.loads(out)
    assert (values["split"], values["center_crop"]["examples"]) == ("train", 120)
    assert "--dataset" in error_line(["evaluate", *words[:2]], capsys)


def test_check_classes_matches_imagenet_names_and_wordnet_ids():
    dataset = types.SimpleNamespace(name="imagenet", class_names=("n01440764", "n01443537"))
    network = build_model("lenet", class_names=("tench", "goldfish"))
    np.testing.assert_array_equal(check_classes(network, dataset), [0, 1])
    dataset.class_names = dataset.class_names[::-1]
    np.testing.assert_array_equal(check_classes(network, dataset), [1, 0])
    dataset.class_names = ("n01440764", "n01484850")
    with pytest.raises(InputError, match="class 'n01484850', which the model does not have"):
        check_classes(network, dataset)


def test_evaluate_matches_classes_in_another_order_by_name(tmp_path):
    """Folders and tables order the classes 10 and 9 differently."""
    write_images(tmp_path / "photos", dict.fromkeys(NAMES, 12))
    network = build_model("lenet", class_names=NAMES, init="he", seed=1)
    reversed_model = build_model("lenet", class_names=NAMES[::-1], init="he", seed=1)
    for layer, original in zip(reversed_model.layers, network.layers, strict=True):
        is_classifier = layer is reversed_model.layers[-2]
        layer.set_weights([w[..., ::-1] if is_classifier else w for w in original.get_weights()])
    dataset = str(tmp_path / "photos")
    found, expected = (
        evaluate(model=m, dataset=dataset).center_crop for m in (reversed_model, network)
    )
    assert found == expected


def test_evaluate_skips_damaged_images_up_to_one_percent(tmp_path, capsys):
    write_images(tmp_path / "many", dict(zip(NAMES, (60, 30, 30), strict=True)))
    (tmp_path / "many" / "dark" / "007.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    found = evaluate(dataset=str(tmp_path / "many"))
    assert found.center_crop.examples == 119
    assert [name.endswith("007.png") for name, _ in found.skipped] == [True]
    assert found.to_json()["skipped"] == 1
    (tmp_path / "many" / "red" / "003.png").write_bytes(b"")
    assert "003.png" in error_line(["evaluate", "--dataset", str(tmp_path / "many")], capsys)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--split test", "test"),
        ("--batch-size 37", "36 images"),
        ("--dataset no-such-folder/", "no-such-folder"),
        ("--run photos", "photos"),
    ],
)
def test_evaluate_rejects_bad_input(words, expected, capsys):
    assert expected in error_line(["evaluate", *words.split()], capsys)


def test_evaluate_rejects_a_run_with_a_missing_or_damaged_model(tmp_path, capsys):
    shutil.copytree("saved_models/first", tmp_path / "copy")
    model = tmp_path / "copy" / "best.keras"
    model.unlink()
    model.write_bytes(b"PK no zip")
    assert "best.keras" in error_line(["evaluate", "--run", str(tmp_path / "copy")], capsys)
    model.unlink()
    (tmp_path / "copy" / "last.keras").unlink()
    with pytest.raises(InputError, match="no model"):
        evaluate(tmp_path / "copy")


def test_predict_uses_the_newest_run_by_default(capsys):
    photo = "photos/red/000.png"
    results = []
    for more in ([], ["--model", "saved_models/first"]):
        code, out, _ = run_command(["predict", photo, "--json", *more], capsys)
        assert code == 0
        results.append(json.loads(out))
    assert results[0] == results[1]
    assert results[0]["model"].endswith("saved_models/first/best.keras")
    assert {top["class"] for top in results[0]["images"][0]["top"]} == set(NAMES)


def tree(folder):
    """Times of change and sizes of a folder and all in it, which any write changes."""
    stats = {path: path.stat() for path in (folder, *folder.rglob("*"))}
    return {path: (s.st_mtime_ns, s.st_ctime_ns, s.st_size) for path, s in stats.items()}


def test_evaluate_and_predict_write_nothing_beside_the_model(home, tmp_path, capsys):
    run = tmp_path / "store" / "first"
    shutil.copytree(home / "saved_models" / "first", run)
    (run / ".lock").unlink(missing_ok=True)
    folders = [run.parent, *(path for path in run.parent.rglob("*") if path.is_dir())]
    for path in run.rglob("*"):
        if path.is_file():
            path.chmod(0o444)
    for folder in folders:
        folder.chmod(0o555)
    before = tree(run.parent)
    try:
        for words in (
            ["evaluate", "--run", str(run), "--ten-crop", "--per-class", "--csv", "rows.csv"],
            ["evaluate", "--model", str(run / "best.keras"), "--dataset", "photos"],
            ["predict", "--model", str(run), "photos", "--csv", "rows.csv"],
            ["predict", "--model", str(run / "best.keras"), "photos/red"],
        ):
            code, _, err = run_command(words, capsys)
            assert code == 0, err
        assert tree(run.parent) == before
    finally:
        for folder in folders:
            folder.chmod(0o755)
