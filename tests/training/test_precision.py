"""Training in bfloat16 agrees with float32: the gradients of a step, the loss after 300 updates.

The comparison is made where training is smooth: no dropout, a learning rate of 0.001. There, two
runs of one seed stay close, and only the precision differs. At the recipe's 0.01 the loss after 300
updates varies a lot from seed to seed. Mean losses in float32, bfloat16 and emulated bfloat16:
0.837, 0.787 and 0.894 over seeds 0 to 7, where emulation seemed worse than native by 0.107 with a
standard error of 0.034; 0.868, 0.876 and 0.872 over seeds 8 to 31, which were run to check that,
and where the difference is -0.004 with a standard error of 0.025.
"""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.examples import ArrayExamples
from alexnet_tf.data.images import resize_and_crop
from alexnet_tf.data.pipeline import training_batches
from alexnet_tf.data.shapes import CLASS_NAMES, draw_example
from alexnet_tf.data.statistics import fit_statistics
from alexnet_tf.model.networks import build_model
from alexnet_tf.network_settings import Convolution
from alexnet_tf.recipes import get_recipe
from alexnet_tf.training.optimizers import PaperMomentum
from alexnet_tf.training.state import Totals
from alexnet_tf.training.step import TrainingStep

EPOCHS, STEPS, SEEDS = 10, 30, 3
LEARNING_RATE = 0.001
CONVOLUTIONS = (
    Convolution(16, 5, strides=2, padding="ceil", then=("activation", "norm", "pool")),
    Convolution(32, 3, groups=2, then=("activation", "norm", "pool")),
    Convolution(32, 3, groups=2),
)


@pytest.fixture(scope="module")
def recipe():
    """A small network with every layer of AlexNet, without dropout."""
    shapes = get_recipe("shapes")
    network = shapes.network.replace(
        convolutions=CONVOLUTIONS, hidden_units=(64, 64), input_size=32, dropout=0.0
    )
    return shapes.replace(network=network, resize_pixels=36, batch_size=32)


@pytest.fixture(scope="module")
def data():
    """Drawn images with their statistics: 30 updates in an epoch."""
    drawn = [draw_example("train", index) for index in range(32 * STEPS)]
    images = resize_and_crop(np.stack([image for image, _ in drawn]), 36).numpy()
    examples = ArrayExamples(images, np.array([label for _, label in drawn]))
    return examples, fit_statistics(examples, 36, cache=False)[0]


def make_model(recipe, statistics, dtype, seed):
    return build_model(
        recipe, classes=len(CLASS_NAMES), dtype=dtype, seed=seed, mean=statistics.mean_image
    )


def gradients(recipe, data, dtype):
    """The gradients of the first batch by variable, float64."""
    examples, statistics = data
    model = make_model(recipe, statistics, dtype, seed=0)
    for number, variable in enumerate(model.trainable_variables):
        if variable.path.endswith("kernel"):  # He's, so that activations are of the usual size
            deviation = np.sqrt(2 / np.prod(variable.shape[:-1]))
            drawn = np.random.default_rng(number).standard_normal(variable.shape)
            variable.assign(deviation * drawn)
    batch = next(
        iter(training_batches(examples, recipe, statistics, seed=0, epoch=0, batch_size=32))
    )

    @tf.function
    def compute(images, labels):
        with tf.GradientTape() as tape:
            probabilities = tf.cast(model(images, training=True), tf.float32)
            right = tf.gather(probabilities, labels, axis=1, batch_dims=1)
            loss = -tf.reduce_mean(tf.math.log(right))
        return tape.gradient(loss, [v.value for v in model.trainable_variables])

    found = compute(batch["image"], batch["label"])
    paths = [variable.path for variable in model.trainable_variables]
    return {path: tf.cast(g, tf.float64).numpy() for path, g in zip(paths, found, strict=True)}


def relative_errors(recipe, data):
    """The L2 error of each bfloat16 gradient relative to the float32 one."""
    exact, found = (gradients(recipe, data, d) for d in ("float32", "mixed_bfloat16"))
    return {p: np.linalg.norm(found[p] - exact[p]) / np.linalg.norm(exact[p]) for p in exact}


# bfloat16 has 8 bits: each layer on the way back adds about 2%. Up to 15% was measured, in conv1.
LARGEST_ERROR = 0.25


def test_bfloat16_gradients_match_float32(recipe, data):
    errors = relative_errors(recipe, data)
    assert len(errors) == 2 * 6
    assert max(errors.values()) < LARGEST_ERROR, errors


def last_loss(recipe, data, dtype, seed):
    """The mean training loss of the last two epochs."""
    examples, statistics = data
    model = make_model(recipe, statistics, dtype, seed)
    optimizer = PaperMomentum(LEARNING_RATE, recipe.momentum, recipe.weight_decay)
    optimizer.build(model.trainable_variables)
    step = TrainingStep(model, optimizer, tf.distribute.get_strategy(), seed=seed)
    totals = Totals()
    for epoch in range(EPOCHS):
        batches = training_batches(
            examples, recipe, statistics, seed=seed, epoch=epoch, batch_size=32
        )
        sums = step(iter(batches), STEPS)
        if epoch >= EPOCHS - 2:
            totals.add(sums)
    return totals.loss


@pytest.mark.slow
def test_bfloat16_trains_like_float32(recipe, data):
    differences = []
    for seed in range(SEEDS):
        float32, bfloat16 = (
            last_loss(recipe, data, d, seed) for d in ("float32", "mixed_bfloat16")
        )
        assert float32 < 0.5 * np.log(len(CLASS_NAMES))  # it learns
        differences.append(bfloat16 / float32 - 1)
    # Measured over six seeds: -0.9% on average with a standard deviation of 1.3%, the same where
    # the processor computes bfloat16 and where it is emulated.
    assert abs(np.mean(differences)) < 0.04, differences
