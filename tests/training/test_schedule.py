"""Learning rates: the schedules by themselves, and in whole runs across a resume."""

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
from alexnet_tf.training import input as input_module
from alexnet_tf.training import trainer
from alexnet_tf.training.schedule import LearningRateSchedule, PlateauState
from alexnet_tf.training.step import TrainingStep

STEPS = 6  # 90 photos in batches of 16
EPOCHS = 14  # the 2012 run's 25, 51, 67, 72 and 79 of 91 become 4, 8, 10, 11 and 12
STOPPED_AT = 63  # updates: in epoch 10
VARIABLES = ("conv1/kernel", "conv1/bias", "conv2/kernel", "conv2/bias", "fc3/kernel", "fc3/bias")


def schedule_of(recipe, plateau=None, steps_per_epoch=1):
    return LearningRateSchedule(recipe, steps_per_epoch, VARIABLES, plateau)


def by_variable(schedule, update):
    return dict(zip(VARIABLES, schedule.at(update).variables, strict=True))


def kernel_rates(recipe, epochs):
    schedule = schedule_of(recipe)
    return [schedule.at(epoch).kernels for epoch in range(epochs)]


def plateau_schedule(patience_epochs=2, state=None):
    schedule = Schedule("plateau", patience_epochs=patience_epochs)
    recipe = get_recipe("paper").replace(learning_rate=0.01, schedule=schedule)
    return schedule_of(recipe, state)


def test_plateau_divides_by_ten_at_most_three_times_with_the_exact_sequence():
    schedule = plateau_schedule()
    found = []
    for epoch, errors in enumerate([50, 40, 40, 41, 39, 39, 39, 39, 39, 39, 39, 39, 39]):
        found.append(schedule.at(epoch).kernels)
        schedule.observe(errors)
    assert found == pytest.approx([1e-2] * 4 + [1e-3] * 3 + [1e-4] * 2 + [1e-5] * 4)


def test_plateau_schedule_resumes_from_its_state():
    errors = [50, 40, 40, 41, 39, 39, 39, 39, 39]
    whole, first = plateau_schedule(), plateau_schedule()
    reductions = [whole.observe(e) for e in errors]
    part = [first.observe(e) for e in errors[:5]]
    second = plateau_schedule(state=PlateauState(**vars(first.plateau)))
    part += [second.observe(e) for e in errors[5:]]
    assert part == reductions
    assert second.at(9).kernels == whole.at(9).kernels


def test_2012_schedule_has_the_published_epochs_and_learning_rates():
    schedule = schedule_of(get_recipe("2012"))
    kernels = [schedule.at(epoch).kernels for epoch in range(91)]
    assert [e for e in range(1, 91) if kernels[e] != kernels[e - 1]] == [25, 51, 79]
    assert (kernels[0], kernels[90]) == pytest.approx((0.01, 0.00001))
    found = [by_variable(schedule, epoch) for epoch in range(91)]
    assert {round(float(rates["conv2/bias"]), 7) for rates in found} == {0.02}
    slower = [e for e in range(91) if 0 < found[e]["conv1/kernel"] < 0.99 * kernels[e]]
    assert slower == list(range(67, 72))
    assert found[67]["conv1/kernel"] == pytest.approx(1e-5)
    frozen = [e for e in range(91) if found[e]["conv1/kernel"] == found[e]["conv1/bias"] == 0]
    assert frozen == list(range(72, 91))
    assert [e for e in range(91) if not schedule.has_lighting(e)] == list(range(67, 91))


def test_2012_schedule_is_scaled_to_the_number_of_epochs():
    schedule = schedule_of(get_recipe("2012").replace(epochs=9))
    assert [schedule.at(epoch).kernels for epoch in range(9)] == pytest.approx(
        [1e-2] * 2 + [1e-3] * 3 + [1e-4] * 3 + [1e-5]
    )
    frozen = [by_variable(schedule, epoch)["conv1/kernel"] == 0 for epoch in range(9)]
    assert frozen == [False] * 7 + [True] * 2


def test_steps_schedule_reduces_after_the_given_fractions_of_the_epochs():
    steps = Schedule("steps", at_epochs=(0.5, 0.8))
    recipe = get_recipe("paper").replace(epochs=10, schedule=steps, learning_rate=1.0)
    assert kernel_rates(recipe, 10) == pytest.approx([1.0] * 5 + [0.1] * 3 + [0.01] * 2)


def test_constant_schedule_ignores_validation_errors():
    schedule = schedule_of(get_recipe("cifar10"))
    assert not schedule.observe(5)
    assert not schedule.observe(5)
    assert schedule.at(29).kernels == 0.001
    np.testing.assert_array_equal(schedule.at(29).variables, np.float32(0.001))


def test_cosine_schedule_is_half_a_wave_and_ends_above_zero():
    recipe = get_recipe("paper").replace(epochs=4, schedule=Schedule("cosine"), learning_rate=1.0)
    found = kernel_rates(recipe, 6)
    assert found[:4] == pytest.approx([1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5])
    assert found[4:] == [found[3]] * 2  # a run that trains for longer


