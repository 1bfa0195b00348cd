"""The network and the first kernels read from a model, and weights copied into another."""

import dataclasses

import keras
import numpy as np
import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.model.inspection import first_kernels, network_of
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import copy_weights
from alexnet_tf.network_settings import Convolution, Network
from alexnet_tf.recipes import RECIPES, get_recipe


def small(name, **changes):
    """A recipe's network with an eighth of its channels and units."""
    network = get_recipe(name).network
    convolutions = tuple(
        dataclasses.replace(c, filters=max(6, c.filters // 8)) for c in network.convolutions
    )
    hidden = tuple(max(4, units // 64) for units in network.hidden_units)
    return network.replace(**{"convolutions": convolutions, "hidden_units": hidden, **changes})


NETWORK = Network(
    convolutions=(Convolution(4, 3, strides=2), Convolution(4, 3, groups=2)),
    hidden_units=(),
    input_size=9,
    norm="none",
)
CASES = [(name, {}) for name in RECIPES] + [
    ("paper", {"activation": "leaky_relu", "pooling": "plain", "dropout": 0.0}),
    ("2012", {"norm": "batch", "pooling": "average"}),
    ("shapes", {"channels": 1, "norm": "none", "dropout": 0.25}),
]


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_network_read_from_a_model_builds_the_same_model(name, changes):
    model = build_model(small(name, **changes), classes=3, seed=1)
    again = build_model(network_of(model), classes=3, seed=2)
    ours, theirs = model.get_config()["layers"], again.get_config()["layers"]
    for one, other in zip(ours, theirs, strict=True):
        for initializer in ("kernel_initializer", "bias_initializer"):  # not part of the network
            one["config"].pop(initializer, None), other["config"].pop(initializer, None)
        for layer in (one, other):
            if layer["config"]["name"] == "mean":  # from the recipe, not the network
                layer["config"].pop("resize_pixels")
        assert one["config"] == other["config"]
        assert one["class_name"] == other["class_name"]
    copy_weights(model, again, classes=np.arange(3))
    images = np.random.default_rng(0).uniform(0, 255, (2, *model.input_shape[1:]))
    np.testing.assert_array_equal(model(images), again(images))


def test_new_classifier_is_not_overwritten():
    source = build_model(small("shapes"), classes=3, seed=1, mean=np.full((64, 64, 3), 99))
    target = build_model(small("shapes"), classes=5, seed=2)
    before = target.get_layer("fc8").kernel.numpy()
    copy_weights(source, target, classes=None)
    np.testing.assert_array_equal(target.get_layer("fc8").kernel, before)
    for name in ("conv1", "conv5", "fc6", "fc7"):
        np.testing.assert_array_equal(target.get_layer(name).kernel, source.get_layer(name).kernel)
    assert target.get_layer("mean").mean.numpy().mean() == 99


def test_different_network_is_rejected_by_layer():
    source = build_model(small("shapes"), classes=3)
    with pytest.raises(InputError, match="norm1"):
        copy_weights(
            source, build_model(small("shapes", norm="none"), classes=3), classes=np.arange(3)
        )
    wider = small("shapes", hidden_units=(4, 9))
    with pytest.raises(InputError, match="fc7"):
        copy_weights(source, build_model(wider, classes=3), classes=np.arange(3))
    with pytest.raises(InputError, match="fc8"):
        copy_weights(source, build_model(small("shapes"), classes=4), classes=np.arange(3))


def test_first_kernels_have_the_groups_of_the_network():
    model = build_model(NETWORK, classes=2)
    kernels, groups = first_kernels(model)
    assert groups == 2
    np.testing.assert_array_equal(kernels, model.get_layer("conv1").kernel)
    assert first_kernels(build_model(NETWORK.replace(groups=1), classes=2))[1] == 1


def test_first_kernels_of_a_bgr_network_are_in_rgb_order():
    model = build_model(NETWORK, classes=2, channel_order="bgr")
    kernels, _ = first_kernels(model)
    np.testing.assert_array_equal(kernels[:, :, 0], model.get_layer("conv1").kernel[:, :, 2])


def test_model_without_convolutions_is_rejected():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="no convolution"):
        first_kernels(model)
