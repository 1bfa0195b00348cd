"""Export as a whole: the files, the table, what is refused."""

import dataclasses
import json
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.cli import main
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import from_model
from alexnet_tf.evaluation.evaluate import evaluate
from alexnet_tf.export import export as export_module
from alexnet_tf.export.check import Checker
from alexnet_tf.export.export import export
from alexnet_tf.export.images import CheckImages
from alexnet_tf.recipes import get_recipe
from alexnet_tf.training.train import train
from tests.export.conftest import NAMES, small_network


@pytest.fixture(scope="module")
def photos(squares, tmp_path_factory):
    """A folder data set with the model's classes: `NAMES` in the order that folders sort in."""
    root = tmp_path_factory.mktemp("photos")
    for number, square in enumerate(squares):
        split = "train" if number % 2 else "val"
        folder = root / split / NAMES[number // 2 % len(NAMES)]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(square).save(folder / f"{number:02}.png")
    return root


def ran(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(["export", *map(str, arguments)])
    return (left.value.code, *capsys.readouterr())


@pytest.mark.parametrize("before", [True, False])
def test_answers_are_compared_in_true_float32_and_the_setting_comes_back(
    model, squares, before, tmp_path
):
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    answers, during = from_model(model, "m"), []

    def ask(images):
        during.append((len(images), enabled()))
        return answers.probabilities(images)

    crops = squares[:, 2:34, 2:34].astype(np.float32)
    watched = dataclasses.replace(answers, probabilities=ask)
    original = enabled()
    tf.config.experimental.enable_tensor_float_32_execution(before)
    try:
        Checker(watched, CheckImages("", squares, crops, None)).check("Keras", watched, tmp_path)
        after = enabled()
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(original)
    assert during[:2] == [(24, False)] * 2
    assert {setting for count, setting in during if count == 1} == {before}  # timed as it is used
    assert after is before


def test_all_formats_are_written_and_compared(model_file, photos, tmp_path, capsys):
    common = ["--model", model_file, "--dataset", photos, "--out", tmp_path / "serving"]
    code, out, err = ran([*common, "--format", "all", "--json"], capsys)
    assert code == 0, err
    values = json.loads(out)
    assert [check["form"] for check in values["checks"]] == [
        "Keras",
        "SavedModel",
        "TFLite float32",
        "ONNX",
    ]
    for check in values["checks"]:
        assert check["images"] == check["agreements"] == 12
        assert check["largest_difference"] < 1e-5
        assert check["size_bytes"] > 10_000 and check["milliseconds"] > 0
        assert check["top1_errors"] is None  # folders sort otherwise than the model's classes
    written = sorted(p.name for p in (tmp_path / "serving").iterdir())
    assert written == ["alexnet", "alexnet.onnx", "alexnet.tflite"]
    assert (tmp_path / "serving/alexnet/1/assets.extra/tf_serving_warmup_requests").is_file()
    int8 = [*common, "--format", "tflite", "--quantize", "int8", "--name", "small"]
    code, out, err = ran(int8, capsys)
    assert code == 0, err
    assert "TFLite int8" in out and "%" in out and "drawn" not in out
    assert err == ""
    assert (tmp_path / "serving/small-int8.tflite").is_file()


def test_int8_without_real_images_is_refused(model_file, tmp_path, monkeypatch):
    drawn = types.SimpleNamespace(splits={}, name="shapes", class_names=())
    monkeypatch.setattr("alexnet_tf.export.images.open_dataset", lambda *_, **__: drawn)
    with pytest.raises(InputError, match="--dataset"):
        export(model=model_file, formats=["tflite"], quantize="int8", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"name": "../up"}, "--name"),
        ({"name": ""}, "--name"),
        ({"name": ".hidden"}, "--name"),
        ({"formats": ["pb"]}, "pb"),
        ({"model": "missing.keras"}, "missing.keras"),
        ({"run": "first"}, "not both"),
        ({"formats": ["onnx"], "quantize": "float16"}, "--format tflite"),
    ],
)
def test_what_cannot_be_exported_is_refused(model_file, photos, tmp_path, options, word):
    given = {"model": model_file, "dataset": photos, "out": tmp_path / "out", **options}
    with pytest.raises(InputError, match=word):
        export(**given)
    assert not (tmp_path / "out").exists()


def test_a_missing_dependency_is_told_before_anything_is_written(
    model_file, photos, tmp_path, monkeypatch
):
    monkeypatch.setitem(__import__("sys").modules, "ai_edge_litert", None)
    with pytest.raises(InputError, match=r"alexnet-tf\[export\]"):
        export(model=model_file, dataset=photos, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_answers_otherwise_does_not_get_its_name(
    model_file, photos, tmp_path, monkeypatch
):
    opened = export_module.open_classifier

    def open_wrong(path):
        right = opened(path)
        return types.SimpleNamespace(
            name=right.name, probabilities=lambda images: right.probabilities(images) + 0.01
        )

    monkeypatch.setattr(export_module, "open_classifier", open_wrong)
    for form in ("saved_model", "tflite"):
        with pytest.raises(RuntimeError, match=r"differs .* 0\.01"):
            export(model=model_file, dataset=photos, formats=[form], out=tmp_path / "out")
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == []


def test_the_check_counts_agreement_and_errors(model, squares, tmp_path):
    reference = from_model(model, "m")
    crops = squares[:, 2:34, 2:34].astype(np.float32)
    right = reference.probabilities(crops).argmax(axis=1)
    labels = (right + (np.arange(24) < 5)) % len(NAMES)  # five that the model gets wrong
    checker = Checker(reference, CheckImages("", squares, crops, labels))
    turned = types.SimpleNamespace(
        name="", probabilities=lambda x: np.roll(reference.probabilities(x), 1, axis=1)
    )
    (tmp_path / "m").write_bytes(b"1234567")
    turned.name = str(tmp_path / "m")
    check = checker.check("turned", turned, tmp_path / "m")
    assert (check.images, check.agreements, check.size_bytes) == (24, 0, 7)
    assert check.top1_errors == 24 - 5
    assert checker.check("same", reference, tmp_path / "m").top1_errors == 5


def test_a_run_is_checked_and_calibrated_on_its_own_images(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe = get_recipe("shapes")
    recipe = recipe.replace(network=small_network(), epochs=1, batch_size=4, resize_pixels=36)
    given = {"recipe": recipe, "precision": "float32", "quiet": True}
    train(str(photos), run_dir=tmp_path / "run", **given)
    done = export(tmp_path / "run", formats=["tflite"], quantize="int8", out=tmp_path / "out")
    assert done.images == f"{photos}, validation images"
    keras, tflite = done.checks
    assert keras.images == tflite.images == 12
    assert keras.top1_errors == evaluate(tmp_path / "run").center_crop.top1_errors
    assert 0 < tflite.largest_difference < 0.2
    assert tflite.path.endswith("out/alexnet-int8.tflite")
