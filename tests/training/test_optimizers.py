import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.errors import InputError
from alexnet_tf.recipes import get_recipe
from alexnet_tf.training import optimizer as optimizer_module
from alexnet_tf.training.optimizer import PaperMomentum
from alexnet_tf.training.optimizers import AdamW, NesterovMomentum, make_optimizer


def dense_model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, name="fc1"), keras.layers.Dense(2, name="fc2")]
    )


def nesterov(w, v, s, g, t, decay):
    down = 0.05 * (g + decay * w)
    v = 0.9 * v - down
    return w + 0.9 * v - down, v, s


def adamw(w, v, s, g, t, decay):
    v, s = 0.9 * v + 0.1 * g, 0.999 * s + 0.001 * g**2
    step = (v / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-7)
    return w - 0.05 * (step + decay * w), v, s


@pytest.mark.parametrize(("kind", "rule"), [(NesterovMomentum, nesterov), (AdamW, adamw)])
def test_thirty_random_steps_against_numpy(kind, rule):
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
def test_a_large_variable_is_updated_alike_in_one_compiled_pass(kind, monkeypatch):
    def after_five(compiled_from):
        monkeypatch.setattr(optimizer_module, "_COMPILED_FROM", compiled_from)
        model, rng = dense_model(), np.random.default_rng(1)
        optimizer = kind(0.05, 0.9, 0.01)
        optimizer.build(model.trainable_variables)
        optimizer.set_rates(0.05, biases=0.1)

        @tf.function
        def update(gradients):
            optimizer.apply(gradients, model.trainable_variables)

        for _ in range(5):
            sizes = [v.shape for v in model.trainable_variables]
            update([tf.constant(rng.normal(size=size), tf.float32) for size in sizes])
        slots = [slot for slots in optimizer.slots().values() for slot in slots]
        return [variable.numpy() for variable in [*model.trainable_variables, *slots]]

    for compiled, plain in zip(after_five(0), after_five(10**9), strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-5, atol=1e-7)
        assert plain.any()


@pytest.mark.parametrize("kind", [NesterovMomentum, AdamW])
def test_a_frozen_layer_does_not_move(kind):
    model = dense_model()
    optimizer = kind(0.05, 0.9, 0.01)
    optimizer.build(model.trainable_variables)
    optimizer.set_rates(0.05, frozen=("fc1",))
    before = [v.numpy() for v in model.trainable_variables]
    ones = [tf.ones(v.shape) for v in model.trainable_variables]
    for _ in range(2):
        optimizer.apply(ones, model.trainable_variables)
    moved = [np.any(v != b) for v, b in zip(model.trainable_variables, before, strict=True)]
    assert moved == [False, False, True, True]


def test_a_recipe_names_its_optimizer():
    recipe = get_recipe("cifar10-small")
    assert type(make_optimizer(recipe, 10)) is PaperMomentum
    made = make_optimizer(recipe.replace(optimizer="adamw", weight_decay=0.5), 10)
    assert (type(made), made.velocity_decay) == (AdamW, 0.5)
    with pytest.raises(InputError, match=r"unknown optimizer 'sgd'.*nesterov"):
        recipe.replace(optimizer="sgd")
