"""Running experiments with a replaced `train`, and once with real training."""

import dataclasses
import json
import os
import platform
import re
import shutil
import signal
from pathlib import Path

import pytest

from alexnet_tf import recipes
from alexnet_tf.cli import main
from alexnet_tf.errors import DivergedError, InputError, TrainingError, TrainingStopped
from alexnet_tf.experiments import claims
from alexnet_tf.experiments.plan import new_plan
from alexnet_tf.experiments.runner import run_experiment


@pytest.fixture(autouse=True)
def in_the_folder_of_photos(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)


def run(experiment, root, **given):
    plan = new_plan(experiment, dataset="photos", **given)
    results = run_experiment(experiment, plan, root, quiet=True, command="python cli.py")
    return results.to_json()


def names(scripted):
    return [name for name, _ in scripted.runs]


def test_every_variant_and_seed_runs_once_and_leaves_numbers_only(tiny, tmp_path, scripted):
    scripted.errors = lambda recipe, seed: [0.5, 0.2 + 0.1 * seed]
    results = run(tiny, tmp_path / "out", seeds=2)
    assert names(scripted) == ["one-seed-0", "two-seed-0", "one-seed-1", "two-seed-1"]
    assert [v["metrics"]["test_error"]["values"] for v in results["variants"]] == [
        [pytest.approx(0.3), pytest.approx(0.4)]
    ] * 2
    assert results["seconds"] == 4 * 2 * 1.5
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {
        "figure.png",
        "plan.json",
        "provenance.json",
        "results.json",
        "runs",
        "table.md",
    }
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results
    assert not list(tmp_path.rglob("*.keras"))


def test_experiment_stopped_between_runs_resumes_with_the_next(tiny, tmp_path, scripted):
    def stop(folder):
        if folder.name == "two-seed-0":
            raise KeyboardInterrupt

    scripted.before_run = stop
    with pytest.raises(TrainingStopped, match="give the same command to resume"):
        run(tiny, tmp_path)
    assert not (tmp_path / "results.json").exists()
    scripted.before_run = lambda folder: None
    run(tiny, tmp_path)
    assert names(scripted) == ["one-seed-0", "two-seed-0", "two-seed-0"]
    run(tiny, tmp_path)
    assert len(scripted.runs) == 3


def test_other_settings_in_the_same_folder_are_rejected_before_any_run(tiny, tmp_path, scripted):
    run(tiny, tmp_path)
    with pytest.raises(InputError, match="epochs 2, not 5"):
        run(tiny, tmp_path, epochs=5)
    assert len(scripted.runs) == 2


def test_data_set_without_test_or_validation_split_is_rejected(tiny, tmp_path, photos, scripted):
    shutil.rmtree(photos / "val")
    with pytest.raises(InputError, match="photos has neither a test nor a validation split"):
        run(tiny, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_fewer_images_than_a_batch_are_rejected_and_the_correction_is_accepted(
    tiny, tmp_path, scripted
):
    with pytest.raises(InputError, match=r"9 training images of photos are fewer .* --limit-train"):
        run(tiny, tmp_path / "out", limit_train=9)
    run(tiny, tmp_path / "out", limit_train=30)  # no plan was stored for 9
    assert len(scripted.runs) == 2


def test_runs_of_another_recipe_are_rejected_unless_only_reworded(
    tiny, tmp_path, scripted, monkeypatch
):
    run(tiny, tmp_path)
    reworded = recipes.RECIPES["tiny"].replace(description="described in other words")
    monkeypatch.setitem(recipes.RECIPES, "tiny", reworded)
    run(tiny, tmp_path)
    changed = reworded.replace(learning_rate=0.5)
    monkeypatch.setitem(recipes.RECIPES, "tiny", changed)
    with pytest.raises(InputError, match="trained with another recipe than the experiment now has"):
        run(tiny, tmp_path, seeds=2)
    assert len(scripted.runs) == 2


def test_commit_and_cores_are_those_at_the_start_of_a_run(tiny, tmp_path, scripted, set_provenance):
    for seeds, commit, cores in ((1, "abc", 2), (2, "def", 1), (2, "ghi", 4)):
        set_provenance(commit, cores)
        results = run(tiny, tmp_path, seeds=seeds)
    assert results["commit"] == "abc, def"
    arch = platform.machine()
    assert results["machine"] == f"2 {arch} cores, 1 {arch} core"


def test_other_images_of_the_same_data_set_are_rejected(tiny, tmp_path, photos, scripted):
    run(tiny, tmp_path / "out")
    (photos / "train" / "red" / "00.png").unlink()
    with pytest.raises(InputError, match="on other images of photos: give another --out"):
        run(tiny, tmp_path / "out", seeds=2)
    assert len(scripted.runs) == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"one-seed-0": {"cores": 2}}'])
