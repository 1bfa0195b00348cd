"""What is read from a model: its network, kernels and layers; weights copied into another."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from alexnet_tf import paper
from alexnet_tf.errors import InputError
from alexnet_tf.model.inspection import first_kernels, layer_table, network_of
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


@pytest.mark.parametrize("recipe", ["paper", "2012"])
def test_paper_network_has_the_published_counts(recipe):
    summary = layer_table(build_model(recipe))
    assert summary.parameters == paper.PARAMETERS == 60_965_224
    assert summary.multiply_adds == paper.MULTIPLY_ADDS == 724_406_816
    assert summary.non_trainable_parameters == 224 * 224 * 3
    rows = {row.name: row for row in summary.layers}
    assert [row.parameters for row in summary.layers if row.parameters] == [
        *(34_944, 307_456, 885_120, 663_936, 442_624, 37_752_832, 16_781_312, 4_097_000)
    ]
    millions = [round(row.multiply_adds / 1e6, 1) for row in summary.layers if row.multiply_adds]
    assert millions == [105.4, 223.9, 149.5, 112.1, 74.8, 37.7, 16.8, 4.1]
    assert rows["conv1"].output_shape == (55, 55, 96)
    assert [rows[f"pool{i}"].output_shape[0] for i in (1, 2, 5)] == [27, 13, 6]


@pytest.mark.parametrize(
    ("recipe", "classes", "parameters"),
    [
        ("torchvision", 1000, 61_100_840),
        ("two-gpu", 1000, 62_378_344),
        ("article", 1000, 60_965_224),
        ("caffe", 1000, 60_965_224),
        ("fashion-mnist", 10, 46_764_746),
        ("lenet", 10, 61_706),
    ],
)
def test_other_networks_have_their_published_counts(recipe, classes, parameters):
    assert layer_table(build_model(recipe, classes=classes)).parameters == parameters


def test_json_contains_every_row_and_the_totals():
    summary = layer_table(build_model("lenet", classes=10, norm="batch"))
    values = json.loads(json.dumps(summary.to_json()))
    assert values["parameters"] == sum(row["parameters"] for row in values["layers"])
    assert values["multiply_adds"] == sum(row["multiply_adds"] for row in values["layers"])
    assert values["layers"][2] == {
        "name": "conv1",
        "type": "GroupedConv2D",
        "output_shape": [28, 28, 6],
        "parameters": 156,
        "multiply_adds": 28 * 28 * 6 * 25,
        "kernel_size": [5, 5],
        "strides": [1, 1],
        "padding": "same",
        "groups": 1,
    }


def test_2012_network_has_the_geometry_of_the_released_code():
    convolutions = tuple(
        dataclasses.replace(c, filters=8) for c in get_recipe("2012").network.convolutions
    )
    model = build_model("2012", classes=2, convolutions=convolutions, hidden_units=(2,))
    rows = {row.name: row for row in layer_table(model).layers}
    geometry = {
        name: (row.kernel_size, row.strides, row.padding, row.groups) for name, row in rows.items()
    }
    assert geometry["conv1"] == ((11, 11), (4, 4), "ceil", 1)
    assert geometry["conv2"] == ((5, 5), (1, 1), "same", 2)
    assert geometry["conv3"] == ((3, 3), (1, 1), "same", 1)
    assert geometry["pool5"] == ((3, 3), (2, 2), "valid", None)
    assert geometry["norm1"] == (None, None, None, 2)
    assert geometry["spatial_norm2"] == ((5, 5), None, None, None)
    assert geometry["fc6"] == geometry["relu1"] == (None, None, None, None)
