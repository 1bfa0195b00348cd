"""A model file contains the whole model, in float32; damaged files are rejected."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import custom_objects, load_model, save_model

NAMES = ["circle", "square", "star"]
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)


def small(recipe="shapes", **changes):
    mean = np.random.default_rng(1).uniform(90, 140, (64, 64, 3))
    return build_model(
        recipe, class_names=NAMES, mean=mean, hidden_units=(8,), input_size=64, **changes
    )


@pytest.mark.parametrize("recipe", ["shapes", "2012"])
@pytest.mark.parametrize("norm", ["lrn", "batch"])
def test_loaded_model_equals_the_saved_one(tmp_path, recipe, norm):
    model = small(recipe, norm=norm)
    save_model(model, tmp_path / "best.keras")
    loaded = load_model(tmp_path / "best.keras")
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
    assert loaded.get_layer("prob").class_names == NAMES
    assert loaded.get_layer("mean").resize_pixels == model.get_layer("mean").resize_pixels
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert [path.name for path in tmp_path.iterdir()] == ["best.keras"]


def test_bfloat16_model_is_saved_in_float32_and_stays_in_bfloat16(tmp_path):
    model = small(dtype="mixed_bfloat16")
    save_model(model, tmp_path / "best.keras")
    loaded = load_model(tmp_path / "best.keras")
    assert {layer.dtype_policy.name for layer in loaded.layers} == {"float32"}
    for kept, weight in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    exact = small()
    exact.set_weights(model.get_weights())
    np.testing.assert_array_equal(loaded(IMAGES), exact(IMAGES))


def test_fitted_model_is_saved_without_its_optimizer(tmp_path):
    model = small()
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(IMAGES, np.zeros(2), verbose=0)
    save_model(model, tmp_path / "last.keras")
    loaded = load_model(tmp_path / "last.keras")
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
    assert not loaded.compiled


def test_keras_loads_a_model_with_custom_objects_in_a_new_process(tmp_path):
    model = small()
    save_model(model, tmp_path / "best.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    program = (
        "import sys, keras, numpy as np, alexnet_tf\n"
        "path, images, out = sys.argv[1:]\n"
        "objects = alexnet_tf.custom_objects()\n"
        "model = keras.models.load_model(path, custom_objects=objects)\n"
        "np.save(out, model(np.load(images)))\n"
    )
    files = [str(tmp_path / name) for name in ("best.keras", "images.npy", "out.npy")]
    subprocess.run([sys.executable, "-c", program, *files], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(files[2]), model(IMAGES), rtol=1e-5)


def test_interrupted_save_keeps_the_old_model(tmp_path, monkeypatch):
    model, path = small(), tmp_path / "best.keras"
    save_model(model, path)
    before = path.read_bytes()

    def fail(self, where, *arguments, **options):
        where.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", fail)
    with pytest.raises(OSError, match="No space"):
        save_model(model, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["best.keras"]


def test_files_that_are_not_models_are_rejected(tmp_path):
    with pytest.raises(InputError, match=r"none\.keras: model file not found"):
        load_model(tmp_path / "none.keras")
    text = tmp_path / "text.keras"
    text.write_text("no model")
    with pytest.raises(InputError, match=r"text\.keras: is not a \.keras file, or is damaged"):
        load_model(text)
    with pytest.raises(InputError, match=r"must end in \.keras"):
        save_model(small(), tmp_path / "model.h5")


@pytest.mark.parametrize("where", [0.3, 0.6, 0.9])
def test_damaged_model_is_rejected(tmp_path, where):
    path = tmp_path / "best.keras"
    save_model(small(), path)
    content = bytearray(path.read_bytes())
    start = int(where * len(content))
    content[start : start + 4000] = bytes(4000)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"best\.keras"):
        load_model(path)
    path.write_bytes(content[:start])
    with pytest.raises(InputError, match=r"best\.keras"):
        load_model(path)


def test_model_of_another_package_is_rejected(tmp_path):
    path = tmp_path / "other.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save(path)
    with pytest.raises(InputError, match="not one of this package"):
        load_model(path)


def test_custom_objects_are_the_registered_layers():
    for name, layer in custom_objects().items():
        assert keras.saving.get_registered_object(name) is layer


SAVED = Path(__file__).parent / "saved"


@pytest.mark.parametrize("name", ["lrn", "batch"])
def test_model_of_an_earlier_version_predicts_the_same(name):
    # Saved when each layer was a module of alexnet_tf.model.
    probabilities = json.loads((SAVED / "expected.json").read_text())["probabilities"][name]
    model = load_model(SAVED / f"{name}.keras")
    images = np.random.default_rng(5).integers(0, 256, (2, 19, 19, 3)).astype(np.uint8)
    np.testing.assert_allclose(model(images), probabilities, rtol=1e-5)
    assert np.ptp(probabilities, axis=0).min() > 1e-3
    kinds = {type(layer).__name__ for layer in model.layers}
    assert {
        "lrn": {
            "GroupedConv2D",
            "LocalResponseNormalization",
            "SpatialResponseNormalization",
            "MaxPooling2D",
            "PaperDropout",
        },
        "batch": {"GroupedConv2D", "BatchNormalization", "InvertedDropout"},
    }[name] < kinds
