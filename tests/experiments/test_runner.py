import dataclasses
import json
import os
import platform
import shutil
import signal

import pytest

from alexnet_tf import recipes
from alexnet_tf.errors import DivergedError, InputError, TrainingError, TrainingStopped
from alexnet_tf.experiments import catalog
from alexnet_tf.experiments.plan import new_plan
from alexnet_tf.experiments.runner import run_experiment


@pytest.fixture(autouse=True)
def in_the_folder_of_photos(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)


def run(experiment, root, **given):
    plan = new_plan(experiment, dataset="photos", **given)
    return run_experiment(experiment, plan, root, quiet=True, command="python cli.py")


def names(scripted):
    return [name for name, _ in scripted.runs]


def test_every_variant_and_seed_is_run_once_and_only_its_numbers_are_kept(tiny, tmp_path, scripted):
    scripted.errors = lambda recipe, seed: [0.5, 0.2 + 0.1 * seed]
    results = run(tiny, tmp_path / "out", seeds=2)
    assert names(scripted) == ["one-seed-0", "two-seed-0", "one-seed-1", "two-seed-1"]
    assert [v["metrics"]["test_error"]["values"] for v in results["variants"]] == [
        [pytest.approx(0.3), pytest.approx(0.4)]
    ] * 2
    assert results["seconds"] == 4 * 2 * 1.5
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"begun.json", "figure.png", "plan.json", "results.json", "runs", "table.md"}
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results
    assert not list(tmp_path.rglob("*.keras"))


def test_stopped_between_runs_it_goes_on_with_the_next(tiny, tmp_path, scripted):
    def stop(folder):
        if folder.name == "two-seed-0":
            raise KeyboardInterrupt

    scripted.before = stop
    with pytest.raises(TrainingStopped, match="The same command goes on"):
        run(tiny, tmp_path)
    assert not (tmp_path / "results.json").exists()
    scripted.before = lambda folder: None
    run(tiny, tmp_path)
    assert names(scripted) == ["one-seed-0", "two-seed-0", "two-seed-0"]
    run(tiny, tmp_path)
    assert len(scripted.runs) == 3


def test_other_settings_in_the_same_folder_are_refused_and_nothing_is_run(tiny, tmp_path, scripted):
    run(tiny, tmp_path)
    with pytest.raises(InputError, match="epochs 2, not 5"):
        run(tiny, tmp_path, epochs=5)
    assert len(scripted.runs) == 2


def test_a_data_set_without_anything_to_judge_on_is_refused(tiny, tmp_path, photos, scripted):
    shutil.rmtree(photos / "val")
    with pytest.raises(InputError, match="photos has neither a test nor a validation split"):
        run(tiny, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_fewer_images_than_a_batch_are_refused_and_the_correction_is_taken(
    tiny, tmp_path, scripted
):
    with pytest.raises(InputError, match=r"9 training images of photos are fewer .* --limit-train"):
        run(tiny, tmp_path / "out", limit_train=9)
    run(tiny, tmp_path / "out", limit_train=30)  # nothing stands in the correction's way
    assert len(scripted.runs) == 2


def test_runs_of_another_recipe_are_not_taken_for_this_one(tiny, tmp_path, scripted, monkeypatch):
    run(tiny, tmp_path)
    reworded = recipes.RECIPES["tiny"].replace(description="said in other words")
    monkeypatch.setitem(recipes.RECIPES, "tiny", reworded)
    run(tiny, tmp_path)
    changed = reworded.replace(learning_rate=0.5)
    monkeypatch.setitem(recipes.RECIPES, "tiny", changed)
    with pytest.raises(InputError, match="trained with another recipe than the experiment now has"):
        run(tiny, tmp_path, seeds=2)
    assert len(scripted.runs) == 2


def test_commit_and_cores_are_those_that_a_run_began_with(tiny, tmp_path, scripted, begin_under):
    for seeds, commit, cores in ((1, "abc", 2), (2, "def", 1), (2, "ghi", 4)):
        begin_under(commit, cores)
        results = run(tiny, tmp_path, seeds=seeds)
    assert results["commit"] == "abc, def"
    arch = platform.machine()
    assert results["machine"] == f"2 {arch} cores, 1 {arch} core"


def test_other_images_of_the_same_name_are_refused(tiny, tmp_path, photos, scripted):
    run(tiny, tmp_path / "out")
    (photos / "train" / "red" / "00.png").unlink()
    with pytest.raises(InputError, match="on other images of photos: name another --out"):
        run(tiny, tmp_path / "out", seeds=2)
    assert len(scripted.runs) == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"one-seed-0": {"cores": 2}}'])
def test_damaged_conditions_are_named(content, tiny, tmp_path, scripted):
    run(tiny, tmp_path)
    (tmp_path / "begun.json").write_text(content)
    with pytest.raises(InputError, match=r"begun\.json is damaged"):
        run(tiny, tmp_path)


def test_a_damaged_plan_is_named(tiny, tmp_path, scripted):
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(InputError, match=r"plan\.json is damaged"):
        run(tiny, tmp_path)