def test_damaged_provenance_is_rejected_with_its_path(content, tiny, tmp_path, scripted):
    run(tiny, tmp_path)
    (tmp_path / "provenance.json").write_text(content)
    with pytest.raises(InputError, match=r"provenance\.json is damaged"):
        run(tiny, tmp_path)


def test_best_learning_rate_is_selected_with_the_first_seed(tiny, tmp_path, scripted, monkeypatch):
    searching = dataclasses.replace(
        tiny,
        metrics=("epochs_to_training_error",),
        learning_rates=(0.1, 0.2, 0.4),
        compares_ratio=True,
        epochs=9,
    )
    monkeypatch.setitem(claims.EXPERIMENTS, "tiny", searching)
    after = {0.1: 6, 0.2: 3, 0.4: 9}  # epochs

    def errors(recipe, seed):
        slower = 2 if recipe.network.norm == "none" and recipe.learning_rate == 0.2 else 0
        return [0.5] * (after[recipe.learning_rate] + slower - 1) + [0.25] * 9

    scripted.errors = errors
    results = run(searching, tmp_path, seeds=2)
    assert names(scripted)[-2:] == ["one-seed-1-rate-0.2", "two-seed-1-rate-0.2"]
    assert len(scripted.runs) == 2 * 3 + 2
    rows = results["variants"]
    assert [row["learning_rate"] for row in rows] == [0.2, 0.2]
    assert [row["metrics"]["epochs_to_training_error"]["values"] for row in rows] == [
        [3, 3],
        [5, 5],
    ]
    lengths = {
        (run["variant"], run["seed"], run["learning_rate"]): len(run["history"])
        for run in results["runs"]
    }
    assert lengths["one", 0, 0.1] == 6
    assert lengths["one", 0, 0.4] == 3  # longer than the best
    assert sum(run["selected"] for run in results["runs"]) == 4


def test_lowest_training_error_selects_the_learning_rate_if_none_reaches_the_target(
    tiny, tmp_path, scripted, monkeypatch
):
    never = dataclasses.replace(
        tiny,
        metrics=("epochs_to_training_error",),
        learning_rates=(0.1, 0.2, 0.4),
        compares_ratio=True,
    )
    monkeypatch.setitem(claims.EXPERIMENTS, "tiny", never)
    scripted.errors = lambda recipe, seed: [
        0.9,
        {0.1: 0.8, 0.2: 0.6, 0.4: 0.7}[recipe.learning_rate],
    ]
    results = run(never, tmp_path, seeds=2)
    assert names(scripted)[-2:] == ["one-seed-1-rate-0.2", "two-seed-1-rate-0.2"]
    assert [row["learning_rate"] for row in results["variants"]] == [0.2, 0.2]


def test_divergence_is_a_result(tiny, tmp_path, scripted):
    def diverge(folder):
        if folder.name == "two-seed-0":
            folder.mkdir(parents=True)
            raise DivergedError("the loss became NaN or infinite")

    scripted.before_run = diverge
    results = run(tiny, tmp_path)
    assert [run["diverged"] for run in results["runs"]] == [False, True]
    assert "| two | diverged in 1 of 1 |" in (tmp_path / "table.md").read_text()
    run(tiny, tmp_path)
    assert len(scripted.runs) == 2


def test_run_that_fails_for_another_reason_raises_and_keeps_its_checkpoints(
    tiny, tmp_path, scripted
):
    checkpoint = tmp_path / "runs" / "one-seed-0" / "checkpoints" / "epoch-0001.safetensors"

    def fail(folder):
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_text("weights")
        raise TrainingError("a.png cannot be read: restore it")

    scripted.before_run = fail
    with pytest.raises(TrainingError, match=r"a\.png cannot be read"):
        run(tiny, tmp_path)
    assert checkpoint.is_file()
    assert not list(tmp_path.rglob("diverged.json"))


