"""float16: a scaled loss changes nothing but what would be lost, and an overflow moves nothing."""

import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf as an
from alexnet_tf.model.networks import build_model
from alexnet_tf.training import checkpoints, loss_scale, optimizer
from alexnet_tf.training.loss_scale import FIRST_SCALE, LossScale
from alexnet_tf.training.optimizer import PaperMomentum
from alexnet_tf.training.optimizers import make_optimizer
from alexnet_tf.training.steps import TrainingStep

PIXELS = 16


def batches(count):
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (6, PIXELS, PIXELS, 3)).astype(np.uint8),
        "label": np.arange(6) % 3,
        "weight": np.ones(6, np.float32),
        "offset": np.zeros((6, 3), np.float32),
    }
    return iter(tf.data.Dataset.from_tensors(batch).repeat(count))


def trained(recipe, scale, updates=3, optimizer=None):
    model = build_model(recipe, classes=3)
    optimizer = optimizer or PaperMomentum(0.01)
    optimizer.build(model.trainable_variables)
    strategy = tf.distribute.get_strategy()
    step = TrainingStep(model, optimizer, strategy, seed=0, loss_scale=scale)
    if updates:
        step(batches(updates), updates)
    slots = [slot for slots in optimizer.slots().values() for slot in slots]
    return [v.numpy() for v in [*model.trainable_variables, *slots]]


def test_without_overflow_the_scale_changes_nothing(tiny_recipe):
    plain, scaled = trained(tiny_recipe, None), trained(tiny_recipe, LossScale())
    for a, b in zip(plain, scaled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-9)
    assert any(np.abs(v).max() > 0 for v in plain[-4:])  # velocities


@pytest.mark.parametrize(("rule", "compiled"), [("momentum", True), ("adamw", False)])
def test_an_overflow_moves_nothing_and_halves_the_scale(tiny_recipe, rule, compiled, monkeypatch):
    monkeypatch.setattr(optimizer, "_COMPILED_FROM", 0 if compiled else 10**9)
    recipe = tiny_recipe.replace(optimizer=rule)
    scale = LossScale()
    scale.value.assign(3e38)
    before = trained(recipe, scale, updates=0, optimizer=make_optimizer(recipe, 1))
    scale.value.assign(3e38)
    after = trained(recipe, scale, updates=1, optimizer=make_optimizer(recipe, 1))
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not scale.good.numpy()
    assert scale.value.numpy() < 3e38


def test_good_updates_in_a_row_double_the_scale(tiny_recipe, monkeypatch):
    monkeypatch.setattr(loss_scale, "UPDATES_UNTIL_LARGER", 2)
    scale = LossScale()
    trained(tiny_recipe, scale, updates=5)
    assert (scale.value.numpy(), scale.good_in_row.numpy()) == (4 * FIRST_SCALE, 1)


def test_a_run_in_float16_goes_on_where_it_was(tiny_recipe, photos, tmp_path, monkeypatch):
    def run(folder, **more):
        return an.train(
            str(photos), recipe=tiny_recipe, run_dir=tmp_path / folder, quiet=True, **more
        )

    def scale_saved(folder):
        tensors, _, _ = checkpoints.read_newest(tmp_path / folder / "checkpoints")
        return float(tensors["loss_scale/value"]), int(tensors["loss_scale/in_row"])

    monkeypatch.setattr(loss_scale, "FIRST_SCALE", 1024.0)
    whole = run("whole", epochs=2, precision="float16")
    run("cut", epochs=1, precision="float16")
    updates = scale_saved("cut")[1]
    monkeypatch.setattr(loss_scale, "FIRST_SCALE", 2048.0)  # of new runs
    an.train(run_dir=tmp_path / "cut", resume=True, epochs=2, quiet=True)
    assert scale_saved("cut") == scale_saved("whole") == (1024.0, 2 * updates)
    models = [an.load_model(tmp_path / name / "last.keras") for name in ("whole", "cut")]
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        # Not bit for bit as in float32 and bfloat16: on a CPU, about one in ten runs of the same
        # float16 graph rounds its gradients otherwise, resumed or not.
        np.testing.assert_allclose(a, b, atol=3e-4)
    assert {w.dtype for w in models[0].weights} == {"float32"}
    assert whole.history[-1].training_loss < 2 * np.log(3)
