import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.training.optimizer import PaperMomentum, momentum_step


def dense_model(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, name="fc1"), keras.layers.Dense(2, name="fc2")]
    )


def apply(optimizer, model, gradients):
    optimizer.apply([tf.constant(g) for g in gradients], model.trainable_variables)


def test_three_steps_by_hand():
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


def test_fifty_random_steps_against_numpy():
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


def test_decoupled_decay_of_keras_is_ten_times_weaker():
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


def test_rates_of_biases_layers_and_frozen_layers():
    model = dense_model()
    optimizer = PaperMomentum(0.1, 0.9, 0.0)
    optimizer.build(model.trainable_variables)
    optimizer.set_rates(0.1, biases=0.2, layers={"fc1": 0.001}, frozen=("fc2",))
    before = [v.numpy() for v in model.trainable_variables]
    for _ in range(2):
        apply(optimizer, model, [np.ones(v.shape, np.float32) for v in before])
    moved = [v.numpy() - b for v, b in zip(model.trainable_variables, before, strict=True)]
    # Two steps of gradient 1 at momentum .9 move a weight by -(1 + 1.9) rates.
    np.testing.assert_allclose(moved[0], -0.0029, rtol=1e-3)
    np.testing.assert_allclose(moved[1], -0.58, rtol=1e-5)
    assert not moved[2].any()
    assert not moved[3].any()


def test_a_frozen_layer_stops_at_once_despite_its_velocity():
    model = dense_model()
    optimizer = PaperMomentum(0.1)
    optimizer.build(model.trainable_variables)
    ones = [np.ones(v.shape, np.float32) for v in model.trainable_variables]
    apply(optimizer, model, ones)
    optimizer.set_rates(0.1, frozen=("fc1", "fc2"))
    before = [v.numpy() for v in model.trainable_variables]
    apply(optimizer, model, ones)
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_unknown_layer_is_named():
    optimizer = PaperMomentum()
    optimizer.build(dense_model().trainable_variables)
    with pytest.raises(ValueError, match="conv9"):
        optimizer.set_rates(0.1, frozen=("conv9",))


def test_the_rate_rises_evenly_over_the_warm_up_also_after_a_resume():
    moves = []
    for begun_at in (0, 2):
        model = dense_model()
        optimizer = PaperMomentum(0.1, 0.0, 0.0, warm_up_steps=4)
        optimizer.build(model.trainable_variables)
        optimizer.iterations.assign(begun_at)
        before = model.trainable_variables[0].numpy()
        for _ in range(begun_at, 6):
            apply(optimizer, model, [np.ones(v.shape, "f") for v in model.trainable_variables])
            after = model.trainable_variables[0].numpy()
            moves.append(float((before - after).mean()))
            before = after
    shares = [0.25, 0.5, 0.75, 1, 1, 1]
    np.testing.assert_allclose(moves, 0.1 * np.array(shares + shares[2:]), rtol=1e-4)
    assert [optimizer.warm_up(update) for update in (1, 4, 9)] == [0.25, 1.0, 1.0]


@pytest.mark.parametrize(
    "arguments", [{"momentum": 1.0}, {"weight_decay": -1.0}, {"warm_up_steps": -1}]
)
def test_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match="Received"):
        PaperMomentum(**arguments)


def test_fit_and_config_round_trip():
    model, rng = dense_model(), np.random.default_rng(0)
    optimizer = PaperMomentum(0.05, 0.8, 0.001, warm_up_steps=2)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = rng.normal(size=(64, 3)).astype(np.float32)
    history = model.fit(x, (x[:, 0] > 0).astype(int), epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0] / 2
    again = PaperMomentum.from_config(optimizer.get_config())
    assert (again.momentum, again.velocity_decay, again.warm_up_steps) == (0.8, 0.001, 2)
    assert float(again.learning_rate.numpy()) == pytest.approx(0.05)


def test_eager_updates_compile_nothing(monkeypatch):
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
