"""The settings of a run: options applied to the recipe, and the check on resume."""

import json
import os

import pytest
from run_records import run_record

from alexnet_tf.errors import InputError
from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import NETWORK_OVERRIDES
from alexnet_tf.train_options import TrainOptions
from alexnet_tf.training.run_settings import (
    RunSettings,
    check_epochs,
    new_settings,
    resumed_settings,
)

NETWORK = {"activation": "tanh", "norm": "none", "pooling": "average", "dropout": 0.25}


def record_of(settings):
    """The record that a run with these settings writes."""
    options = settings.options.replace(precision="float32")
    return run_record(options=options, recipe=settings.recipe, epochs=settings.epochs)


def settings(**options):
    return new_settings(TrainOptions(**options))


def resumed(record, **options):
    return resumed_settings(record, TrainOptions(**options))


def test_resume_keeps_a_run_deterministic():
    record = record_of(settings(deterministic=True))
    assert resumed(record).options.deterministic


def test_network_options_are_applied_and_recorded():
    made = settings(**NETWORK, epochs=4)
    assert set(NETWORK) == set(NETWORK_OVERRIDES)
    for name, value in NETWORK.items():
        assert getattr(made.recipe.network, name) == value
    assert made.options.overrides() == {**NETWORK, "epochs": 4}
    assert made.recipe.init == "stable"
    text = json.dumps(made.options.to_json())
    assert TrainOptions.from_json(json.loads(text)) == made.options


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"activation": "swish"}, "--activation must be one of relu.*'swish'"),
        ({"norm": "layer"}, "--norm must be one of lrn, batch, none"),
        ({"pooling": "max"}, "--pooling must be one of overlapping"),
        ({"dropout": 1.0}, r"--dropout must be below 1\. Received: 1\.0"),
        ({"learning_rate_scaling": "square"}, "--learning-rate-scaling.*none, linear"),
        ({"warm_up_epochs": -1.0}, "--warm-up-epochs must be at least 0"),
        ({"warm_up_epochs": float("inf")}, "--warm-up-epochs must be at least 0"),
        ({"epochs": 0}, "--epochs must be at least 1"),
        ({"limit_train": 0}, "--limit-train must be at least 1"),
        ({"learning_rate": 0}, "--learning-rate must be above 0"),
        ({"recipe": "vgg"}, "recipe 'vgg'"),
    ],
)
def test_options_out_of_range_are_rejected(option, message):
    with pytest.raises(InputError, match=message):
        settings(**option)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"activation": "relu"}, "--activation relu differs from the run's tanh"),
        ({"norm": "lrn"}, "--norm lrn differs from the run's none"),
        ({"pooling": "plain"}, "--pooling plain differs from the run's average"),
        ({"dropout": 0.5}, r"--dropout 0\.5 differs from the run's 0\.25"),
        ({"momentum": 0.5}, r"--momentum 0\.5 differs from the run's 0\.9"),
        ({"seed": 1}, "--seed 1 differs from the run's 0"),
        ({"precision": "bfloat16"}, "--precision bfloat16 differs from the run's float32"),
        ({"limit_train": 9}, "--limit-train 9 differs from the run's None"),
        ({"class_weights": "balanced"}, "--class-weights balanced differs from the run's none"),
        ({"deterministic": True}, "--deterministic True differs from the run's False"),
        ({"recipe": "lenet"}, "--recipe lenet differs from the run's shapes"),
    ],
)
def test_resumed_run_may_repeat_its_options_but_not_change_them(given, message):
    record = record_of(settings(**NETWORK))
    expected = RunSettings(record.options, record.recipe, record.epochs)
    assert resumed(record, **NETWORK) == expected
    assert resumed(record, momentum=0.9, precision="auto", recipe="shapes") == expected
    assert resumed(record, devices="cpu:2", tensorboard=True, data_dir=None) == expected
    with pytest.raises(InputError, match=message):
        resumed(record, **given)


def test_resume_rejects_a_recipe_of_the_same_name_with_other_values():
    recipe = get_recipe("shapes")
    record = record_of(settings(recipe=recipe, momentum=0.8))
    assert resumed(record, recipe=recipe).recipe == record.recipe
    assert resumed(record, recipe=recipe.replace(description="reworded")).recipe == record.recipe
    changed = recipe.replace(weight_decay=0.1, dropout=0.1)
    with pytest.raises(InputError, match=r"recipe shapes differs .* in network, weight_decay"):
        resumed(record, recipe=changed)


def test_resumed_run_may_train_for_more_or_fewer_epochs():
    record = record_of(settings(epochs=4))
    assert resumed(record, epochs=6).epochs == 6
    assert resumed(record, epochs=6).recipe.epochs == 4  # the schedule is scaled to these
    assert resumed(record, epochs=3).epochs == 3
    check_epochs(3, 3, "run")
    with pytest.raises(InputError, match="--epochs 2 is less than the 3 epochs that run has done"):
        check_epochs(2, 3, "run")


def test_linear_scaling_multiplies_the_learning_rate_by_the_batch_size_ratio():
    given = {"batch_size": 256, "learning_rate_scaling": "linear", "warm_up_epochs": 2.0}
    made = settings(**given)
    assert made.recipe.learning_rate == pytest.approx(0.01 * 256 / 64)  # shapes: 64
    assert made.recipe.warm_up_epochs == 2
    assert made.options.overrides() == given
    record = record_of(made)
    assert resumed(record, **given).recipe == made.recipe
    with pytest.raises(InputError, match="--learning-rate-scaling none differs from"):
        resumed(record, learning_rate_scaling="none")
    # The option is the learning rate before scaling, also when it is given again.
    scaled = settings(**given, learning_rate=0.02)
    assert scaled.recipe.learning_rate == pytest.approx(0.08)
    assert resumed(record_of(scaled), **given, learning_rate=0.02).recipe == scaled.recipe


def test_dataset_that_is_a_folder_and_a_tfds_name_is_the_tfds_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mnist", "photos"):
        (tmp_path / name).mkdir()
    words = ("mnist", "./mnist", "mnist/", "photos", "none", "./none")
    meant = [settings(dataset=word).dataset for word in words]
    folder = str(tmp_path / "mnist")
    assert meant == ["mnist", folder, folder, str(tmp_path / "photos"), "none", "./none"]


def test_a_folder_that_has_moved_may_be_named_on_resume(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    record = record_of(settings(dataset=str(old)))
    with pytest.raises(InputError, match=r"--dataset .*new differs from the run's .*old"):
        resumed(record, dataset=str(new))
    old.rmdir()
    assert resumed(record, dataset=str(new)).dataset == str(new)
    with pytest.raises(InputError, match="--dataset cifar10 differs from the run's shapes"):
        resumed(record_of(settings()), dataset="cifar10")


def test_data_dir_is_recorded_as_an_absolute_path_or_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = settings(data_dir="tfds")
    assert made.options.data_dir == str(tmp_path / "tfds")
    address = "gs://bucket/tfds"
    assert settings(data_dir=address).options.data_dir == address
    assert resumed(record_of(made), data_dir=address).options.data_dir == address


def test_path_that_is_not_utf8_is_rejected(tmp_path):
    folder = tmp_path / os.fsdecode(b"to\xfeys")
    folder.mkdir()
    with pytest.raises(InputError, match=r"--dataset .*to\\xfeys: .*rename it"):
        settings(dataset=str(folder))