@pytest.mark.parametrize("as_json", [False, True])
def test_command_prints_a_table_or_json_and_writes_both(as_json, tiny, scripted, capsys):
    words = ["experiment", "tiny", "--dataset", "photos", "--seeds", "2", "--out", "o", "--quiet"]
    with pytest.raises(SystemExit) as ended:
        main([*words, *(["--json"] if as_json else [])])
    out, err = capsys.readouterr()
    assert ended.value.code == 0
    stored = json.loads(Path("o/results.json").read_text())
    assert stored["command"] == "python cli.py experiment tiny --dataset photos --seeds 2"
    if as_json:
        assert (json.loads(out), err) == (stored, "")
    else:
        assert re.search(r"^one  +40\.00%", out, re.MULTILINE)
        assert "tiny: One is better than two." in out
        assert "| one |" in Path("o/table.md").read_text()
        assert err == "written to o/: results.json, table.md, figure.png, runs/\n"
    assert [run["seed"] for run in stored["runs"]] == [0, 1, 0, 1]


def test_every_run_is_reported_with_its_metric(tiny, tmp_path, scripted, capsys):
    plan = new_plan(tiny, dataset="photos")
    run_experiment(tiny, plan, tmp_path)
    assert capsys.readouterr().err == (
        "1/2 one, seed 0: test error 40.00%\n2/2 two, seed 0: test error 40.00%\n"
    )


@pytest.fixture
def crops(tiny, monkeypatch):
    """The experiment `ten-crop` with a tiny network."""
    crops = dataclasses.replace(claims.EXPERIMENTS["ten-crop"], name="tiny", recipe="tiny")
    crops = dataclasses.replace(crops, changes={}, epochs=2, limit_train=None, seeds=1)
    monkeypatch.setitem(claims.EXPERIMENTS, "tiny", crops)
    return crops


@pytest.fixture
def evaluated(monkeypatch):
    """Replaces `evaluate`: errors of 50% and 40%; the function called before may be changed."""
    before = [lambda: None]

    class Errors:
        def __init__(self, error):
            self.top1_error, self.examples = error, 1000

    class Found:
        center_crop, ten_crop = Errors(0.5), Errors(0.4)

    def evaluate(run, **options):
        before[0]()
        assert (run / "best.keras").exists()
        return Found

    monkeypatch.setattr("alexnet_tf.experiments.runner.evaluate", evaluate)
    return before


def test_experiment_stopped_in_an_evaluation_repeats_it(crops, tmp_path, scripted, evaluated):
    def stop():
        raise KeyboardInterrupt

    evaluated[0] = stop
    with pytest.raises(TrainingStopped):
        run(crops, tmp_path)
    evaluated[0] = lambda: None
    run(crops, tmp_path)
    assert len(scripted.runs) == 1
    assert "| ten crops | 40.00% |" in (tmp_path / "table.md").read_text()
    assert not list(tmp_path.rglob("*.keras"))


def test_damaged_evaluation_is_rejected_with_its_path(crops, tmp_path, scripted, evaluated):
    run(crops, tmp_path)
    next(tmp_path.glob("runs/*/evaluation.json")).write_text("{")
    with pytest.raises(InputError, match=r"evaluation\.json is damaged"):
        run(crops, tmp_path)


def test_variant_that_evaluates_anothers_runs_trains_nothing(crops, tmp_path, scripted, evaluated):
    results = run(crops, tmp_path)
    assert names(scripted) == ["center-crop-seed-0"]
    table = (tmp_path / "table.md").read_text()
    assert "| variant | validation error |" in table
    assert "| center crop | 50.00% |" in table
    assert "| ten crops | 40.00% |" in table
    assert "The claim is confirmed: ten crops is better than center crop in the only seed" in table
    assert "1,000 validation images" in table
    assert len(results["runs"]) == 1


@pytest.mark.slow
def test_real_training_stopped_inside_a_run_resumes_and_reports_being_shortened(
    tiny, tmp_path, monkeypatch
):
    tiny = dataclasses.replace(tiny, epochs=6)
    plan = new_plan(tiny, dataset="photos", epochs=3)
    ended = []

    def kill(self, record):
        ended.append(record)
        if len(ended) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("alexnet_tf.experiments.runner._Runner._show", kill)
        with pytest.raises(TrainingStopped):
            run_experiment(tiny, plan, tmp_path / "out", quiet=True)
    folder = tmp_path / "out" / "runs" / "one-seed-0"
    assert (folder / "checkpoints").is_dir()
    results = run_experiment(tiny, plan, tmp_path / "out", quiet=True)
    shortened = "Shortened: 3 epochs instead of 6."
    assert results.plan.shortened == shortened
    assert shortened in (tmp_path / "out" / "table.md").read_text()
    for one in results.runs:
        assert [epoch["epoch"] for epoch in one.history] == [1, 2, 3]
    assert not (folder / "checkpoints").exists()
