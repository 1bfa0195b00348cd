"""The `export` command and function: files, table, permissions, rejected options."""

import csv
import dataclasses
import json
import os
import types

import numpy as np
import pytest
import tensorflow as tf
from command_line import run_command
from PIL import Image

from alexnet_tf.cli import main
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import from_model
from alexnet_tf.evaluation.ensemble import evaluate_ensemble
from alexnet_tf.evaluation.evaluate import evaluate
from alexnet_tf.export import export as export_module
from alexnet_tf.export.export import ExportOptions, export
from alexnet_tf.export.verify import VerificationImages, Verifier
from alexnet_tf.recipes import get_recipe
from alexnet_tf.training.train import train
from tests.export.conftest import NAMES, small_network


@pytest.fixture(scope="module")
def photos(resized, tmp_path_factory):
    """A folder data set with the model's classes in another order, that of the folder names."""
    root = tmp_path_factory.mktemp("photos")
    for number, image in enumerate(resized):
        split = "train" if number % 2 else "val"
        folder = root / split / NAMES[number // 2 % len(NAMES)]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:02}.png")
    return root


def export_with(**options):
    return export(ExportOptions(**options))


@pytest.mark.parametrize("before", [True, False])
def test_verifier_disables_tf32_and_restores_the_setting(model, resized, before, tmp_path):
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    reference, during = from_model(model, "m"), []

    def record_setting(images):
        during.append((len(images), enabled()))
        return reference.probabilities(images)

    crops = resized[:, 2:34, 2:34].astype(np.float32)
    recorded = dataclasses.replace(reference, probabilities=record_setting)
    original = enabled()
    tf.config.experimental.enable_tensor_float_32_execution(before)
    try:
        images = VerificationImages("", resized, crops, None, crops[:0])
        Verifier(recorded, images).compare("Keras", recorded, tmp_path)
        after = enabled()
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(original)
    assert during[:2] == [(24, False)] * 2
    assert {setting for count, setting in during if count == 1} == {before}
    assert after is before


def test_export_writes_and_verifies_all_formats(model_file, photos, tmp_path, capsys):
    common = ["--model", model_file, "--dataset", photos, "--out", tmp_path / "serving"]
    code, out, err = run_command(["export", *common, "--format", "all", "--json"], capsys)
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
        # The folders' classes are in another order, and are matched by name.
        assert check["top1_errors"] == values["checks"][0]["top1_errors"] is not None
    written = sorted(p.name for p in (tmp_path / "serving").iterdir())
    assert written == ["alexnet", "alexnet.onnx", "alexnet.tflite"]
    assert (tmp_path / "serving/alexnet/1/assets.extra/tf_serving_warmup_requests").is_file()
    int8 = ["export", *common, "--format", "tflite", "--quantize", "int8", "--name", "small"]
    code, out, err = run_command(int8, capsys)
    assert code == 0, err
    assert "TFLite int8" in out and "%" in out and "synthetic" not in out
    assert err == ""
    assert (tmp_path / "serving/small-int8.tflite").is_file()


def test_int8_without_training_images_is_rejected(model_file, tmp_path, monkeypatch):
    synthetic = types.SimpleNamespace(splits={}, name="shapes", class_names=())
    monkeypatch.setattr("alexnet_tf.export.verify.open_dataset", lambda *_, **__: synthetic)
    with pytest.raises(InputError, match="--dataset"):
        export_with(model=model_file, formats=["tflite"], quantize=["int8"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_users_can_read_exports_made_under_umask_077(model_file, photos, tmp_path):
    out, before = tmp_path / "new" / "serving", os.umask(0o077)
    try:
        export_with(
            model=model_file,
            dataset=photos,
            formats=["saved_model", "tflite", "onnx"],
            out=out,
            check_images=2,
        )
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode & 0o777 for path in (out.parent, *out.parent.rglob("*"))}
    expected = {path: 0o755 if path.is_dir() else 0o644 for path in modes}
    assert modes == expected
    assert {"assets.extra", "class_names.txt", "alexnet.tflite", "alexnet.onnx"} <= {
        path.name for path in modes
    }


def test_export_keeps_the_permissions_of_existing_folders(model_file, photos, tmp_path):
    out = tmp_path / "private"
    out.mkdir(mode=0o700)
    export_with(model=model_file, dataset=photos, formats=["tflite"], out=out, check_images=2)
    assert out.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"name": "../up"}, "--name"),
        ({"name": ""}, "--name"),
        ({"name": ".hidden"}, "--name"),
        ({"formats": ["pb"]}, "pb"),
        ({"model": "missing.keras"}, "missing.keras"),
        ({"run": "first"}, "name two models"),
        ({"formats": ["onnx"], "quantize": ["float16"]}, "--format tflite"),
    ],
)
def test_export_rejects_invalid_options(model_file, photos, tmp_path, options, word):
    arguments = {"model": model_file, "dataset": photos, "out": tmp_path / "out", **options}
    with pytest.raises(InputError, match=word):
        export_with(**arguments)
    assert not (tmp_path / "out").exists()


