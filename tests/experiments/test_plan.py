import dataclasses

import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.experiments.plan import (
    Speed,
    all_jobs,
    check_same,
    duration,
    new_plan,
    parse_budget,
    shorten,
)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("2h", 7200), ("90s", 90), (None, None)]
)
def test_budgets(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["30", "m", "-3m", "0h", "infm", "nanm", ""])
def test_bad_budgets(text):
    with pytest.raises(InputError, match="--budget"):
        parse_budget(text)


def test_a_plan_is_the_experiments_but_for_what_is_given(tiny):
    plan = new_plan(tiny, seeds=4)
    assert (plan.dataset, plan.seeds, plan.epochs, plan.limit_train) == ("cifar10", 4, 2, None)


def test_images_that_are_all_judged_cannot_be_limited(tiny):
    judged = dataclasses.replace(tiny, metrics=("test_error", "ten_crop_error"))
    assert new_plan(tiny, limit_val=10).limit_val == 10
    with pytest.raises(InputError, match="--limit-val: tiny judges its networks on all images"):
        new_plan(judged, limit_val=10)


def budgeted(tiny, minutes, tmp_path, images=90):
    plan = new_plan(tiny, dataset="photos", epochs=30, budget_seconds=60 * minutes)
    jobs = list(all_jobs(tiny, plan, tmp_path))
    speeds = {"one": Speed(10, 1, 100), "two": Speed(20, 2, 50)}
    return shorten(plan, jobs, speeds, images)


def test_a_budget_that_is_large_enough_changes_nothing(tiny, tmp_path):
    # 30 epochs of 9,000 images: 10 + 30 * 91 and 20 + 30 * 182 seconds, 137.5 minutes.
    plan = budgeted(tiny, 138, tmp_path, images=9000)
    assert (plan.epochs, plan.limit_train, plan.shortened) == (30, None, "")


def test_a_budget_takes_epochs_first_for_all_variants_alike(tiny, tmp_path):
    plan = budgeted(tiny, 100, tmp_path, images=9000)
    assert (plan.epochs, plan.limit_train) == (21, None)  # 30 + 21 * 273 = 5,763 of 6,000 seconds
    assert "21 epochs of 9,000 images instead of 30 of 9,000" in plan.shortened
    assert "50 images/s" in plan.shortened


def test_then_it_takes_images(tiny, tmp_path):
    plan = budgeted(tiny, 20, tmp_path, images=9000)
    assert plan.epochs == 10
    assert plan.limit_train == pytest.approx((1200 - 30 - 30) / 10 / 0.03, abs=1)
    assert f"{plan.limit_train:,} images instead of 30 of 9,000" in plan.shortened


def test_what_is_spent_on_measuring_is_gone(tiny, tmp_path):
    plan = new_plan(tiny, dataset="photos", epochs=30, budget_seconds=6600)
    speeds = {"one": Speed(10, 1, 100), "two": Speed(20, 2, 50)}
    jobs = list(all_jobs(tiny, plan, tmp_path))
    assert shorten(plan, jobs, speeds, 9000, spent=600).epochs == 21


def test_a_budget_that_is_too_small_says_what_would_do(tiny, tmp_path):
    with pytest.raises(
        InputError, match=r"--budget 60 seconds is too short for 2 runs: 10 epochs of 128"
    ):
        budgeted(tiny, 1, tmp_path, images=9000)


def test_a_folder_goes_on_with_the_same_and_with_more_seeds(tiny, tmp_path):
    stored = new_plan(tiny, seeds=2)
    assert check_same(stored, new_plan(tiny, seeds=3), tmp_path).seeds == 3
    with pytest.raises(InputError, match="epochs 2, not 3: give the same command"):
        check_same(stored, new_plan(tiny, epochs=3), tmp_path)


def test_what_a_budget_took_stays_taken(tiny, tmp_path):
    stored = budgeted(tiny, 100, tmp_path, images=9000)
    asked = new_plan(tiny, dataset="photos", epochs=30, budget_seconds=6000)
    assert check_same(stored, asked, tmp_path) == stored
    with pytest.raises(InputError, match="epochs 30, not 20"):
        other = new_plan(tiny, dataset="photos", epochs=20, budget_seconds=6000)
        check_same(stored, other, tmp_path)
    with pytest.raises(InputError, match="seeds 1, not 2"):
        check_same(stored, dataclasses.replace(asked, seeds=2), tmp_path)
    with pytest.raises(InputError, match="budget seconds"):
        check_same(stored, new_plan(tiny, dataset="photos", epochs=30), tmp_path)


@pytest.mark.parametrize(
    ("seconds", "text"), [(45, "45 seconds"), (754, "13 minutes"), (7560, "2.1 hours")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
