"""The compiled step: what the network is shown, and which loss is reported."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf as an
from alexnet_tf.model.networks import build_model
from alexnet_tf.training.optimizer import PaperMomentum
from alexnet_tf.training.state import Totals
from alexnet_tf.training.steps import TrainingStep

ROOT = Path(__file__).parents[2]
DIVISOR = 1.1  # of the 2012 code
ROWS, PIXELS = 6, 16


@pytest.fixture
def model(tiny_recipe):
    mean = np.random.default_rng(1).uniform(80, 160, (PIXELS, PIXELS, 3)).astype(np.float32)
    return build_model(tiny_recipe, classes=3, mean=mean, dropout=0.0)


def batch():
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (ROWS, PIXELS, PIXELS, 3)).astype(np.uint8),
        "label": np.arange(ROWS) % 3,
        "weight": np.array([1, 1, 1, 1, 1, 0], np.float32),  # the last row only fills the batch
        "offset": rng.normal(0, 20, (ROWS, 3)).astype(np.float32),
    }


@pytest.mark.parametrize("lighting", [True, False])
def test_the_network_is_shown_what_the_2012_code_shows_it(model, lighting):
    one = batch()
    if not lighting:  # the pipeline's offsets are zero then
        one["offset"] = np.zeros_like(one["offset"])
    mean = model.get_layer("mean").mean.numpy()
    centered = one["image"] - mean + one["offset"][:, None, None]
    # Section 4.1 as the code had it: divided while the noise is on, and not after.
    shown = centered / DIVISOR if lighting else centered
    probabilities = model(shown + mean).numpy()
    losses = -np.log(probabilities[np.arange(ROWS), one["label"]])
    wrong = probabilities.argmax(axis=1) != one["label"]

    optimizer = PaperMomentum(0.01)
    optimizer.build(model.trainable_variables)
    step = TrainingStep(
        model, optimizer, tf.distribute.get_strategy(), seed=0, lighting_divisor=DIVISOR
    )
    totals = Totals()
    totals.add(step(iter(tf.data.Dataset.from_tensors(one)), 1, lighting=lighting))
    assert totals.examples == 5
    assert totals.loss == pytest.approx(losses[:5].mean(), rel=1e-5)
    assert totals.top1_errors == wrong[:5].sum()


def test_an_update_is_the_papers_rule_on_the_mean_gradient(model):
    one = batch()
    x = tf.constant(one["image"][:5], tf.float32) + one["offset"][:5, None, None]
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        loss = keras.losses.sparse_categorical_crossentropy(one["label"][:5], model(x))
        loss = tf.reduce_mean(loss)
    gradients = tape.gradient(loss, variables)
    before = [v.numpy() for v in variables]
    optimizer = PaperMomentum(0.01, 0.9, 0.0005)
    optimizer.build(variables)
    step = TrainingStep(model, optimizer, tf.distribute.get_strategy(), seed=0)
    step(iter(tf.data.Dataset.from_tensors(one)), 1)
    for variable, old, gradient in zip(variables, before, gradients, strict=True):
        decay = 0.0005 if variable.name == "kernel" else 0.0
        np.testing.assert_allclose(
            variable.numpy() - old, -0.01 * (gradient + decay * old), rtol=1e-3, atol=2e-7
        )


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone can limit cores")
def test_work_on_one_core_does_not_count_as_waiting_for_data():
    program = """
import os, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np, tensorflow as tf
import alexnet_tf as an
from alexnet_tf.training.optimizer import PaperMomentum
from alexnet_tf.training.state import Totals
from alexnet_tf.training.steps import TrainingStep
model = an.build_model("cifar10-small")
optimizer = PaperMomentum(0.01)
optimizer.build(model.trainable_variables)
step = TrainingStep(model, optimizer, tf.distribute.get_strategy(), seed=0)
batch = {
    "image": np.zeros((128, 32, 32, 3), np.uint8),
    "label": np.zeros(128, np.int64),
    "weight": np.ones(128, np.float32),
    "offset": np.zeros((128, 3), np.float32),
}
batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
step(batches, 1)
totals, started = Totals(), time.monotonic()
totals.add(step(batches, 4))
print(totals.waiting_seconds / (time.monotonic() - started))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    # All of it is work: a share, of one run.
    assert float(ended.stdout) < 0.5


def test_nothing_of_an_update_begins_before_its_batch_is_there(model):
    optimizer = PaperMomentum(0.01)
    optimizer.build(model.trainable_variables)
    step = TrainingStep(model, optimizer, tf.distribute.get_strategy(), seed=0)
    batches = iter(tf.data.Dataset.from_tensors(batch()))
    traced = step._run.get_concrete_function(
        batches, tf.constant(2, tf.int64), tf.constant(0.0, tf.float64), 1.0
    )
    loops = [
        {node.name: node for node in function.node_def}
        for function in traced.graph.as_graph_def().library.function
        if any(node.op == "IteratorGetNext" for node in function.node_def)
    ]
    assert len(loops) == 1
    nodes = loops[0]

    def ancestors(name: str) -> set[str]:
        seen, left = set(), [name]
        while left:
            for text in nodes[left.pop()].input:
                source = text.lstrip("^").split(":")[0]
                if source in nodes and source not in seen:
                    seen.add(source)
                    left.append(source)
        return seen

    clocks = (name for name, node in nodes.items() if node.op == "Timestamp")
    stopped = {c for c in clocks if any(nodes[a].op == "IteratorGetNext" for a in ancestors(c))}
    assert len(stopped) == 1
    reads = [name for name, node in nodes.items() if node.op == "ReadVariableOp"]
    assert len(reads) > len(model.trainable_variables)
    assert all(stopped <= ancestors(name) for name in reads)


def test_gray_images_train(tiny_recipe, photos, tmp_path):
    recipe = tiny_recipe.replace(network=tiny_recipe.network.replace(channels=1))
    result = an.train(
        str(photos), recipe=recipe, run_dir=tmp_path / "run", epochs=1, seed=1, quiet=True
    )
    assert np.isfinite(result.history[0].training_loss)
    model = an.load_model(tmp_path / "run" / "last.keras")
    assert model.input_shape == (None, PIXELS, PIXELS, 1)
