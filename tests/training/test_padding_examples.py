"""An update on a padded last batch is the update on its real examples."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.model.networks import build_model
from alexnet_tf.training.optimizer import PaperMomentum
from alexnet_tf.training.state import Totals
from alexnet_tf.training.steps import TrainingStep

ROWS, REAL, PIXELS = 8, 3, 16


def batch():
    """The last batch of an epoch: 3 examples, filled up to 8."""
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (ROWS, PIXELS, PIXELS, 3)).astype(np.uint8),
        "label": np.arange(ROWS) % 3,
        "weight": (np.arange(ROWS) < REAL).astype(np.float32),
        "offset": rng.normal(0, 20, (ROWS, 3)).astype(np.float32),
    }


def updated(recipe, values):
    """The model, and the totals, after one update on a batch."""
    model = build_model(recipe, classes=3, mean=[120.0, 110.0, 100.0], seed=1)
    optimizer = PaperMomentum(0.01)
    optimizer.build(model.trainable_variables)
    step = TrainingStep(model, optimizer, tf.distribute.get_strategy(), seed=0)
    totals = Totals()
    totals.add(step(iter(tf.data.Dataset.from_tensors(values)), 1))
    return model, totals


@pytest.mark.parametrize("norm", ["batch", "lrn"])
def test_update_on_a_padded_batch_equals_the_update_on_its_real_examples(tiny_recipe, norm):
    recipe = tiny_recipe.replace(norm=norm)
    padded, totals = updated(recipe, batch())
    short, expected = updated(recipe, {key: value[:REAL] for key, value in batch().items()})
    assert totals.examples == expected.examples == REAL
    assert totals.loss == pytest.approx(expected.loss, rel=1e-5)
    assert totals.top1_errors == expected.top1_errors
    names = {weight.name for weight in padded.weights}
    assert ("moving_variance" in names) == (norm == "batch")
    for ours, theirs in zip(padded.weights, short.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6, err_msg=ours.path)


def test_what_fills_up_a_batch_does_not_change_the_update(tiny_recipe):
    recipe = tiny_recipe.replace(norm="batch")
    other = batch()
    other["image"][REAL:] = 255 - other["image"][REAL:]
    one, two = updated(recipe, batch())[0], updated(recipe, other)[0]
    for ours, theirs in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7, err_msg=ours.path)