def test_the_best_rate_is_found_with_the_first_seed_and_kept(tiny, tmp_path, scripted, monkeypatch):
    searching = dataclasses.replace(
        tiny, metrics=("epochs_to_training_error",), rates=(0.1, 0.2, 0.4), ratio=True, epochs=9
    )
    monkeypatch.setitem(catalog.EXPERIMENTS, "tiny", searching)
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
    assert lengths["one", 0, 0.4] == 3  # it had lost by then
    assert sum(run["counts"] for run in results["runs"]) == 4


def test_where_no_rate_gets_there_the_lowest_training_error_wins(
    tiny, tmp_path, scripted, monkeypatch
):
    never = dataclasses.replace(
        tiny, metrics=("epochs_to_training_error",), rates=(0.1, 0.2, 0.4), ratio=True
    )
    monkeypatch.setitem(catalog.EXPERIMENTS, "tiny", never)
    scripted.errors = lambda recipe, seed: [
        0.9,
        {0.1: 0.8, 0.2: 0.6, 0.4: 0.7}[recipe.learning_rate],
    ]
    results = run(never, tmp_path, seeds=2)
    assert names(scripted)[-2:] == ["one-seed-1-rate-0.2", "two-seed-1-rate-0.2"]
    assert [row["learning_rate"] for row in results["variants"]] == [0.2, 0.2]


def test_a_run_that_diverges_is_a_result(tiny, tmp_path, scripted):
    def diverge(folder):
        if folder.name == "two-seed-0":
            folder.mkdir(parents=True)
            raise DivergedError("the loss is not a number any more")

    scripted.before = diverge
    results = run(tiny, tmp_path)
    assert [run["diverged"] for run in results["runs"]] == [False, True]
    assert "| two | diverged in 1 of 1 |" in (tmp_path / "table.md").read_text()
    run(tiny, tmp_path)
    assert len(scripted.runs) == 2


def test_a_run_that_cannot_go_on_for_another_reason_is_told_and_keeps_its_checkpoints(
    tiny, tmp_path, scripted
):
    checkpoint = tmp_path / "runs" / "one-seed-0" / "checkpoints" / "epoch-0001.safetensors"

    def lose_an_image(folder):
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_text("weights")
        raise TrainingError("a.png cannot be read: put it back")

    scripted.before = lose_an_image
    with pytest.raises(TrainingError, match=r"a\.png cannot be read"):
        run(tiny, tmp_path)
    assert checkpoint.is_file()
    assert not list(tmp_path.rglob("diverged.json"))


@pytest.fixture
def crops(tiny, monkeypatch):
    """The experiment with ten crops, tiny."""
    crops = dataclasses.replace(catalog.EXPERIMENTS["ten-crop"], name="tiny", recipe="tiny")
    crops = dataclasses.replace(crops, changes={}, epochs=2, limit_train=None, seeds=1)
    monkeypatch.setitem(catalog.EXPERIMENTS, "tiny", crops)
    return crops


@pytest.fixture
def judged(monkeypatch):
    """Stands for `evaluate`: 50% and 40% errors; what is called first may be changed."""
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


def test_stopped_while_it_judges_it_judges_again(crops, tmp_path, scripted, judged):
    def stop():
        raise KeyboardInterrupt

    judged[0] = stop
    with pytest.raises(TrainingStopped):
        run(crops, tmp_path)
    judged[0] = lambda: None
    run(crops, tmp_path)
    assert len(scripted.runs) == 1
    assert "| ten crops | 40.00% |" in (tmp_path / "table.md").read_text()
    assert not list(tmp_path.rglob("*.keras"))


def test_a_damaged_judgment_is_named(crops, tmp_path, scripted, judged):
    run(crops, tmp_path)
    next(tmp_path.glob("runs/*/judged.json")).write_text("{")
    with pytest.raises(InputError, match=r"judged\.json is damaged"):
        run(crops, tmp_path)


def test_a_variant_that_judges_anothers_runs_trains_nothing(crops, tmp_path, scripted, judged):
    results = run(crops, tmp_path)
    assert names(scripted) == ["center-crop-seed-0"]
    table = (tmp_path / "table.md").read_text()
    assert "| variant | validation error |" in table
    assert "| center crop | 50.00% |" in table
    assert "| ten crops | 40.00% |" in table
    assert "The claim holds here: ten crops ahead of center crop in the one seed" in table
    assert "1,000 validation images" in table
    assert len(results["runs"]) == 1


@pytest.mark.slow
def test_really_trained_killed_inside_a_run_and_shortened(tiny, tmp_path, monkeypatch):
    tiny = dataclasses.replace(tiny, epochs=6)
    plan = new_plan(tiny, dataset="photos", epochs=3)
    ended = []

    def kill(self, record):
        ended.append(record)
        if len(ended) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("alexnet_tf.experiments.progress.RunsBar.epoch", kill)
        with pytest.raises(TrainingStopped):
            run_experiment(tiny, plan, tmp_path / "out", quiet=True)
    folder = tmp_path / "out" / "runs" / "one-seed-0"
    assert (folder / "checkpoints").is_dir()
    results = run_experiment(tiny, plan, tmp_path / "out", quiet=True)
    shortened = "Shortened: 3 epochs instead of 6."
    assert results["plan"]["shortened"] == shortened
    assert shortened in (tmp_path / "out" / "table.md").read_text()
    for one in results["runs"]:
        assert [record["epoch"] for record in one["history"]] == [1, 2, 3]
    assert not (folder / "checkpoints").exists()
