"""The network in two towers: rejected settings, placement of operations, exchanged tensors."""

import json
import subprocess
import sys

import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.model.geometry import check_towers
from alexnet_tf.recipes import get_recipe
from alexnet_tf.training.devices import configure_devices

# Makes two updates in towers on two logical devices and two on one device; prints the largest
# differences of the weights, and each device's convolutions and the tensors that it receives.
PROGRAM = """
import json, sys
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
import alexnet_tf as an
from alexnet_tf.settings import Recipe
from alexnet_tf.training.devices import configure_devices
from alexnet_tf.training.step import TrainingStep
from alexnet_tf.training.towers import TowerStep

devices = configure_devices(devices="cpu:2", precision="float32", parallelism="towers")
rng = np.random.default_rng(0)
rows = {
    "image": rng.integers(0, 256, (2, 8, 16, 16, 3)).astype(np.uint8),
    "label": rng.integers(0, 5, (2, 8)),
    "weight": np.ones((2, 8), np.float32),
    "offset": rng.normal(0, 9, (2, 8, 3)).astype(np.float32),
}

def measure(recipe):
    ends = []
    for towers in (False, True):
        model = an.build_model(recipe, classes=5)  # an odd number: one tower has one class more
        optimizer = an.PaperMomentum(0.01)
        optimizer.build(model.trainable_variables)
        if towers:
            step = TowerStep(model, optimizer, devices.devices, seed=1)
            context.context().enable_run_metadata()
        else:
            step = TrainingStep(model, optimizer, devices.strategy, seed=1)
        step(iter(tf.data.Dataset.from_tensor_slices(rows)), 2)
        step.tensors()
        ends.append([v.numpy() for v in (*model.trainable_variables, *optimizer.slots["velocity"])])
    functions = context.context().export_run_metadata().function_graphs
    graphs = max((f.partition_graphs for f in functions), key=len)
    apart = [float(abs(a - b).max() / abs(a).max()) for a, b in zip(*ends)]
    found = {"apart": apart, "devices": {}}
    for graph in graphs:
        users = {}
        for node in graph.node:
            for name in node.input:
                users.setdefault(name.lstrip("^").split(":")[0], []).append(node.name)
        kinds = [node.op.replace("_MklNative", "").replace("_Mkl", "") for node in graph.node]
        received = [n for n in graph.node if n.op in ("_Recv", "_HostRecv")]
        found["devices"][graph.node[0].device[-5:]] = {
            "filter_gradients": kinds.count("Conv2DBackpropFilter"),
            "matmuls": kinds.count("MatMul"),
            "received": [
                [n.attr["tensor_name"].s.decode(), users.get(n.name, [])]
                for n in received
                if n.attr["tensor_type"].type == 1 and "control" not in n.name.lower()
            ],
        }
    return found

print(json.dumps([measure(Recipe.from_json(values)) for values in json.loads(sys.argv[1])]))
"""


def test_towers_require_a_network_in_two_groups():
    check_towers(get_recipe("paper").network)
    check_towers(get_recipe("2012").network)
    with pytest.raises(InputError, match=r"a network in two groups.*groups of 1$"):
        check_towers(get_recipe("cifar10").network)
    with pytest.raises(InputError, match="--norm batch"):
        check_towers(get_recipe("paper").network.replace(norm="batch"))
    with pytest.raises(InputError, match="even numbers"):
        check_towers(get_recipe("paper").network.replace(hidden_units=(4096, 33)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs two devices: name two GPUs with --devices 0,1"),
        ({"strategy": "mirrored"}, "leave out --strategy"),
        ({"strategy": "multiworker"}, "leave out --strategy"),
        ({"parallelism": "pipeline"}, "choose one of data, towers"),
    ],
)
def test_towers_reject_other_device_configurations(options, message):
    with pytest.raises(InputError, match=message):
        configure_devices(**{"parallelism": "towers", **options})


@pytest.mark.slow
def test_towers_exchange_only_where_the_papers_arrows_cross(tiny_recipe):
    convolutions = tiny_recipe.network.convolutions
    # Connected to both towers, like conv3.
    last = type(convolutions[0])(8, 3, then=("activation", "pool"))
    network = tiny_recipe.network.replace(convolutions=(*convolutions, last, convolutions[1]))
    # The window of LRN ends at the border between the towers, or crosses it.
    recipes = [
        tiny_recipe.replace(network=network.replace(lrn_within_groups=per_tower)).to_json()
        for per_tower in (True, False)
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(recipes)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # flatten is the input of fc5, the first fully connected layer here.
    arrows = {"conv3", "flatten", "fc6"}
    for found, expected in zip(json.loads(done.stdout), (arrows, arrows | {"norm1"}), strict=True):
        assert max(found["apart"]) < 1e-5
        both = [found["devices"][name] for name in ("CPU:0", "CPU:1")]
        # Four convolutions and two fully connected layers, forward and backward, on each device.
        assert [device["filter_gradients"] for device in both] == [4, 4]
        assert both[0]["matmuls"] == both[1]["matmuls"] >= 6
        for device, images in zip(both, (0, 1), strict=True):  # the image goes to both
            crossings, others = set(), []
            for sent, users in device["received"]:
                if any(name in sent for name in ("NoOp", "loop", "waited")):
                    continue  # synchronization, no values
                names = [part for part in f"{sent}/{users[0]}".split("/") if "crossing_" in part]
                if names:
                    crossings.add(names[-1].removeprefix("crossing_"))
                else:
                    others.append(sent)
            gradients = {f"{name}_gradient" for name in expected}
            assert crossings == expected | gradients | {"loss"}
            assert len(others) == images, others
