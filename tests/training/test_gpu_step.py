"""The training step as GPUs run it, read from its traced graph; the CPU runs the same graph."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels, op_def_registry

import alexnet_tf as an
from alexnet_tf.training import open_run, optimizers
from alexnet_tf.training.loss_scale import LossScale
from alexnet_tf.training.step import TrainingStep
from alexnet_tf.training.towers import TowerStep

ROWS, UPDATES = 6, 3
STRATEGIES = {
    "single": tf.distribute.get_strategy,
    # Replicas run in threads of their own, also if there is one.
    "mirrored": lambda: tf.distribute.MirroredStrategy(["/CPU:0"]),
    "towers": tf.distribute.get_strategy,
}


class Training:
    """A network, its step and its batches."""

    def __init__(self, recipe, how="single", dtype="float32", **options):
        strategy = STRATEGIES[how]()
        with strategy.scope():
            self.model = an.build_model(recipe, classes=4, mean=120.0, seed=1, dtype=dtype)
            self.optimizer = an.PaperMomentum(0.01)
            self.optimizer.build(self.model.trainable_variables)
        build = TrainingStep if how != "towers" else TowerStep
        place = ("/CPU:0", "/CPU:0") if how == "towers" else strategy
        self.step = build(self.model, self.optimizer, place, seed=0, **options)
        rng = np.random.default_rng(0)
        rows = {
            "image": rng.integers(0, 256, (UPDATES, ROWS, 16, 16, 3)).astype(np.uint8),
            "label": rng.integers(0, 4, (UPDATES, ROWS)),
            "weight": np.ones((UPDATES, ROWS), np.float32),
            "offset": rng.normal(0, 20, (UPDATES, ROWS, 3)).astype(np.float32),
        }
        dataset = tf.data.Dataset.from_tensor_slices(rows)
        self.batches = iter(
            strategy.experimental_distribute_dataset(dataset) if how == "mirrored" else dataset
        )

    def run(self):
        """Makes the updates; returns the totals and everything that training changed."""
        width = len(self.model.trainable_variables)
        rates = np.linspace(0.5, 1.5, UPDATES, dtype=np.float32)[:, None].repeat(width, axis=1)
        return self.step(self.batches, UPDATES, rates), self.step.tensors()

    def graph(self):
        """The traced step."""
        run = self.step._run_ahead if self.step._ahead else self.step._run
        traced = run.get_concrete_function(
            self.batches, tf.constant(2), tf.constant(0.0, tf.float64), 1.0, True
        )
        return traced.graph.as_graph_def()

    def loop(self):
        """The function in the graph that makes one update."""
        functions = self.graph().library.function
        (found,) = (f for f in functions if any(n.op == "IteratorGetNext" for n in f.node_def))
        return found


def compiled_by_xla(graph):
    return [
        each.signature.name for each in graph.library.function if "_XlaMustCompile" in each.attr
    ]


@pytest.mark.parametrize("how", STRATEGIES)
def test_native_step_has_no_function_compiled_by_xla(tiny_recipe, how, monkeypatch):
    monkeypatch.setattr(optimizers, "_COMPILED_FROM", 0)  # small variables, too
    assert not compiled_by_xla(Training(tiny_recipe, how, native=True, ahead=True).graph())
    assert not compiled_by_xla(Training(tiny_recipe, how, native=True).graph())
    assert len(compiled_by_xla(Training(tiny_recipe, how).graph())) > 5


def test_native_step_gives_the_results_of_the_compiled_one(tiny_recipe):
    results = [Training(tiny_recipe, native=native).run() for native in (True, False)]
    (totals, tensors), (expected, others) = results
    np.testing.assert_allclose(totals[:4], expected[:4], rtol=1e-5)
    assert tensors.keys() == others.keys()
    for name, values in others.items():
        np.testing.assert_allclose(tensors[name], values, rtol=1e-3, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("how", STRATEGIES)
def test_step_of_gpus_gives_the_results_of_the_cpus_step(tiny_recipe, how):
    ours = Training(tiny_recipe, how, native=True, ahead=True)
    theirs = Training(tiny_recipe, how, native=True)
    (totals, tensors), (expected, others) = ours.run(), theirs.run()
    np.testing.assert_array_equal(totals[:4], expected[:4])
    assert totals[3] == UPDATES * ROWS
    assert totals[4] == 0 < expected[4]  # waiting is measured on CPUs alone
    assert tensors.keys() == others.keys()
    for name, values in others.items():
        np.testing.assert_array_equal(tensors[name], values, err_msg=name)


def test_totals_are_those_of_one_call_and_a_stop_request_is_returned(tiny_recipe):
    training = Training(tiny_recipe, native=True, ahead=True)
    first = training.step(training.batches, 1)
    second = training.step(training.batches, 2, stop=True)
    assert (first[3], first[5], second[3], second[5]) == (ROWS, 0, 2 * ROWS, 1)


def ancestors(loop, name):
    """The nodes that a node waits for, through data and control."""
    nodes = {node.name: node for node in loop.node_def}
    seen, left = set(), [name]
    while left:
        for text in nodes[left.pop()].input:
            source = text.lstrip("^").split(":")[0]
            if source in nodes and source not in seen:
                seen.add(source)
                left.append(source)
    return [nodes[each] for each in seen]


@pytest.mark.parametrize("how", STRATEGIES)
def test_next_batch_does_not_depend_on_the_previous_update(tiny_recipe, how):
    loop = Training(tiny_recipe, how, native=True, ahead=True).loop()
    requests = [node.name for node in loop.node_def if node.op == "IteratorGetNext"]
    assert len(requests) == 1
    assert not [node.op for node in ancestors(loop, requests[0]) if "Variable" in node.op]
    # What else passes from one update to the next are the loop's counters. A sum would have to be
    # computed before the loop goes on.
    pairs = zip(loop.signature.input_arg, loop.signature.output_arg, strict=True)
    changed = [value for value, result in pairs if loop.ret[result.name] != value.name]
    assert {value.type for value in changed} == {tf.int32.as_datatype_enum}


def gpu_kernel(node):
    """TensorFlow's GPU kernel for a node, or None."""
    types = {name: value.type for name, value in node.attr.items() if value.type}
    for kernel in kernels.get_registered_kernels_for_op(node.op).kernel:
        limits = ((each.name, each.allowed_values.list.type) for each in kernel.constraint)
        if kernel.device_type in ("GPU", "DEFAULT") and all(
            types[name] in allowed for name, allowed in limits if name in types
        ):
            return kernel
    return None


