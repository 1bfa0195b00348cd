"""The training step as GPUs run it, read from its traced graph; the CPU runs the same graph."""

import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf as an
from alexnet_tf.training import optimizers
from alexnet_tf.training.step import TrainingStep
from alexnet_tf.training.towers import TowerStep

ROWS, UPDATES = 6, 3
STRATEGIES = {
    "single": tf.distribute.get_strategy,
    # Replicas run in threads of their own, also if there is one.
    "mirrored": lambda: tf.distribute.MirroredStrategy(["/CPU:0"]),
    "towers": tf.distribute.get_strategy,
}


@pytest.fixture(autouse=True)
def small_variables_are_compiled(monkeypatch):
    monkeypatch.setattr(optimizers, "_COMPILED_FROM", 0)


class Training:
    """A network, its step and its batches."""

    def __init__(self, recipe, how="single", **options):
        strategy = STRATEGIES[how]()
        with strategy.scope():
            self.model = an.build_model(recipe, classes=4, mean=[120.0, 110.0, 100.0], seed=1)
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
        traced = self.step._run.get_concrete_function(
            self.batches, tf.constant(2, tf.int64), tf.constant(0.0, tf.float64), 1.0, True
        )
        return traced.graph.as_graph_def()


def compiled_by_xla(graph):
    return [
        each.signature.name for each in graph.library.function if "_XlaMustCompile" in each.attr
    ]


@pytest.mark.parametrize("how", STRATEGIES)
def test_native_step_has_no_function_compiled_by_xla_and_the_same_results(tiny_recipe, how):
    native = Training(tiny_recipe, how, native=True)
    assert not compiled_by_xla(native.graph())
    other = Training(tiny_recipe, how)
    assert len(compiled_by_xla(other.graph())) > 5
    (totals, tensors), (expected, others) = native.run(), other.run()
    np.testing.assert_allclose(totals[:4], expected[:4], rtol=1e-5)
    assert tensors.keys() == others.keys()
    for name, values in others.items():
        np.testing.assert_allclose(tensors[name], values, rtol=1e-3, atol=1e-6, err_msg=name)
