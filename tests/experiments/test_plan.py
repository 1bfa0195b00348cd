"""Plans of experiments: the user's choices, and what a folder is resumed with."""

import dataclasses

import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.experiments.plan import check_same, new_plan


def test_a_plan_is_the_experiments_own_except_for_what_is_given(tiny):
    plan = new_plan(tiny, seeds=4)
    assert (plan.dataset, plan.seeds, plan.epochs, plan.limit_train) == ("cifar10", 4, 2, None)
    assert plan.shortened == ""


def test_images_that_are_all_evaluated_cannot_be_limited(tiny):
    evaluated = dataclasses.replace(tiny, metrics=("test_error", "ten_crop_error"))
    assert new_plan(tiny, limit_val=10).limit_val == 10
    with pytest.raises(InputError, match="--limit-val: tiny evaluates its networks on all images"):
        new_plan(evaluated, limit_val=10)


def test_a_shortened_plan_says_what_was_reduced(tiny):
    longer = dataclasses.replace(tiny, seeds=3, limit_train=20_000)
    plan = new_plan(longer, seeds=1, epochs=1, limit_train=500, limit_val=100)
    assert plan.shortened == (
        "Shortened: 1 seeds instead of 3, 1 epochs instead of 2, 500 training images instead of "
        "20,000, 100 images to evaluate on instead of all."
    )
    assert new_plan(longer, seeds=4, epochs=2).shortened == ""


def test_a_folder_is_resumed_with_the_same_plan_and_more_seeds(tiny, tmp_path):
    stored = dataclasses.replace(new_plan(tiny, seeds=2), images="a")
    assert check_same(stored, new_plan(tiny, seeds=3), tmp_path).seeds == 3
    with pytest.raises(InputError, match="epochs 2, not 3: give the same command"):
        check_same(stored, new_plan(tiny, epochs=3), tmp_path)
    other = dataclasses.replace(stored, images="b")
    with pytest.raises(InputError, match="on other images of cifar10"):
        check_same(stored, other, tmp_path)
