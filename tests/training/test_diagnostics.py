"""Runs that learn nothing, diverge, or have damaged images."""

import math

import numpy as np
import pytest

import alexnet_tf as an
from alexnet_tf import runs
from alexnet_tf.errors import DivergedError, InputError
from alexnet_tf.training.diagnostics import chance_level_loss, stall_message
from tests.training.test_train import go


def test_a_loss_that_is_no_number_ends_the_run_with_advice(tiny_recipe, photos, tmp_path):
    with pytest.raises(DivergedError, match=r"not a number any more .* --learning-rate below"):
        go(tiny_recipe, photos, tmp_path / "run", learning_rate=1e30)


def test_the_last_update_counts_too(tiny_recipe, photos, tmp_path):
    # Epochs of one update: the second one's loss is a number, what comes after it is not.
    given = {"learning_rate": 1e30, "batch_size": 90, "epochs": 2}
    with pytest.raises(DivergedError, match=r"epoch 2, update 1 of 1"):
        go(tiny_recipe, photos, tmp_path / "run", **given)
    assert [record.epoch for record in runs.read_history(tmp_path / "run")] == [1]


def test_a_stalled_run_is_called_so(tiny_recipe, photos, tmp_path, capfd):
    # With a rate this small nothing can be learned: 4 epochs of 90 updates.
    recipe = tiny_recipe.replace(learning_rate=1e-12, batch_size=1, init="paper")
    result = go(recipe, photos, tmp_path / "run", epochs=4)
    assert "stalled" in result.stalled
    assert f"({math.log(3):.3f})" in result.stalled
    assert "Try" in capfd.readouterr().err


def test_balanced_classes_are_not_called_stalled_where_only_the_frequent_one_is_guessed_better():
    labels = np.repeat([0, 1], [95, 5])
    recipe = an.get_recipe("shapes")
    learnt = {"step": 300, "training_loss": 0.3}  # plain; 0.199 by frequencies, 0.693 by halves
    assert stall_message(learnt, chance_level_loss(labels, balanced=True), recipe) is None
    assert chance_level_loss(labels, balanced=True) == pytest.approx(math.log(2))
    frequencies = -(0.95 * math.log(0.95) + 0.05 * math.log(0.05))
    assert chance_level_loss(labels) == pytest.approx(frequencies)
    assert stall_message(learnt, chance_level_loss(labels), recipe) is not None


def test_damaged_images_are_named_and_left_out_up_to_one_in_a_hundred(
    tiny_recipe, photos, tmp_path, capfd
):
    for label in ("blue", "green", "red"):
        source = photos / "train" / label / "00.png"
        for i in range(100, 140):
            (source.parent / f"{i}.png").write_bytes(source.read_bytes())
    damaged = photos / "train" / "red" / "07.png"
    damaged.write_bytes(damaged.read_bytes()[:100])
    (damaged.parent / "notes.txt").write_text("none")
    go(tiny_recipe, photos, tmp_path / "run", epochs=1)
    said = capfd.readouterr().err
    assert str(damaged) in said and "1 file is left out" in said
    assert runs.read_run(tmp_path / "run")["dataset"]["train_examples"] == 209
    for i in range(100, 105):
        (photos / "train" / "red" / f"{i}.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="more than 1%"):
        go(tiny_recipe, photos, tmp_path / "run2")
    assert not (tmp_path / "run2").exists()
