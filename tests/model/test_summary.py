"""Parameters, multiply-adds and geometry against the published values."""

import dataclasses
import json

import pytest

from alexnet_tf import paper
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.summary import layer_table
from alexnet_tf.recipes import get_recipe


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
