"""Keras' global settings, which a user's keras.json sets, do not change a network."""

import contextlib
import dataclasses
import functools
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from logits import with_logits

from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import load_model, save_model
from alexnet_tf.recipes import RECIPES, get_recipe

SETTINGS = {
    "channels_first": {"image_data_format": "channels_first"},
    "float16": {"floatx": "float16", "dtype_policy": "float16"},
    "float64": {"floatx": "float64", "dtype_policy": "float64"},
    "mixed_bfloat16": {"dtype_policy": "mixed_bfloat16"},
    "epsilon": {"epsilon": 0.1},
}
CHANGES = {"lenet": [{}, {"norm": "batch"}], "2012": [{}, {"pooling": "average"}]}
DEFAULTS = {
    "image_data_format": "channels_last",
    "floatx": "float32",
    "dtype_policy": "float32",
    "epsilon": 1e-7,
}


@contextlib.contextmanager
def global_settings(**settings):
    """Sets Keras' global settings and restores them."""
    try:
        for name, value in settings.items():
            getattr(keras.config, f"set_{name}")(value)
        yield
    finally:
        for name in settings:
            getattr(keras.config, f"set_{name}")(DEFAULTS[name])


def small(name, changes):
    """Builds a recipe's network with few channels and units, from a seed."""
    network = get_recipe(name).network
    convolutions = tuple(
        dataclasses.replace(c, filters=max(6, c.filters // 16)) for c in network.convolutions
    )
    hidden = tuple(8 for _ in network.hidden_units)
    changes = {"convolutions": convolutions, "hidden_units": hidden, "dropout": 0.0, **changes}
    return build_model(network.replace(**changes), classes=3, seed=1, init="he")


def facts(model, images):
    """Returns everything that a setting might change."""
    outputs = {
        "inference": model(images).numpy(),
        "logits": with_logits(model)(images).numpy(),
        "training": model(images, training=True).numpy(),
    }
    layers = [(layer.name, layer.output.shape, layer.output.dtype) for layer in model.layers]
    layers += [layer.dtype_policy.name for layer in model.layers[1:]]  # an input has no arithmetic
    weights = [(w.name, tuple(w.shape), w.dtype, w.numpy()) for w in model.weights]
    return outputs, layers, weights


@functools.lru_cache(maxsize=2)  # the settings of one recipe follow each other
def expected_facts(recipe, changes):
    """Returns images for a recipe's network, and its facts under the default settings."""
    network = get_recipe(recipe).network
    shape = (2, network.input_size, network.input_size, network.channels)
    # Not integers: float16 and bfloat16 would round them.
    images = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    return images, facts(small(recipe, dict(changes)), images)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_network_is_the_same_under_any_global_setting(recipe, settings):
    for changes in CHANGES.get(recipe, [{}]):
        images, expected = expected_facts(recipe, tuple(changes.items()))
        with global_settings(**settings):
            outputs, layers, weights = facts(small(recipe, changes), images)
        assert layers == expected[1]
        assert [w[:3] for w in weights] == [w[:3] for w in expected[2]]
        for ours, theirs in zip(weights, expected[2], strict=True):
            np.testing.assert_array_equal(ours[3], theirs[3], err_msg=ours[0])
        for name, output in outputs.items():
            assert output.dtype == expected[0][name].dtype
            np.testing.assert_array_equal(output, expected[0][name], err_msg=name)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("name", ["lenet", "2012", "cifar10-best"])
def test_saved_model_is_the_same_under_any_global_setting(name, settings, tmp_path):
    model = small(name, {})
    images = np.random.default_rng(0).uniform(0, 255, (2, *model.input_shape[1:]))
    images = images.astype(np.float32)
    expected = model(images)
    save_model(model, tmp_path / "before.keras")
    with global_settings(**settings):
        np.testing.assert_array_equal(load_model(tmp_path / "before.keras")(images), expected)
        save_model(model, tmp_path / "inside.keras")
    np.testing.assert_array_equal(load_model(tmp_path / "inside.keras")(images), expected)


@pytest.mark.slow
def test_parameters_are_the_published_ones_under_a_keras_json(tmp_path):
    settings = {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1}
    (tmp_path / "keras.json").write_text(json.dumps({**settings, "backend": "tensorflow"}))
    program = (
        "import keras, alexnet_tf as an\n"
        "model = an.build_model('lenet', classes=10)\n"
        "print(keras.config.image_data_format(), keras.config.floatx())\n"
        "print(sum(w.numpy().size for w in model.trainable_weights), model.output.dtype)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["channels_first", "float16", "61706", "float32"]
