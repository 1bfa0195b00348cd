"""Each initialization matches its source; `stable` starts every recipe at chance-level loss."""

import functools
import math

import keras
import numpy as np
import pytest
import scipy.ndimage
from logits import with_logits

from alexnet_tf.model.networks import build_model
from alexnet_tf.recipes import RECIPES, get_recipe
from alexnet_tf.settings import INITS

TRAINED = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


@functools.cache
def weights(init):
    model = build_model("paper", classes=20, init=init, hidden_units=(128, 128))
    return {name: model.get_layer(name).get_weights() for name in TRAINED}


@pytest.mark.parametrize(
    ("init", "stds", "biases"),
    [
        ("paper", [0.01] * 8, [0, 1, 0, 1, 1, 1, 1, 0]),
        ("2012", [0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01], [0, 1, 0, 1, 1, 1, 1, 0]),
        ("caffe", [0.01] * 5 + [0.005, 0.005, 0.01], [0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0]),
    ],
)
def test_published_stds_and_biases(init, stds, biases):
    for (kernel, bias), std, value in zip(weights(init).values(), stds, biases, strict=True):
        assert kernel.std() == pytest.approx(std, rel=0.05)
        assert abs(kernel.mean()) < 0.05 * std
        np.testing.assert_array_equal(bias, np.full(bias.shape, value, np.float32))


def test_torchvision_matches_pytorchs_default():
    for kernel, bias in weights("torchvision").values():
        bound = 1 / math.sqrt(np.prod(kernel.shape[:-1]))
        assert bound * 0.98 < np.abs(kernel).max() <= bound
        assert kernel.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert 0.5 * bound < np.abs(bias).max() <= bound


def test_xavier_and_he_match_their_formulas():
    for kernel, bias in weights("he").values():
        fan_in = np.prod(kernel.shape[:-1])
        assert kernel.std() == pytest.approx(math.sqrt(2 / fan_in), rel=0.06)
        assert not bias.any()
    for kernel, bias in weights("xavier").values():
        fans = np.prod(kernel.shape[:-1]) + np.prod(kernel.shape[:-2]) * kernel.shape[-1]
        assert kernel.std() == pytest.approx(math.sqrt(2 / fans), rel=0.06)
        assert not bias.any()


@pytest.mark.parametrize("init", INITS)
def test_layers_have_different_initial_weights(init):
    starts = {name: kernel.flat[:3].tobytes() for name, (kernel, _) in weights(init).items()}
    assert len(set(starts.values())) == len(starts)


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_stable_starts_at_chance_level_with_active_hidden_units(recipe):
    network = get_recipe(recipe).network
    batch = network.norm == "batch"  # which normalizes by the batch only in training
    changes = {"dropout": 0.0} if batch else {}
    model = build_model(recipe, classes=10, init="stable", hidden_units=(512, 512), **changes)
    rng = np.random.default_rng(0)
    side = network.input_size
    blurred = scipy.ndimage.gaussian_filter(
        rng.normal(size=(4, side, side, network.channels)), (0, 3, 3, 0)
    )
    offset = 0 if network.mean == "image" else 127.5  # the mean image is subtracted already
    images = (60 * blurred / blurred.std() + offset).astype(np.float32)
    scores = with_logits(model)(images, training=batch).numpy()
    assert 0.001 < np.abs(scores).max() < 1.0
    hidden = len(network.convolutions) + 1
    first = model.get_layer(f"{network.activation}{hidden}").output
    activations = keras.Model(model.input, first)(images, training=batch).numpy()
    assert (activations.std(0) > 0).mean() > 0.5
    if network.activation == "relu":
        energy = (activations**2).sum(-1).mean()
        inverted = network.dropout_style == "inverted" and network.dropout_at == "outputs"
        # Inverted dropout scales up, so that the classifier's input in training is the same.
        expected = 512 * (1 - network.dropout) ** 2 if inverted else 512
        assert expected / 4 < energy < expected * 4


@pytest.mark.parametrize("recipe", ["shapes", "photos", "2012"])
def test_stable_preserves_the_scale_after_batch_normalization(recipe):
    network = get_recipe(recipe).network
    model = build_model(
        recipe, classes=10, init="stable", hidden_units=(512, 512), norm="batch", dropout=0.0
    )
    rng = np.random.default_rng(0)
    side = network.input_size
    blurred = scipy.ndimage.gaussian_filter(rng.normal(size=(8, side, side, 3)), (0, 3, 3, 0))
    images = (60 * blurred / blurred.std()).astype(np.float32)
    activations = keras.Model(model.input, model.get_layer("relu6").output)(images, training=True)
    assert 512 / 4 < float((activations.numpy() ** 2).sum(-1).mean()) < 512 * 4
