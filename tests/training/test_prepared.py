"""Training on a prepared folder, and with class weights."""

import json

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data import scan
from alexnet_tf.data.pipeline import balanced_weights, training_batches
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.statistics import fit_statistics
from alexnet_tf.errors import InputError, TrainingError
from alexnet_tf.model.networks import build_model
from alexnet_tf.prepare.prepare import prepare
from alexnet_tf.training.optimizers import PaperMomentum
from alexnet_tf.training.step import TrainingStep
from alexnet_tf.training.train import train


@pytest.fixture
def prepared(photos, tmp_path):
    """The photos, prepared at the tiny recipe's size."""
    return prepare(str(photos), tmp_path / "prepared", size=20, kind="raw", processes=1).folder


def test_prepared_folder_trains_and_resumes(prepared, tiny_recipe, tmp_path):
    run = tmp_path / "run"
    result = train(
        str(prepared),
        recipe=tiny_recipe,
        epochs=1,
        run_dir=run,
        quiet=True,
        class_weights="balanced",
    )
    assert result.history[0].validation_examples == 27
    record = json.loads((run / "run.json").read_text())
    assert record["options"]["class_weights"] == "balanced"
    assert record["dataset"]["train_examples"] == 90
    assert record["dataset"]["origin"] == str(prepared)
    resumed = train(run_dir=run, resume=True, epochs=2, quiet=True)
    assert len(resumed.history) == 2
    with pytest.raises(InputError, match="--class-weights none differs from the run's balanced"):
        train(run_dir=run, resume=True, class_weights="none", quiet=True)


@pytest.fixture
def jpegs(photos, tmp_path):
    """The photos, prepared as JPEG: what is read in training is decoded."""
    return prepare(str(photos), tmp_path / "jpegs", size=20, kind="jpeg", processes=1).folder


def damage(folder, split, number):
    """Overwrites the beginning of a prepared image, and returns what undoes it."""
    with np.load(folder / f"index-{split}.npz") as index:
        offset, shard = int(index["image_offset"][number]), int(index["shard"][number])
    marker = json.loads((folder / "prepared.json").read_text())
    path = folder / marker["splits"][split]["shards"][shard]
    whole = path.read_bytes()
    path.write_bytes(whole[:offset] + bytes(40) + whole[offset + 40 :])
    return lambda: path.write_bytes(whole)


def test_damaged_validation_image_is_reported_before_training(jpegs, tiny_recipe, tmp_path):
    name = open_dataset(jpegs).splits["validation"].name(10)
    damage(jpegs, "validation", 10)
    with pytest.raises(InputError, match=rf"1 of 27 validation images .* 1%: {name} \(damaged"):
        train(str(jpegs), recipe=tiny_recipe, run_dir=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_damaged_image_found_in_training_ends_the_run_with_one_line(
    jpegs, tiny_recipe, tmp_path, monkeypatch
):
    monkeypatch.setattr(scan, "IMAGE_CACHE_BYTES", 0)  # as for a set that does not fit into memory
    name, run = open_dataset(jpegs).splits["train"].name(31), tmp_path / "run"
    undo = damage(jpegs, "train", 31)
    with pytest.raises(TrainingError, match=rf"^{name} \(damaged.*--resume") as caught:
        train(str(jpegs), recipe=tiny_recipe, epochs=1, run_dir=run, quiet=True)
    assert "\n" not in str(caught.value)
    undo()
    assert len(train(run_dir=run, resume=True, quiet=True).history) == 1


def test_damaged_prepared_record_still_has_a_name(jpegs):
    examples = open_dataset(jpegs).splits["train"]
    marker = json.loads((jpegs / "prepared.json").read_text())
    shard = jpegs / marker["splits"]["train"]["shards"][0]
    shard.write_bytes(bytes(shard.stat().st_size))
    assert examples.name(0).startswith(f"{shard} at byte ")


def test_unknown_class_weights_are_rejected(tiny_recipe):
    with pytest.raises(InputError, match="--class-weights"):
        train("shapes", recipe=tiny_recipe, class_weights="fair", quiet=True)


def test_class_weight_equals_repeating_the_examples(prepared, tiny_recipe):
    """One update with weights 3, 1, 1 is that of three times the first class's loss."""
    examples = open_dataset(prepared).splits["train"]
    recipe = tiny_recipe.replace(dropout=0.0, weight_decay=0.0, lighting_std=0.0)
    statistics, _ = fit_statistics(examples, recipe.resize_pixels, cache=False)

    def updated(class_weights, scale):
        model = build_model(recipe, classes=3, seed=1)
        optimizer = PaperMomentum(0.01 * scale, 0.0, 0.0)
        optimizer.build(model.trainable_variables)
        step = TrainingStep(model, optimizer, tf.distribute.get_strategy(), seed=0)
        options = {"seed": 0, "epoch": 0, "batch_size": 90}
        batches = training_batches(
            examples, recipe, statistics, class_weights=class_weights, **options
        )
        sums = step(iter(batches), 1)
        return sums[0], [variable.numpy() for variable in model.trainable_variables]

    plain_loss, plain = updated(None, 1.0)
    same_loss, same = updated(np.full(3, 2.0, np.float32), 0.5)
    assert same_loss == pytest.approx(plain_loss)  # the reported loss is not weighted
    for a, b in zip(plain, same, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    _, other = updated(np.array([3.0, 1.0, 1.0], np.float32), 1.0)
    assert any(abs(a - b).max() > 1e-5 for a, b in zip(plain, other, strict=True))
    np.testing.assert_allclose(balanced_weights(examples.labels, 3), 1.0)
