"""Every experiment fits together, and its variants are what they are called."""

import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.experiments.claims import EXPERIMENTS, get_experiment
from alexnet_tf.experiments.definition import METRICS
from alexnet_tf.model.geometry import check_groups, check_size

REQUIRED = {
    *("relu-vs-tanh", "lrn", "overlapping-pooling", "dropout", "augmentation", "ten-crop", "depth"),
    *("towers", "weight-decay", "init", "paper-vs-2012", "batch-norm", "activations"),
    *("pooling", "optimizers", "dropout-by-decay", "cifar10-alexnet", "cifar10-best"),
    *("fashion-mnist-alexnet", "fashion-mnist-lenet"),
}


def test_experiments_include_all_required():
    assert set(EXPERIMENTS) >= REQUIRED


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_experiment_is_consistent(name):
    experiment = get_experiment(name)
    assert experiment.name == name
    assert experiment.claim.endswith(".")
    names = [variant.name for variant in experiment.variants]
    assert len(set(names)) == len(names)
    assert {side for pair in experiment.expected for side in (pair.better, pair.worse)} <= set(
        names
    )
    assert set(experiment.metrics) <= set(METRICS)
    published = any(variant.published is not None for variant in experiment.variants)
    if experiment.expected or published or experiment.equal_within is not None:
        assert experiment.limitation
    if experiment.learning_rates:
        assert experiment.metric.uses_training_set_only  # test images select nothing
    for variant in experiment.trained_variants:
        recipe = experiment.recipe_for(variant)
        check_groups(recipe.network)
        check_size(recipe.network)
        assert recipe.hold_out == 0  # the last epoch is evaluated, on the test split


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_variants_have_different_recipes(name):
    experiment = get_experiment(name)
    recipes = [experiment.recipe_for(variant) for variant in experiment.trained_variants]
    assert all(a != b for i, a in enumerate(recipes) for b in recipes[:i])


def test_changes_of_the_experiment_come_before_those_of_the_variant():
    experiment = get_experiment("augmentation")
    variants = {variant.name: variant for variant in experiment.variants}
    none = experiment.recipe_for(variants["none"], epochs=3, learning_rate=0.5)
    assert (none.flip, none.resize_pixels, none.network.input_size) == (False, 28, 28)
    assert (none.epochs, none.learning_rate) == (3, 0.5)
    crops = experiment.recipe_for(variants["crops and flips"])
    assert (crops.flip, crops.resize_pixels, crops.network.input_size) == (True, 32, 28)


def test_augmentation_compares_the_augmentations_of_train_with_the_papers():
    experiment = get_experiment("augmentation")
    recipes = {each.name: experiment.recipe_for(each) for each in experiment.variants}
    crops = recipes["crops and flips"]
    assert recipes["random-resized, flips"] == crops.replace(crop="random-resized")
    assert recipes["crops, flips, color jitter"] == crops.replace(color_jitter=0.4)


def test_unknown_experiment_is_rejected_with_the_known_names():
    with pytest.raises(InputError, match=r"unknown experiment 'lnr': choose one of .*lrn"):
        get_experiment("lnr")
