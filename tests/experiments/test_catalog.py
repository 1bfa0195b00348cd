import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.experiments.catalog import EXPERIMENTS, get_experiment
from alexnet_tf.experiments.measures import METRICS
from alexnet_tf.model.geometry import check_groups, check_size

ASKED_FOR = {
    *("relu-vs-tanh", "lrn", "overlapping-pooling", "dropout", "augmentation", "ten-crop", "depth"),
    *("towers", "weight-decay", "init", "paper-vs-2012", "batch-norm", "activations"),
    *("pooling", "optimizers", "dropout-by-decay", "cifar10-alexnet", "cifar10-best"),
    *("fashion-mnist-alexnet", "fashion-mnist-lenet"),
}


def test_every_experiment_asked_for_is_listed():
    assert set(EXPERIMENTS) >= ASKED_FOR


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_an_experiment_fits_together(name):
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
    if experiment.expected or published or experiment.alike_within is not None:
        assert experiment.reason
    if experiment.rates:
        assert METRICS[experiment.metrics[0]].of_training  # test images choose nothing
    for variant in experiment.trained():
        recipe = experiment.recipe_of(variant)
        check_groups(recipe.network)
        check_size(recipe.network)
        assert recipe.hold_out == 0  # the last epoch is judged, on the test split


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_variants_are_different_networks_or_trainings(name):
    experiment = get_experiment(name)
    recipes = [experiment.recipe_of(variant) for variant in experiment.trained()]
    assert all(a != b for i, a in enumerate(recipes) for b in recipes[:i])


def test_changes_of_the_experiment_come_before_those_of_the_variant():
    experiment = get_experiment("augmentation")
    none = experiment.recipe_of(experiment.variant("none"), epochs=3, rate=0.5)
    assert (none.flip, none.resize_pixels, none.network.input_size) == (False, 28, 28)
    assert (none.epochs, none.learning_rate) == (3, 0.5)
    crops = experiment.recipe_of(experiment.variant("crops and flips"))
    assert (crops.flip, crops.resize_pixels, crops.network.input_size) == (True, 32, 28)


def test_an_unknown_experiment_is_named():
    with pytest.raises(InputError, match=r"unknown experiment 'lnr': choose one of .*lrn"):
        get_experiment("lnr")
