"""The update rules against numbers worked out by hand and against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.errors import InputError
from alexnet_tf.recipes import get_recipe
from alexnet_tf.training import optimizers
from alexnet_tf.training.optimizers import (
    AdamW,
    NesterovMomentum,
    PaperMomentum,
    adamw_step,
    make_optimizer,
    momentum_step,
    nesterov_step,
)


def dense_model(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, name="fc1"), keras.layers.Dense(2, name="fc2")]
    )


def apply(optimizer, model, gradients):
    optimizer.apply([tf.constant(g) for g in gradients], model.trainable_variables)


def test_momentum_step_matches_three_steps_by_hand():
    # w=1, v=0, e=.1, m=.5, decay=.1, gradients 1, 2, -1.
    # v1 = 0 - .1*.1*1 - .1 = -.11; w1 = .89
    # v2 = -.055 - .0089 - .2 = -.2639; w2 = .6261
    # v3 = -.13195 - .006261 + .1 = -.038211; w3 = .587889
    w, v = 1.0, 0.0
    seen = []
    for gradient in (1.0, 2.0, -1.0):
        w, v = momentum_step(w, v, gradient, learning_rate=0.1, momentum=0.5, weight_decay=0.1)
        seen.append((w, v))
    expected = [(0.89, -0.11), (0.6261, -0.2639), (0.587889, -0.038211)]
    np.testing.assert_allclose(seen, expected, rtol=1e-12)


def test_paper_momentum_matches_numpy_over_fifty_random_steps():
    model, rng = dense_model(), np.random.default_rng(1)
    optimizer = PaperMomentum(0.05, 0.9, 0.01)
    optimizer.build(model.trainable_variables)
    weights = [v.numpy().astype(np.float64) for v in model.trainable_variables]
    velocities = [np.zeros_like(w) for w in weights]
    for _ in range(50):
        gradients = [rng.normal(size=w.shape).astype(np.float32) for w in weights]
        apply(optimizer, model, gradients)
        for i, gradient in enumerate(gradients):
            decay = 0.01 if weights[i].ndim > 1 else 0.0
            velocities[i] = 0.9 * velocities[i] - 0.05 * (gradient + decay * weights[i])
            weights[i] = weights[i] + velocities[i]
    for variable, expected in zip(model.trainable_variables, weights, strict=True):
        np.testing.assert_allclose(variable.numpy(), expected, rtol=2e-5, atol=2e-5)


def test_keras_decoupled_weight_decay_is_ten_times_weaker():
    def shrink(optimizer):
        model = dense_model()
        start = float(np.abs(model.layers[0].kernel.numpy()).sum())
        zeros = [np.zeros(v.shape, np.float32) for v in model.trainable_variables]
        for _ in range(300):
            apply(optimizer, model, zeros)
        return np.log(start / float(np.abs(model.layers[0].kernel.numpy()).sum()))

    ours = shrink(PaperMomentum(0.01, 0.9, 0.01))
    theirs = shrink(keras.optimizers.SGD(0.01, 0.9, weight_decay=0.01))
    assert 9 < ours / theirs < 10.5


def test_multipliers_scale_the_learning_rate_of_each_variable():
    model = dense_model()
    optimizer = PaperMomentum(0.1, 0.9, 0.0)
    optimizer.build(model.trainable_variables)
    optimizer.multipliers.assign([0.01, 2.0, 0.0, 0.0])
    before = [v.numpy() for v in model.trainable_variables]
    for _ in range(2):
        apply(optimizer, model, [np.ones(v.shape, np.float32) for v in before])
    moved = [v.numpy() - b for v, b in zip(model.trainable_variables, before, strict=True)]
    # Two steps of gradient 1 at momentum .9 move a weight by -(1 + 1.9) learning rates.
    np.testing.assert_allclose(moved[0], -0.0029, rtol=1e-3)
    np.testing.assert_allclose(moved[1], -0.58, rtol=1e-5)
    assert not moved[2].any()
    assert not moved[3].any()


def test_frozen_layer_keeps_its_weights_despite_its_velocity():
    model = dense_model()
    optimizer = PaperMomentum(0.1)
    optimizer.build(model.trainable_variables)
    ones = [np.ones(v.shape, np.float32) for v in model.trainable_variables]
    apply(optimizer, model, ones)
    optimizer.multipliers.assign([0.0] * 4)
    before = [v.numpy() for v in model.trainable_variables]
    apply(optimizer, model, ones)
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert not any(velocity.numpy().any() for velocity in optimizer.slots["velocity"])


@pytest.mark.parametrize("arguments", [{"momentum": 1.0}, {"weight_decay": -1.0}])
def test_optimizer_rejects_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match="Received"):
        PaperMomentum(**arguments)


def test_paper_momentum_works_in_fit_and_its_config_round_trips():
    model, rng = dense_model(), np.random.default_rng(0)
    optimizer = PaperMomentum(0.05, 0.8, 0.001)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = rng.normal(size=(64, 3)).astype(np.float32)
    history = model.fit(x, (x[:, 0] > 0).astype(int), epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0] / 2
    again = PaperMomentum.from_config(optimizer.get_config())
    assert (again.momentum, again.velocity_decay) == (0.8, 0.001)
    assert float(again.learning_rate.numpy()) == pytest.approx(0.05)


def test_eager_updates_compile_no_function(monkeypatch):
    """An eager loop takes constant memory: no function is made per call."""
    made = []
    monkeypatch.setattr(tf, "function", lambda *a, **k: made.append(1))
    weight = keras.Variable(np.ones((500, 500), np.float32), name="kernel")
    optimizer = PaperMomentum(0.1, momentum=0.9, weight_decay=0.01)
    optimizer.build([weight])
    velocity, expected = np.zeros((500, 500)), np.ones((500, 500))
    for _ in range(3):
        optimizer.apply([tf.ones((500, 500))], [weight])
        velocity = 0.9 * velocity - 0.01 * 0.1 * expected - 0.1
        expected = expected + velocity
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-6)
    assert not made


def nesterov(w, v, s, g, t, decay):
    down = 0.05 * (g + decay * w)
    v = 0.9 * v - down
    return w + 0.9 * v - down, v, s


def adamw(w, v, s, g, t, decay):
    v, s = 0.9 * v + 0.1 * g, 0.999 * s + 0.001 * g**2
    step = (v / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-7)
    return w - 0.05 * (step + decay * w), v, s


def test_nesterov_and_adamw_steps_match_numpy_on_plain_numbers():
    w, v, s, g, settings = 0.5, -0.1, 0.2, 2.0, {"momentum": 0.9, "weight_decay": 0.01}
    expected = nesterov(w, v, s, g, 3, 0.01)
    assert nesterov_step(w, v, g, learning_rate=0.05, **settings) == pytest.approx(expected[:2])
    found = adamw_step(w, v, s, g, learning_rate=0.05, update=3, **settings)
    assert [float(value) for value in found] == pytest.approx(adamw(w, v, s, g, 3, 0.01))


@pytest.mark.parametrize(("kind", "rule"), [(NesterovMomentum, nesterov), (AdamW, adamw)])
def test_other_optimizers_match_numpy_over_thirty_random_steps(kind, rule):
    model, rng = dense_model(), np.random.default_rng(1)
    optimizer = kind(0.05, 0.9, 0.01)
    optimizer.build(model.trainable_variables)
    weights = [v.numpy().astype(np.float64) for v in model.trainable_variables]
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for t in range(1, 31):
        gradients = [rng.normal(size=w.shape).astype(np.float32) for w in weights]
        optimizer.apply([tf.constant(g) for g in gradients], model.trainable_variables)
        for i, g in enumerate(gradients):
            decay = 0.01 if weights[i].ndim > 1 else 0.0
            weights[i], first[i], second[i] = rule(weights[i], first[i], second[i], g, t, decay)
    for variable, expected in zip(model.trainable_variables, weights, strict=True):
        np.testing.assert_allclose(variable.numpy(), expected, rtol=5e-5, atol=5e-5)


@pytest.mark.parametrize("kind", [PaperMomentum, NesterovMomentum, AdamW])
def test_compiled_update_of_a_large_variable_matches_the_plain_one(kind, monkeypatch):
    def after_five(compiled_from):
        monkeypatch.setattr(optimizers, "_COMPILED_FROM", compiled_from)
        model, rng = dense_model(), np.random.default_rng(1)
        optimizer = kind(0.05, 0.9, 0.01)
        optimizer.build(model.trainable_variables)
        optimizer.multipliers.assign([1.0, 2.0, 1.0, 2.0])

        @tf.function
        def update(gradients):
            optimizer.apply(gradients, model.trainable_variables)

        for _ in range(5):
            sizes = [v.shape for v in model.trainable_variables]
            update([tf.constant(rng.normal(size=size), tf.float32) for size in sizes])
        slots = [slot for slots in optimizer.slots.values() for slot in slots]
        return [variable.numpy() for variable in [*model.trainable_variables, *slots]]

    for compiled, plain in zip(after_five(0), after_five(10**9), strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-5, atol=1e-7)
        assert plain.any()


@pytest.mark.parametrize("kind", [NesterovMomentum, AdamW])
def test_frozen_layer_does_not_change_with_other_optimizers(kind):
    model = dense_model()
    optimizer = kind(0.05, 0.9, 0.01)
    optimizer.build(model.trainable_variables)
    optimizer.multipliers.assign([0.0, 0.0, 1.0, 1.0])
    before = [v.numpy() for v in model.trainable_variables]
    ones = [tf.ones(v.shape) for v in model.trainable_variables]
    for _ in range(2):
        optimizer.apply(ones, model.trainable_variables)
    moved = [np.any(v != b) for v, b in zip(model.trainable_variables, before, strict=True)]
    assert moved == [False, False, True, True]


def test_make_optimizer_returns_the_optimizer_of_the_recipe():
    recipe = get_recipe("cifar10-small")
    assert type(make_optimizer(recipe)) is PaperMomentum
    made = make_optimizer(recipe.replace(optimizer="adamw", weight_decay=0.5))
    assert (type(made), made.velocity_decay) == (AdamW, 0.5)
    with pytest.raises(InputError, match=r"unknown optimizer 'sgd'.*nesterov"):
        recipe.replace(optimizer="sgd")
