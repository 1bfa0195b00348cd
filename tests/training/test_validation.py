"""The check that a run learns: its loss against chance level."""

import math

import numpy as np
import pytest
from run_records import epoch_record

import alexnet_tf as an
from alexnet_tf.training.validation import chance_level_loss, stall_message
from tests.training.test_train import go


def test_run_that_learns_nothing_is_reported_as_stalled(tiny_recipe, photos, tmp_path, capfd):
    # With a learning rate this small nothing can be learned: 4 epochs of 90 updates.
    recipe = tiny_recipe.replace(learning_rate=1e-12, batch_size=1, init="paper")
    result = go(recipe, photos, tmp_path / "run", epochs=4)
    assert "stalled" in result.stalled
    assert f"({math.log(3):.3f})" in result.stalled
    assert "Try" in capfd.readouterr().err


def test_stall_message_uses_the_chance_level_of_balanced_classes():
    labels = np.repeat([0, 1], [95, 5])
    recipe = an.get_recipe("shapes")
    learnt = epoch_record(
        step=300, training_loss=0.3
    )  # plain; 0.199 by frequencies, 0.693 by halves
    assert stall_message(learnt, chance_level_loss(labels, balanced=True), recipe) is None
    assert chance_level_loss(labels, balanced=True) == pytest.approx(math.log(2))
    frequencies = -(0.95 * math.log(0.95) + 0.05 * math.log(0.05))
    assert chance_level_loss(labels) == pytest.approx(frequencies)
    assert stall_message(learnt, chance_level_loss(labels), recipe) is not None
