"""Schedules inside real runs: the 2012 run's, and the plateau's across a resume."""

import os
import re
import signal

import numpy as np
import pytest

import alexnet_tf as an
from alexnet_tf import runs
from alexnet_tf.errors import TrainingStopped
from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import Schedule
from alexnet_tf.training import input as module
from alexnet_tf.training import trainer
from alexnet_tf.training.steps import TrainingStep

STEPS = 6  # 90 photos in batches of 16
EPOCHS = 14  # the 2012 run's 25, 51, 67, 72 and 79 of 91 become 4, 8, 10, 11 and 12
STOPPED_AT = 63  # updates: in epoch 10


@pytest.fixture
def recipe_2012(tiny_recipe):
    """The recipe `2012`, whole, with a network of two convolutions in the order of its blocks."""
    recipe = get_recipe("2012")
    blocks = zip(tiny_recipe.network.convolutions, recipe.network.convolutions, strict=False)
    network = recipe.network.replace(
        convolutions=tuple(
            type(tiny)(**{**vars(tiny), "then": block.then}) for tiny, block in blocks
        ),
        hidden_units=(16,),
        input_size=16,
    )
    return recipe.replace(
        name="tiny-2012",
        network=network,
        epochs=EPOCHS,
        batch_size=16,
        init="stable",
        resize_pixels=20,
        learning_rate=0.001,
    )


@pytest.fixture
def watched(monkeypatch):
    """Notes, for every update, what holds and how far each layer moves."""
    monkeypatch.setattr(trainer, "_SECONDS_PER_CALL", 0)  # one update a call
    call, seen = TrainingStep.__call__, []

    def noting(self, batches, steps, stop, lighting):
        names = [v.path for v in self._model.trainable_variables]
        before = [v.numpy() for v in self._model.trainable_variables]
        epoch = int(self._optimizer.iterations.numpy()) // STEPS
        sums = call(self, batches, steps, stop, lighting)
        after = [v.numpy() for v in self._model.trainable_variables]
        rate = float(self._optimizer.learning_rate.numpy())
        seen.append(
            {
                "epoch": epoch,
                "lighting": lighting,
                "rates": dict(zip(names, rate * self._optimizer.rate_factors.numpy(), strict=True)),
                "moved": {
                    name: float(np.abs(b - a).max())
                    for name, a, b in zip(names, before, after, strict=True)
                },
            }
        )
        return sums

    monkeypatch.setattr(TrainingStep, "__call__", noting)
    return seen


def numbers(history):
    return [
        [v for k, v in sorted(r.to_json().items()) if re.search("loss|error|rate$", k)]
        for r in history
    ]


def test_the_2012_run_from_end_to_end_and_across_a_stop(
    recipe_2012, photos, tmp_path, watched, monkeypatch
):
    asked = []
    batches = module.training_batches
    options = {"recipe": recipe_2012, "precision": "float32", "quiet": True}
    with monkeypatch.context() as patch:
        patch.setattr(
            module,
            "training_batches",
            lambda *a, **k: asked.append((k["epoch"], k["lighting"])) or batches(*a, **k),
        )
        result = an.train(str(photos), run_dir=tmp_path / "run", **options)
    falls = [r.learning_rate for r in result.history]
    assert falls == pytest.approx([1e-3] * 4 + [1e-4] * 4 + [1e-5] * 4 + [1e-6] * 2)
    # Color noise ends, in what the pipeline draws and in the division by 1.1.
    assert asked == [(epoch, epoch < 10) for epoch in range(EPOCHS)]
    assert all(call["lighting"] == (call["epoch"] < 10) for call in watched)
    for call in watched:
        rates, moved, epoch = call["rates"], call["moved"], call["epoch"]
        weights_rate = falls[epoch]
        assert rates["conv2/kernel"] == pytest.approx(weights_rate)
        assert rates["conv2/bias"] == pytest.approx(2e-3)  # does not fall
        assert moved["conv2/kernel"] > 0
        if epoch < 10:
            assert rates["conv1/kernel"] == pytest.approx(weights_rate)
        elif epoch == 10:
            assert rates["conv1/kernel"] == pytest.approx(1e-6)  # 1e-5 where the run's was .01
            assert rates["conv1/bias"] == pytest.approx(2e-3)
        else:
            assert rates["conv1/kernel"] == rates["conv1/bias"] == 0
        assert (moved["conv1/kernel"] > 0) == (moved["conv1/bias"] > 0) == (epoch < 11)
    record = runs.read_run(tmp_path / "run")
    assert record.recipe.lighting_divisor == 1.1
    # It has learned something on the way: colors that are told apart, guessing gives ln 3.
    assert min(r.training_loss for r in result.history) < 0.9

    # The same run, stopped where conv1 is about to be frozen, ends with the same numbers.
    noting, updates = TrainingStep.__call__, []

    def stopping(self, *arguments):
        updates.append(1)
        if len(updates) == STOPPED_AT:
            os.kill(os.getpid(), signal.SIGTERM)
        return noting(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingStep, "__call__", stopping)
        with pytest.raises(TrainingStopped):
            an.train(str(photos), run_dir=tmp_path / "parts", **options)
    parts = an.train(run_dir=tmp_path / "parts", resume=True, quiet=True)
    assert len(updates) == STOPPED_AT
    assert numbers(parts.history) == numbers(result.history)


def test_the_plateau_goes_on_where_it_was(tiny_recipe, photos, tmp_path):
    # Nothing is learned at this rate, so the rate falls after every epoch but the first.
    recipe = tiny_recipe.replace(learning_rate=1e-12, schedule=Schedule(patience_epochs=1))
    options = {"recipe": recipe, "precision": "float32", "quiet": True}
    first = an.train(str(photos), run_dir=tmp_path / "run", epochs=2, **options)
    assert len(first.history) == 2
    result = an.train(run_dir=tmp_path / "run", resume=True, epochs=6, quiet=True)
    rates = [r.learning_rate for r in result.history]
    assert rates == pytest.approx([1e-12, 1e-12, 1e-13, 1e-14, 1e-15, 1e-15], rel=1e-6)
