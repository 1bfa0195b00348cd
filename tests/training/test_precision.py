"""bfloat16 trains like float32: 300 updates on drawn images end within the noise of float32."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.examples import ArrayExamples
from alexnet_tf.data.images import resize_and_crop
from alexnet_tf.data.pipeline import training_batches
from alexnet_tf.data.shapes import CLASS_NAMES, draw_example
from alexnet_tf.data.statistics import fit_statistics
from alexnet_tf.model.networks import build_model
from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import Convolution
from alexnet_tf.training.optimizer import PaperMomentum
from alexnet_tf.training.steps import Totals, TrainingStep

STEPS, LAST = 300, 60
CONVOLUTIONS = (
    Convolution(16, 5, strides=2, padding="ceil", then=("activation", "norm", "pool")),
    Convolution(32, 3, groups=2, then=("activation", "norm", "pool")),
    Convolution(32, 3, groups=2),
)


@pytest.mark.slow
def test_bfloat16_trains_like_float32():
    recipe = get_recipe("shapes")
    network = recipe.network.replace(
        convolutions=CONVOLUTIONS, hidden_units=(64, 64), input_size=32, dropout=0.2
    )
    recipe = recipe.replace(network=network, resize_pixels=36, batch_size=32)
    drawn = [draw_example("train", index) for index in range(960)]  # 30 updates an epoch
    images = resize_and_crop(np.stack([image for image, _ in drawn]), 36).numpy()
    examples = ArrayExamples(images, np.array([label for _, label in drawn]))
    statistics = fit_statistics(examples, 36, cache=False)

    def last_loss(dtype, seed):
        model = build_model(
            recipe,
            classes=len(CLASS_NAMES),
            dtype=dtype,
            seed=seed,
            mean=statistics.mean_image,
        )
        optimizer = PaperMomentum(recipe.learning_rate, recipe.momentum, recipe.weight_decay)
        optimizer.build(model.trainable_variables)
        step = TrainingStep(model, optimizer, tf.distribute.get_strategy(), seed=seed)
        totals = Totals()
        for epoch in range(STEPS // 30):
            batches = training_batches(
                examples, recipe, statistics, seed=seed, epoch=epoch, batch_size=32
            )
            sums = step(iter(batches), 30)
            if epoch * 30 >= STEPS - LAST:
                totals.add(sums)
        return totals.loss

    float32 = [last_loss("float32", seed) for seed in range(3)]
    bfloat16 = [last_loss("mixed_bfloat16", seed) for seed in range(3)]
    assert max(float32 + bfloat16) < 0.7 * np.log(len(CLASS_NAMES))  # they learn
    # Noise is what another seed makes; 5% is what three seeds may not show of it.
    noise = max(np.ptp(float32), 0.05 * np.mean(float32))
    assert abs(np.mean(bfloat16) - np.mean(float32)) < noise