def test_missing_dependency_is_reported_before_writing(model_file, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ai_edge_litert", None)
    with pytest.raises(InputError, match=r"alexnet-tf\[export\]"):
        export_with(model=model_file, dataset=photos, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_file_with_different_predictions_is_removed(model_file, photos, tmp_path, monkeypatch):
    open_classifier = export_module.open_classifier

    def open_wrong(path):
        right = open_classifier(path)
        return types.SimpleNamespace(
            name=right.name, probabilities=lambda images: right.probabilities(images) + 0.01
        )

    monkeypatch.setattr(export_module, "open_classifier", open_wrong)
    for form in ("saved_model", "tflite"):
        with pytest.raises(RuntimeError, match=r"differ .* 0\.01"):
            export_with(model=model_file, dataset=photos, formats=[form], out=tmp_path / "out")
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == []


def test_verifier_counts_agreements_and_errors(model, resized, tmp_path):
    reference = from_model(model, "m")
    crops = resized[:, 2:34, 2:34].astype(np.float32)
    right = reference.probabilities(crops).argmax(axis=1)
    labels = (right + (np.arange(24) < 5)) % len(NAMES)  # five errors of the model
    verifier = Verifier(reference, VerificationImages("", resized, crops, labels, crops[:0]))
    rolled = types.SimpleNamespace(
        name="", probabilities=lambda x: np.roll(reference.probabilities(x), 1, axis=1)
    )
    (tmp_path / "m").write_bytes(b"1234567")
    rolled.name = str(tmp_path / "m")
    result = verifier.compare("rolled", rolled, tmp_path / "m")
    assert (result.images, result.agreements, result.size_bytes) == (24, 0, 7)
    assert result.top1_errors == 24 - 5
    assert verifier.compare("same", reference, tmp_path / "m").top1_errors == 5


def test_run_is_verified_and_calibrated_on_its_own_images(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe = get_recipe("shapes")
    recipe = recipe.replace(network=small_network(), epochs=1, batch_size=4, resize_pixels=36)
    train(str(photos), run_dir=tmp_path / "run", recipe=recipe, precision="float32", quiet=True)
    result = export_with(
        run=tmp_path / "run", formats=["tflite"], quantize=["int8"], out=tmp_path / "out"
    )
    assert result.images == f"{photos}, validation images"
    keras, tflite = result.checks
    assert keras.images == tflite.images == 12
    assert keras.top1_errors == evaluate(tmp_path / "run").center_crop.top1_errors
    assert 0 < tflite.largest_difference < 0.2
    assert tflite.path.endswith("out/alexnet-int8.tflite")


@pytest.fixture(scope="module")
def exported(model_file, photos, tmp_path_factory):
    """Every kind of file that `export` writes, by one command."""
    out = tmp_path_factory.mktemp("exported")
    words = ["--model", model_file, "--dataset", photos, "--out", out, "--check-images", 4]
    with pytest.raises(SystemExit) as exited:
        main(["export", "--format", "all", "--quantize", "all", *map(str, words)])
    assert exited.value.code == 0
    return out


def test_quantizations_of_one_call_are_a_file_each(model_file, photos, exported, tmp_path, capsys):
    assert sorted(path.name for path in exported.iterdir()) == [
        "alexnet",
        "alexnet-dynamic.tflite",
        "alexnet-float16.tflite",
        "alexnet-int8.tflite",
        "alexnet.onnx",
        "alexnet.tflite",
    ]
    words = ["--model", model_file, "--dataset", photos, "--out", tmp_path, "--format", "tflite"]
    kinds = ["--quantize", "dynamic", "--quantize", "float16", "--quantize", "dynamic"]
    code, out, _ = run_command(["export", *words, *kinds, "--json"], capsys)
    assert code == 0
    forms = [check["form"] for check in json.loads(out)["checks"]]
    assert forms == ["Keras", "TFLite dynamic", "TFLite float16"]
    for name in ("alexnet-dynamic.tflite", "alexnet-float16.tflite"):
        assert (tmp_path / name).read_bytes() == (exported / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("alexnet", 1e-5),
        ("alexnet/1", 1e-5),
        ("alexnet.onnx", 1e-5),
        ("alexnet.tflite", 1e-5),
        ("alexnet-float16.tflite", 5e-3),
        ("alexnet-dynamic.tflite", 0.1),
        ("alexnet-int8.tflite", 0.2),
    ],
)
def test_evaluate_of_an_exported_file_gives_the_errors_of_the_keras_model(
    name, tolerance, exported, model_file, photos, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    results, rows = [], []
    for path in (model_file, exported / name):
        csv_file = tmp_path / "rows.csv"
        words = ["--model", path, "--dataset", photos, "--ten-crop", "--csv", csv_file, "--json"]
        code, out, err = run_command(["evaluate", *words], capsys)
        assert code == 0, err
        results.append(json.loads(out))
        rows.append(list(csv.DictReader(csv_file.open(encoding="utf-8"))))
    for crop in ("center_crop", "ten_crop"):
        expected, found = (result[crop] for result in results)
        assert found["examples"] == expected["examples"] == 12
        assert found["loss"] == pytest.approx(expected["loss"], abs=10 * tolerance)
        if tolerance < 1e-2:
            assert found["top1_errors"] == expected["top1_errors"]
            assert found["top5_errors"] == expected["top5_errors"]
    for expected, found in zip(*rows, strict=True):
        assert (found["image"], found["label"]) == (expected["image"], expected["label"])
        theirs = float(expected["probability_1"])
        assert float(found["probability_1"]) == pytest.approx(theirs, abs=tolerance)


def test_ensemble_of_a_keras_model_and_exported_files(exported, model_file, photos):
    members = [model_file, exported / "alexnet.onnx", exported / "alexnet.tflite"]
    found = evaluate_ensemble(members, dataset=photos, ten_crop=True)
    alone = evaluate(model=model_file, dataset=photos, ten_crop=True)
    for each in (*found.members, found.ensemble):
        assert each.ten_crop.top1_errors == alone.ten_crop.top1_errors
        assert each.ten_crop.loss == pytest.approx(alone.ten_crop.loss, abs=1e-5)


def test_evaluate_rejects_an_exported_file_with_other_classes(exported, tmp_path):
    for name in ("x", "y"):
        (tmp_path / "two" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "two" / name / "0.png")
    with pytest.raises(InputError, match="the model has 6 classes"):
        evaluate(model=exported / "alexnet.onnx", dataset=tmp_path / "two")
    with pytest.raises(InputError, match="--dataset"):
        evaluate(model=exported / "alexnet.onnx")