def on_cpu(node, kernel, arguments):
    """For each value of some arguments of a node, whether it is in the CPU's memory."""
    found = []
    for argument in arguments:
        count = node.attr[argument.number_attr].i if argument.number_attr else 1
        if argument.type_list_attr:
            count = len(node.attr[argument.type_list_attr].list.type)
        is_handle = argument.type == tf.resource.as_datatype_enum
        found += [(argument.name, is_handle or argument.name in kernel.host_memory_arg)] * count
    return found


@pytest.mark.skipif(
    not any(k.device_type == "GPU" for k in kernels.get_registered_kernels_for_op("LRN").kernel),
    reason="this build of TensorFlow has no GPU kernels to look up",
)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_no_value_passes_between_gpu_and_cpu_during_an_update(tiny_recipe, dtype):
    options = {"loss_scale": LossScale()} if dtype == "mixed_float16" else {}
    loop = Training(tiny_recipe, dtype=dtype, native=True, ahead=True, **options).loop()
    nodes = {node.name: node for node in loop.node_def}
    assert {node.op for node in nodes.values() if gpu_kernel(node) is None} == set()
    places = {}  # of each value: whether it is in the CPU's memory
    for name, node in nodes.items():
        counts = {}
        for output, is_host in on_cpu(node, gpu_kernel(node), op_def(node).output_arg):
            places[f"{name}:{output}:{counts.setdefault(output, 0)}"] = is_host
            counts[output] += 1
    crossings = []
    for name, node in nodes.items():
        inputs = [text for text in node.input if not text.startswith("^")]
        needed = on_cpu(node, gpu_kernel(node), op_def(node).input_arg)
        for text, (argument, is_host) in zip(inputs, needed, strict=True):
            source = nodes.get(text.split(":")[0])
            if source is not None and source.op != "Const" and places[text] != is_host:
                crossings.append(f"{text} -> {name}.{argument}")
    assert crossings == []


def op_def(node):
    """The definition of a node's operation."""
    return op_def_registry.get(node.op)


def test_run_as_on_gpus_gives_the_results_of_the_cpu(tiny_recipe, photos, tmp_path, monkeypatch):
    def run(folder):
        options = {"precision": "float32", "kernels": "native", "epochs": 2, "quiet": True}
        return an.train(str(photos), recipe=recipe, run_dir=tmp_path / folder, **options)

    # On a CPU the order in which the gradients of overlapping windows are added is left to chance.
    recipe = tiny_recipe.replace(network=tiny_recipe.network.replace(pooling="plain"))
    expected = run("cpu").history
    configure = open_run.configure_devices
    # The CPU in place of a GPU: images are flipped on it, and batches copied to it in advance.
    monkeypatch.setattr(
        open_run,
        "configure_devices",
        lambda *given: dataclasses.replace(configure(*given), on_gpus=True),
    )
    found = run("gpu")
    changing = {"seconds": 0.0, "images_per_second": 0.0, "waiting_fraction": None}
    assert [record.waiting_fraction for record in found.history] == [None, None]
    assert [dataclasses.replace(record, **changing) for record in found.history] == [
        dataclasses.replace(record, **changing) for record in expected
    ]
    restored = an.train(run_dir=tmp_path / "gpu", resume=True, epochs=3, quiet=True)
    assert restored.history[:2] == found.history
