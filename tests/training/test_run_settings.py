"""What a run is asked for: overrides of recipe and network, and what a resume may say."""

import json
import os

import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.settings import NETWORK_OVERRIDES
from alexnet_tf.training.run_settings import RunOptions, new_options, resumed_options

NOTHING = {
    "dataset": None,
    "data_dir": None,
    "recipe": None,
    "seed": None,
    "precision": "auto",
    "limit_train": None,
    "limit_val": None,
}
COMPOSED = {"activation": "tanh", "norm": "none", "pooling": "average", "dropout": 0.25}


def test_overrides_of_the_network_reach_it_and_are_recorded():
    options = new_options(**NOTHING, **COMPOSED, epochs=4, init=None)
    assert set(COMPOSED) == set(NETWORK_OVERRIDES)
    for name, value in COMPOSED.items():
        assert getattr(options.recipe.network, name) == value
    assert options.overrides == {**COMPOSED, "epochs": 4}
    assert options.recipe.init == "stable"
    assert RunOptions.from_json(json.loads(json.dumps(options.to_json()))) == options


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"activation": "swish"}, "activation 'swish'.*relu"),
        ({"norm": "layer"}, "norm 'layer'.*lrn, batch, none"),
        ({"pooling": "max"}, "pooling 'max'.*overlapping"),
        ({"dropout": 1.0}, r"dropout.*1\.0"),
    ],
)
def test_a_network_that_cannot_be_is_refused(override, message):
    with pytest.raises(InputError, match=message):
        new_options(**NOTHING, **override)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"activation": "relu"}, "--activation relu differs from the run's tanh"),
        ({"norm": "lrn"}, "--norm lrn differs from the run's none"),
        ({"pooling": "plain"}, "--pooling plain differs from the run's average"),
        ({"dropout": 0.5}, r"--dropout 0\.5 differs from the run's 0\.25"),
        ({"momentum": 0.5}, r"--momentum 0\.5 differs from the run's 0\.9"),
    ],
)
def test_a_resume_may_repeat_the_overrides_and_not_change_them(asked, message):
    recorded = new_options(**NOTHING, **COMPOSED)
    assert resumed_options(recorded, **NOTHING, **COMPOSED) == recorded
    assert resumed_options(recorded, **NOTHING) == recorded
    with pytest.raises(InputError, match=message):
        resumed_options(recorded, **NOTHING, **asked)


def test_linear_scaling_multiplies_the_rate_by_the_growth_of_the_batch():
    given = {"batch_size": 256, "learning_rate_scaling": "linear", "warm_up_epochs": 2.0}
    options = new_options(**NOTHING, **given)
    assert options.recipe.learning_rate == pytest.approx(0.01 * 256 / 64)  # shapes: 64
    assert options.recipe.warm_up_epochs == 2
    assert options.overrides == given
    assert RunOptions.from_json(json.loads(json.dumps(options.to_json()))) == options
    assert resumed_options(options, **NOTHING, **given) == options
    with pytest.raises(InputError, match="--learning-rate-scaling none differs from"):
        resumed_options(options, **NOTHING, learning_rate_scaling="none")
    with pytest.raises(InputError, match=r"--warm-up-epochs 1\.0 differs from the run's 2\.0"):
        resumed_options(options, **NOTHING, warm_up_epochs=1.0)
    # What was given is the rate before it was multiplied, also when it is given again.
    scaled = new_options(**NOTHING, **given, learning_rate=0.02)
    assert scaled.recipe.learning_rate == pytest.approx(0.08)
    assert resumed_options(scaled, **NOTHING, **given, learning_rate=0.02) == scaled


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"learning_rate_scaling": "square"}, "--learning-rate-scaling 'square'.*none, linear"),
        ({"warm_up_epochs": -1.0}, "warm-up epochs must be 0 or more"),
    ],
)
def test_scaling_and_warm_up_are_checked(override, message):
    with pytest.raises(InputError, match=message):
        new_options(**NOTHING, **override)


def test_a_word_that_is_a_folder_and_a_tfds_name_is_the_latter(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mnist", "photos"):
        (tmp_path / name).mkdir()
    words = ("mnist", "./mnist", "mnist/", "photos", "none", "./none")
    meant = [new_options(**{**NOTHING, "dataset": word}).dataset for word in words]
    folder = str(tmp_path / "mnist")
    assert meant == ["mnist", folder, folder, str(tmp_path / "photos"), "none", "./none"]


def test_a_path_that_no_record_can_hold_is_refused(tmp_path):
    folder = tmp_path / os.fsdecode(b"to\xfeys")
    folder.mkdir()
    with pytest.raises(InputError, match=r"--dataset .*to\\xfeys: .*rename it"):
        new_options(**{**NOTHING, "dataset": str(folder)})
