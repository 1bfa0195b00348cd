"""Fine-tuning: copied weights, learning rates, rejected options."""

import numpy as np
import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import load_model, save_model
from alexnet_tf.runs import read_run
from alexnet_tf.training.schedule import LearningRateSchedule
from alexnet_tf.training.train import train

CLASSES = ("blue", "green", "red")


@pytest.fixture
def weights(tiny_recipe, tmp_path):
    """A model for other classes, its mean its own."""
    model = build_model(
        tiny_recipe, class_names=("cat", "dog"), seed=7, mean=np.full((16, 16, 3), 77)
    )
    save_model(model, tmp_path / "w.keras")
    return tmp_path / "w.keras"


def tuned(photos, weights, tmp_path, **options):
    run = tmp_path / "run"
    given = {"epochs": 1, "precision": "float32", "quiet": True, "recipe": "shapes", **options}
    train(str(photos), weights=weights, run_dir=run, **given)
    return run


def test_fine_tuning_starts_from_the_weights_with_a_new_classifier(photos, weights, tmp_path):
    run = tuned(photos, weights, tmp_path, freeze=("conv1", "fc3"), batch_size=16)
    before, after = load_model(weights), load_model(run / "last.keras")
    assert after.input_shape == (None, 16, 16, 3)  # the weights' network, not the recipe's
    assert tuple(after.layers[-1].class_names) == CLASSES
    np.testing.assert_array_equal(after.get_layer("mean").mean, before.get_layer("mean").mean)
    for name in ("conv1", "fc3"):
        for ours, theirs in zip(
            after.get_layer(name).get_weights(), before.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    moved = np.abs(after.get_layer("conv2").kernel - before.get_layer("conv2").kernel).max()
    assert 0 < moved < 0.1 * np.abs(before.get_layer("conv2").kernel).max()
    record = read_run(run)
    assert record.options.weights == str(weights)
    assert record.options.freeze == ("conv1", "fc3")
    assert record.recipe.learning_rate == pytest.approx(0.001)  # a tenth of the recipe's
    assert record.recipe.classifier_learning_rate_factor == 10
    assert record.recipe.resize_pixels == 20


def test_fine_tuning_on_the_same_classes_keeps_the_classifier(
    photos, weights, tiny_recipe, tmp_path
):
    model = build_model(tiny_recipe, class_names=CLASSES, seed=7, init="he")
    save_model(model, weights)
    run = tuned(photos, weights, tmp_path, learning_rate=1e-9, batch_size=16, dropout=0.25)
    after = load_model(run / "last.keras")
    np.testing.assert_allclose(
        after.get_layer("fc4").kernel, model.get_layer("fc4").kernel, atol=1e-6
    )
    assert read_run(run).recipe.classifier_learning_rate_factor == 1
    assert after.get_layer("dropout3").rate == 0.25  # an option may change it


def test_fine_tuning_accepts_a_run_folder_and_resumes_without_the_weights(
    photos, weights, tmp_path
):
    run = tuned(photos, weights, tmp_path, batch_size=16)
    second = tmp_path / "second"
    train(
        str(photos),
        weights=run,
        run_dir=second,
        epochs=1,
        batch_size=16,
        quiet=True,
        precision="float32",
        freeze=("conv1",),
    )
    frozen = load_model(run / "best.keras").get_layer("conv1").kernel.numpy()
    weights.unlink()
    result = train(run_dir=second, resume=True, epochs=2, quiet=True)
    assert len(result.history) == 2
    np.testing.assert_array_equal(
        load_model(second / "last.keras").get_layer("conv1").kernel, frozen
    )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"freeze": ("conv9",)}, "conv9.*conv1, conv2, fc3"),
        ({"freeze": ("fc4",)}, "fc4"),  # the classifier is new
        ({"activation": "tanh"}, "--activation"),
        ({"norm": "none"}, "--norm"),
        ({"weights": "missing.keras"}, "missing"),
        ({"weights": "vgg.h5"}, "import-weights"),
        ({"weights": None, "freeze": ("conv1",)}, "--freeze"),
        ({"resume": True}, "--weights"),
    ],
)
def test_invalid_fine_tuning_options_are_rejected_before_anything_is_written(
    photos, weights, tmp_path, options, word
):
    given = {"weights": weights, "run_dir": tmp_path / "run", "quiet": True, **options}
    with pytest.raises(InputError, match=word):
        train(str(photos), **given)
    assert not (tmp_path / "run").exists()


def test_new_classifier_has_ten_times_the_learning_rate_and_frozen_layers_have_none(tiny_recipe):
    recipe = tiny_recipe.replace(
        learning_rate=0.01, classifier_learning_rate_factor=10.0, frozen_layers=("conv1",)
    )
    paths = [v.path for v in build_model(recipe, classes=3).trainable_variables]
    rates = LearningRateSchedule(recipe, 10, paths).at(0).variables
    expected = {
        **dict.fromkeys(("conv1/kernel", "conv1/bias"), 0),
        **dict.fromkeys(("conv2/kernel", "conv2/bias", "fc3/kernel", "fc3/bias"), 0.01),
        **dict.fromkeys(("fc4/kernel", "fc4/bias"), 0.1),
    }
    assert dict(zip(paths, rates, strict=True)) == pytest.approx(expected)