def test_learning_rates_of_biases_frozen_layers_and_classifier():
    recipe = get_recipe("paper").replace(
        learning_rate=0.1,
        bias_learning_rate_factor=2.0,
        frozen_layers=("conv1",),
        classifier_learning_rate_factor=10.0,
    )
    expected = [0, 0, 0.1, 0.2, 1.0, 2.0]
    np.testing.assert_allclose(schedule_of(recipe).at(0).variables, expected, rtol=1e-6)


def test_warm_up_raises_every_learning_rate_linearly_update_by_update():
    recipe = get_recipe("paper").replace(
        learning_rate=0.1, bias_learning_rate_factor=2.0, warm_up_epochs=1.5
    )
    schedule = schedule_of(recipe, steps_per_epoch=4)
    factors = np.array([1, 2, 3, 4, 5, 6, 6, 6]) / 6
    found = [schedule.at(update) for update in range(8)]
    assert [rates.kernels for rates in found] == pytest.approx(0.1 * factors)
    np.testing.assert_allclose([r.variables[0] for r in found], 0.1 * factors, rtol=1e-6)
    np.testing.assert_allclose([r.variables[1] for r in found], 0.2 * factors, rtol=1e-6)


def test_schedule_rejects_a_frozen_layer_without_weights():
    recipe = get_recipe("paper").replace(frozen_layers=("conv9",))
    with pytest.raises(ValueError, match=r"'conv9'.*found: \['conv1', 'conv2', 'fc3'\]"):
        schedule_of(recipe)


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
    """Records the learning rates of every update, and how far each variable moves."""
    monkeypatch.setattr(trainer, "_SECONDS_PER_CALL", 0)  # one update per call
    call, seen = TrainingStep.__call__, []

    def noting(self, batches, steps, learning_rates, stop, lighting):
        names = [v.path for v in self._model.trainable_variables]
        before = [v.numpy() for v in self._model.trainable_variables]
        epoch = int(self._optimizer.iterations.numpy()) // STEPS
        sums = call(self, batches, steps, learning_rates, stop, lighting)
        after = [v.numpy() for v in self._model.trainable_variables]
        seen.append(
            {
                "epoch": epoch,
                "lighting": lighting,
                "rates": dict(zip(names, learning_rates[0], strict=True)),
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


def test_2012_run_follows_its_schedule_and_resumes_with_identical_results(
    recipe_2012, photos, tmp_path, watched, monkeypatch
):
    epochs = []
    batches = input_module.training_batches
    options = {"recipe": recipe_2012, "precision": "float32", "quiet": True}
    with monkeypatch.context() as patch:
        patch.setattr(
            input_module,
            "training_batches",
            lambda *a, **k: epochs.append((k["epoch"], a[1].lighting_std > 0)) or batches(*a, **k),
        )
        result = an.train(str(photos), run_dir=tmp_path / "run", **options)
    kernels = [r.learning_rate for r in result.history]
    assert kernels == pytest.approx([1e-3] * 4 + [1e-4] * 4 + [1e-5] * 4 + [1e-6] * 2)
    # PCA lighting ends, both in the pipeline's offsets and in the division by 1.1.
    assert epochs == [(epoch, epoch < 10) for epoch in range(EPOCHS)]
    assert all(call["lighting"] == (call["epoch"] < 10) for call in watched)
    for call in watched:
        rates, moved, epoch = call["rates"], call["moved"], call["epoch"]
        weights_rate = kernels[epoch]
        assert rates["conv2/kernel"] == pytest.approx(weights_rate)
        assert rates["conv2/bias"] == pytest.approx(2e-3)  # constant
        assert moved["conv2/kernel"] > 0
        if epoch < 10:
            assert rates["conv1/kernel"] == pytest.approx(weights_rate)
        elif epoch == 10:
            assert rates["conv1/kernel"] == pytest.approx(1e-6)  # a thousandth of the initial one
            assert rates["conv1/bias"] == pytest.approx(2e-3)
        else:
            assert rates["conv1/kernel"] == rates["conv1/bias"] == 0
        assert (moved["conv1/kernel"] > 0) == (moved["conv1/bias"] > 0) == (epoch < 11)
    record = runs.read_run(tmp_path / "run")
    assert record.recipe.lighting_divisor == 1.1
    # The network learns to distinguish the colors; chance level is ln 3.
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


def test_plateau_continues_after_a_resume(tiny_recipe, photos, tmp_path):
    # Nothing is learned at this learning rate, so it is reduced after every epoch but the first.
    recipe = tiny_recipe.replace(learning_rate=1e-12, schedule=Schedule(patience_epochs=1))
    options = {"recipe": recipe, "precision": "float32", "quiet": True}
    first = an.train(str(photos), run_dir=tmp_path / "run", epochs=2, **options)
    assert len(first.history) == 2
    result = an.train(run_dir=tmp_path / "run", resume=True, epochs=6, quiet=True)
    rates = [r.learning_rate for r in result.history]
    assert rates == pytest.approx([1e-12, 1e-12, 1e-13, 1e-14, 1e-15, 1e-15], rel=1e-6)
