"""Training on a prepared folder, and with classes that count alike."""

import json

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.pipeline import balanced_weights, training_batches
from alexnet_tf.data.prepare.prepare import prepare
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.statistics import fit_statistics
from alexnet_tf.errors import InputError
from alexnet_tf.model.networks import build_model
from alexnet_tf.training.optimizer import PaperMomentum
from alexnet_tf.training.steps import TrainingStep
from alexnet_tf.training.train import train


@pytest.fixture
def prepared(photos, tmp_path):
    """The photos, prepared at the tiny recipe's size."""
    return prepare(str(photos), tmp_path / "prepared", size=20, kind="raw", processes=1).folder


def test_a_prepared_folder_trains_like_any_data_set(prepared, tiny_recipe, tmp_path):
    run = tmp_path / "run"
    result = train(
        str(prepared),
        recipe=tiny_recipe,
        epochs=1,
        run_dir=run,
        quiet=True,
        class_weights="balanced",
    )
    assert result.history[0]["validation_examples"] == 27
    record = json.loads((run / "run.json").read_text())
    assert record["options"]["class_weights"] == "balanced"
    assert record["dataset"]["train_examples"] == 90
    assert record["dataset"]["origin"] == str(prepared)
    resumed = train(run_dir=run, resume=True, epochs=2, quiet=True)
    assert len(resumed.history) == 2
    with pytest.raises(InputError, match="--class-weights none differs from the run's balanced"):
        train(run_dir=run, resume=True, class_weights="none", quiet=True)


def test_unknown_class_weights_are_refused(tiny_recipe):
    with pytest.raises(InputError, match="--class-weights"):
        train("shapes", recipe=tiny_recipe, class_weights="fair", quiet=True)


def test_a_weight_is_as_good_as_seeing_an_example_that_often(prepared, tiny_recipe):
    """One update with weights 3, 1, 1 is that of three times the first class's loss."""
    examples = open_dataset(prepared).splits["train"]
    recipe = tiny_recipe.replace(dropout=0.0, weight_decay=0.0)
    statistics = fit_statistics(examples, recipe.resize_pixels, cache=False)

    def updated(class_weights, scale):
        model = build_model(recipe, classes=3, seed=1)
        optimizer = PaperMomentum(0.01 * scale, 0.0, 0.0)
        optimizer.build(model.trainable_variables)
        step = TrainingStep(model, optimizer, tf.distribute.get_strategy(), seed=0)
        options = {"seed": 0, "epoch": 0, "batch_size": 90, "lighting": False}
        batches = training_batches(
            examples, recipe, statistics, class_weights=class_weights, **options
        )
        sums = step(iter(batches), 1)
        return sums[0], [variable.numpy() for variable in model.trainable_variables]

    plain_loss, plain = updated(None, 1.0)
    same_loss, same = updated(np.full(3, 2.0, np.float32), 0.5)
    assert same_loss == pytest.approx(plain_loss)  # what is reported is not weighted
    for a, b in zip(plain, same, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    _, other = updated(np.array([3.0, 1.0, 1.0], np.float32), 1.0)
    assert any(abs(a - b).max() > 1e-5 for a, b in zip(plain, other, strict=True))
    np.testing.assert_allclose(balanced_weights(examples.labels, 3), 1.0)
