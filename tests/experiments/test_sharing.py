"""Experiments that share runs: trained once, and only where they are the same to the last bit."""

import dataclasses
import shutil

import pytest

from alexnet_tf.experiments import catalog
from alexnet_tf.experiments import runner as runner_module
from alexnet_tf.experiments.definition import Variant
from alexnet_tf.experiments.plan import new_plan
from alexnet_tf.experiments.runner import run_experiment


@pytest.fixture(autouse=True)
def in_the_folder_of_photos(photos, monkeypatch, begin_under):
    monkeypatch.chdir(photos.parent)
    monkeypatch.setattr(runner_module, "draw_figure", lambda results, path: None)  # takes time
    begin_under("abc")


def run(experiment, root, keep_models=False, **given):
    plan = new_plan(experiment, dataset="photos", **given)
    return run_experiment(experiment, plan, root, quiet=True, keep_models=keep_models)


@pytest.fixture
def other(tiny, monkeypatch):
    """Shares the variant that changes nothing with `tiny`, under another name."""
    variants = (Variant("as it is"), Variant("three", {"dropout": 0.25}))
    experiment = dataclasses.replace(tiny, name="other", variants=variants, expected=())
    monkeypatch.setitem(catalog.EXPERIMENTS, "other", experiment)
    return experiment


def test_a_run_of_another_experiment_is_not_trained_again(tiny, other, tmp_path, scripted):
    scripted.errors = lambda recipe, seed: [0.5, 0.25]
    run(tiny, tmp_path / "first")
    found = run(other, tmp_path / "second")
    names = [name for name, _ in scripted.runs]
    assert names == ["one-seed-0", "two-seed-0", "three-seed-0"]
    shared = found["runs"][0]
    assert shared["variant"] == "as it is"
    assert [entry["training_top1_error"] for entry in shared["history"]] == [0.5, 0.25]
    assert found["commit"] == "abc"
    assert not list(tmp_path.rglob("*.writing"))


@pytest.mark.parametrize("given", [{"limit_train": 48}, {"precision": "float32"}, {"epochs": 3}])
def test_a_run_with_other_settings_is(given, tiny, other, tmp_path, scripted):
    run(tiny, tmp_path / "first")
    run(other, tmp_path / "second", **given)
    assert len(scripted.runs) == 4


@pytest.mark.parametrize("given", [{"commit": "def"}, {"commit": "abc", "cores": 1}])
def test_a_run_of_other_code_or_on_other_cores_is(
    given, tiny, other, tmp_path, scripted, begin_under
):
    run(tiny, tmp_path / "first")
    begin_under(**given)
    run(other, tmp_path / "second")
    assert len(scripted.runs) == 4


def test_a_run_of_other_images_of_the_same_name_is(tiny, other, tmp_path, scripted, monkeypatch):
    run(tiny, tmp_path / "first")
    shutil.copytree("photos", "elsewhere/photos")
    monkeypatch.chdir("elsewhere")
    run(other, tmp_path / "second")
    assert len(scripted.runs) == 4


def test_a_run_of_code_without_a_name_is(tiny, other, tmp_path, scripted, begin_under):
    begin_under("abc+")
    run(tiny, tmp_path / "first")
    run(other, tmp_path / "second")
    assert len(scripted.runs) == 4


def test_a_run_whose_model_is_wanted_and_gone_is(tiny, other, tmp_path, scripted):
    run(tiny, tmp_path / "first")
    run(other, tmp_path / "second", keep_models=True)
    assert len(scripted.runs) == 4


def test_a_run_that_ended_early_is(tiny, other, tmp_path, scripted):
    scripted.errors = lambda recipe, seed: [0.5]
    run(tiny, tmp_path / "first")
    run(other, tmp_path / "second")
    assert len(scripted.runs) == 4


def test_what_is_damaged_beside_it_is_passed_over(tiny, other, tmp_path, scripted):
    run(tiny, tmp_path / "first")
    (tmp_path / "first" / "runs" / "one-seed-0" / "run.json").write_text("{}")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "plan.json").write_text("{")
    run(other, tmp_path / "second")
    assert len(scripted.runs) == 4
