"""Runs that diverge or have damaged images."""

import math
import shutil

import numpy as np
import pytest

import alexnet_tf as an
from alexnet_tf import runs
from alexnet_tf.errors import DivergedError, InputError
from alexnet_tf.evaluation.metrics import Errors
from alexnet_tf.training import trainer
from alexnet_tf.training.step import TrainingStep
from tests.training.test_train import go


def test_infinite_loss_ends_the_run_with_advice(tiny_recipe, photos, tmp_path):
    with pytest.raises(
        DivergedError, match=r"became NaN, infinite or huge .* --learning-rate below"
    ):
        go(tiny_recipe, photos, tmp_path / "run", learning_rate=1e30)


def test_divergence_in_the_last_update_of_an_epoch_is_not_saved(tiny_recipe, photos, tmp_path):
    # Epochs of one update: its loss is finite, but the weights after it are not usable.
    given = {"learning_rate": 1e30, "batch_size": 90, "epochs": 2}
    with pytest.raises(DivergedError, match=r"epoch 1, update 1 of 1"):
        go(tiny_recipe, photos, tmp_path / "run", **given)
    assert not (tmp_path / "run" / runs.HISTORY).exists()


def test_damaged_images_are_reported_and_skipped_up_to_one_percent(
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
    assert str(damaged) in said and "1 file is skipped" in said
    assert runs.read_run(tmp_path / "run").dataset.train_examples == 209
    for i in range(100, 105):
        (photos / "train" / "red" / f"{i}.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="more than 1%"):
        go(tiny_recipe, photos, tmp_path / "run2")
    assert not (tmp_path / "run2").exists()


@pytest.fixture
def without_validation(photos, tiny_recipe):
    """A data set and a recipe of one update per epoch, without validation."""
    shutil.rmtree(photos / "val")
    return photos, tiny_recipe.replace(hold_out=0.0, batch_size=90)


def test_divergence_in_the_last_update_is_found_without_validation(without_validation, tmp_path):
    photos, recipe = without_validation
    folder = tmp_path / "run"
    with pytest.raises(DivergedError, match=r"epoch 1, update 1 of 1.*no checkpoint was saved"):
        go(recipe, photos, folder, epochs=1, learning_rate=1e15)
    assert not (folder / runs.BEST).exists() and not (folder / runs.LAST).exists()
    assert not list(folder.glob("checkpoints/*.safetensors"))


@pytest.mark.parametrize("what", ["weight", "velocity"])
def test_divergence_keeps_and_names_the_last_good_checkpoint(
    without_validation, tmp_path, monkeypatch, what
):
    photos, recipe = without_validation
    folder = tmp_path / "run"
    go(recipe, photos, folder, epochs=1)
    (checkpoint,) = folder.glob("checkpoints/epoch-0001-*.safetensors")
    content, model = checkpoint.read_bytes(), (folder / runs.LAST).read_bytes()
    call = TrainingStep.__call__

    def damaged(self, *arguments):
        sums = call(self, *arguments)
        variables = {
            "weight": self._model.trainable_variables,
            "velocity": self._optimizer.slots["velocity"],
        }
        values = variables[what][0].numpy()
        values.flat[0] = np.nan
        variables[what][0].assign(values)
        return sums

    monkeypatch.setattr(TrainingStep, "__call__", damaged)
    with pytest.raises(DivergedError, match=f"the last good checkpoint is {checkpoint}"):
        an.train(run_dir=folder, resume=True, epochs=2, quiet=True)
    assert checkpoint.read_bytes() == content
    assert (folder / runs.LAST).read_bytes() == model


def test_nan_validation_loss_keeps_the_earlier_checkpoint(
    tiny_recipe, photos, tmp_path, monkeypatch
):
    folder = tmp_path / "run"
    go(tiny_recipe, photos, folder, epochs=1)
    kept = {path.name for path in folder.glob("checkpoints/*.safetensors")}
    monkeypatch.setattr(trainer, "validate", lambda *a: Errors(27, 27, 27, math.nan))
    with pytest.raises(DivergedError, match=r"the last good checkpoint is .*epoch-0001"):
        an.train(run_dir=folder, resume=True, epochs=2, quiet=True)
    assert {path.name for path in folder.glob("checkpoints/*.safetensors")} <= kept
