"""Seed series: equal to single runs, and resumed completely."""

import numpy as np
import pytest
from run_records import epoch_record, run_record

import alexnet_tf as an
from alexnet_tf import runs
from alexnet_tf.cli import main
from alexnet_tf.errors import InputError, TrainingStopped
from alexnet_tf.run_record import history_text
from alexnet_tf.runs import newest_run
from alexnet_tf.training import seeds as module
from alexnet_tf.training.seeds import seed_statistics, train_seeds
from alexnet_tf.training.train import TrainingResult


def weights(run):
    return an.load_model(run / "last.keras").get_weights()


def losses(result):
    return [(r.training_loss, r.validation_loss) for r in result.history]


@pytest.mark.slow
def test_seed_series_gives_the_runs_of_the_single_seeds(tiny_recipe, photos, tmp_path):
    given = {"recipe": tiny_recipe.replace(epochs=1), "precision": "float32", "quiet": True}
    first, second = train_seeds((3, 1), run_dir=tmp_path / "all", dataset=str(photos), **given)
    assert [r.run_dir.name for r in (first, second)] == ["seed-3", "seed-1"]
    alone = an.train(str(photos), seed=1, run_dir=tmp_path / "alone", **given)
    assert losses(second) == losses(alone) != losses(first)
    for a, b in zip(weights(second.run_dir), weights(alone.run_dir), strict=True):
        np.testing.assert_array_equal(a, b)


HISTORY = [epoch_record(number) for number in range(1, 5)]
RESOLVED = {
    "dataset": "shapes",
    "precision": "auto",
    "class_weights": "none",
    "learning_rate_scaling": "none",
}


@pytest.fixture
def calls(monkeypatch, no_collection):
    """What `train` is called with; it leaves a finished run, or stops where `stop_at` says."""
    made, stop_at = [], []

    def train(*, run_dir, resume=False, on_epoch=None, **options):
        made.append({"folder": run_dir.name, "resume": resume, **options})
        epochs = options.get("epochs") or 2
        run_dir.mkdir(parents=True, exist_ok=True)
        record = run_record(epochs=epochs)
        if run_dir.name not in stop_at:
            last = epoch_record(epochs)
            record = record.replace(best=last, last=last)
        runs.write_run(run_dir, record)
        (run_dir / runs.HISTORY).write_text(history_text(HISTORY))
        if run_dir.name in stop_at:
            raise TrainingStopped("stopped in epoch 1")
        return TrainingResult(run_dir, HISTORY, epochs, None)

    monkeypatch.setattr(module, "train", train)
    return made, stop_at


def test_resumed_series_keeps_finished_runs_resumes_the_stopped_one_and_starts_the_rest(
    calls, tmp_path
):
    made, stop_at = calls
    stop_at.append("seed-2")
    with pytest.raises(TrainingStopped, match=f"--resume --run-dir {tmp_path / 'all'}"):
        train_seeds([1, 2, 3], run_dir=tmp_path / "all", dataset="cifar10", epochs=2)
    assert [call["folder"] for call in made] == ["seed-1", "seed-2"]
    stop_at.clear()
    made.clear()
    results = train_seeds(run_dir=tmp_path / "all", resume=True)
    assert made == [
        {"folder": "seed-2", "resume": True},
        # The options of the series apply to runs that had not started.
        {
            "folder": "seed-3",
            "resume": False,
            "seed": 3,
            **RESOLVED,
            "dataset": "cifar10",
            "epochs": 2,
        },
    ]
    assert [result.run_dir.name for result in results] == ["seed-1", "seed-2", "seed-3"]
    assert results[0].history == HISTORY
    made.clear()
    train_seeds(run_dir=tmp_path / "all", resume=True, epochs=4)
    assert [(call["resume"], call["epochs"]) for call in made] == [(True, 4)] * 3


def test_resumed_series_restores_a_custom_recipe(calls, tiny_recipe, tmp_path):
    made, stop_at = calls
    stop_at.append("seed-1")
    with pytest.raises(TrainingStopped):
        train_seeds([1, 2], run_dir=tmp_path / "all", recipe=tiny_recipe)
    stop_at.clear()
    train_seeds(run_dir=tmp_path / "all", resume=True)
    assert made[-1]["recipe"] == tiny_recipe


def outcome(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code, capsys.readouterr().err


def test_train_command_resumes_a_series_without_naming_its_seeds(
    calls, tmp_path, monkeypatch, capsys
):
    made, stop_at = calls
    monkeypatch.chdir(tmp_path)
    stop_at.append("seed-7")
    code, err = outcome(["train", "--seeds", "5,7", "--epochs", "2"], capsys)
    assert code == 3
    folder = newest_run().parent
    assert folder.parent.name == "saved_models" and folder.name.startswith("shapes-")
    assert f"train --resume --run-dir saved_models/{folder.name}" in err
    stop_at.clear()
    made.clear()
    code, err = outcome(["train", "--resume"], capsys)
    assert (code, [call["folder"] for call in made]) == (0, ["seed-7"])
    assert f"evaluate --run saved_models/{folder.name}" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--seeds 1,two", "1,two"),
        ("--seeds 1,1", "different numbers"),
        ("--seeds 1,-2", "different numbers"),
        ("--seeds 1,2 --seed 3", "leave out --seed"),
        ("--seeds 1,2 --workers 2", "leave out --workers"),
        ("--seeds 1,2 --resume --run-dir .", "no seeds.json"),
    ],
)
def test_invalid_seeds_are_rejected_and_leave_no_files(
    words, expected, calls, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    code, err = outcome(["train", *words.split()], capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert expected in err
    assert not calls[0] and not (tmp_path / "saved_models").exists()


def test_series_whose_first_run_is_rejected_leaves_no_files(photos, tmp_path):
    with pytest.raises(InputError, match="batch size"):
        train_seeds(
            [1, 2], run_dir=tmp_path / "all", dataset=str(photos), batch_size=91, quiet=True
        )
    assert not (tmp_path / "all").exists()


def test_resume_with_other_seeds_is_rejected(calls, tmp_path):
    train_seeds([1, 2], run_dir=tmp_path / "all")
    with pytest.raises(InputError, match="differs from"):
        train_seeds([1, 3], run_dir=tmp_path / "all", resume=True)


def test_resumed_series_keeps_options_of_the_process_unless_others_are_given(calls, tmp_path):
    made, stop_at = calls
    stop_at.append("seed-1")
    machine = {"devices": "cpu:2", "checkpoint_every": "5m", "tensorboard": True}
    with pytest.raises(TrainingStopped):
        train_seeds([1, 2], run_dir=tmp_path / "all", epochs=2, momentum=0.8, **machine)
    stop_at.clear()
    made.clear()
    train_seeds(run_dir=tmp_path / "all", resume=True, checkpoint_every="9", data_dir="moved")
    now = {**machine, "checkpoint_every": "9", "data_dir": "moved"}
    assert made == [
        {"folder": "seed-1", "resume": True, **now},
        {
            "folder": "seed-2",
            "resume": False,
            **RESOLVED,
            "seed": 2,
            "epochs": 2,
            "momentum": 0.8,
            **now,
        },
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learning_rate": 0.5}, r"--learning-rate 0\.5 differs from the run's 0\.01"),
        ({"dataset": "cifar10"}, "--dataset cifar10 differs from the run's shapes"),
        ({"epochs": 1}, "--epochs 1 is less than the 4 epochs"),
        ({"weights": "w.keras"}, "leave them out to resume"),
    ],
)
def test_resumed_series_cannot_change_its_options(calls, tmp_path, given, message):
    folder = tmp_path / "all"
    train_seeds([1, 2], run_dir=folder, epochs=2)
    (folder / "seed-2" / runs.RUN).unlink()  # to be started: it has no record to compare with
    calls[0].clear()
    there = (folder / runs.SEEDS).read_text()
    with pytest.raises(InputError, match=message):
        train_seeds(run_dir=folder, resume=True, **given)
    assert not calls[0] and (folder / runs.SEEDS).read_text() == there
    train_seeds(run_dir=folder, resume=True, learning_rate=0.01)  # as it was
    assert [call["folder"] for call in calls[0]] == ["seed-2"]
    assert "learning_rate" not in calls[0][0]


def test_more_epochs_apply_to_all_runs_and_keep_the_schedule(calls, tmp_path):
    made, stop_at = calls
    stop_at.append("seed-2")
    with pytest.raises(TrainingStopped):
        train_seeds([1, 2, 3], run_dir=tmp_path / "all", epochs=2)
    made.clear()
    with pytest.raises(TrainingStopped):
        train_seeds(run_dir=tmp_path / "all", resume=True, epochs=4)
    stop_at.clear()
    train_seeds(run_dir=tmp_path / "all", resume=True)  # remembers the epochs
    assert [(call["folder"], call["resume"], call["epochs"]) for call in made] == [
        ("seed-1", True, 4),
        ("seed-2", True, 4),  # stopped
        ("seed-2", True, 4),
        ("seed-3", False, 2),
        ("seed-3", True, 4),
    ]


def test_fewer_epochs_end_all_runs_early_unless_more_are_done(calls, tmp_path):
    made, stop_at = calls
    stop_at.append("seed-2")
    with pytest.raises(TrainingStopped):
        train_seeds([1, 2, 3], run_dir=tmp_path / "all", epochs=6)
    stop_at.clear()
    made.clear()
    with pytest.raises(InputError, match=r"--epochs 3 is less than the 4 epochs that .*seed-1"):
        train_seeds(run_dir=tmp_path / "all", resume=True, epochs=3)
    assert not made
    train_seeds(run_dir=tmp_path / "all", resume=True, epochs=4)
    assert [(call["folder"], call["resume"], call["epochs"]) for call in made] == [
        ("seed-1", True, 4),
        ("seed-2", True, 4),
        ("seed-3", False, 6),  # the schedule is that of six epochs
        ("seed-3", True, 4),
    ]


def test_statistics_are_mean_and_sample_deviation_of_the_best_epochs(tmp_path):
    def result(*errors):
        history = [
            epoch_record(n, validation_top1_error=e, validation_top5_error=e / 2)
            for n, e in enumerate(errors, 1)
        ]
        return TrainingResult(tmp_path, history, 2, None)

    results = [result(0.9, 0.1), result(0.9, 0.2, 0.8), result(0.9, 0.3)]
    found = seed_statistics(results)
    assert found["validation_top1_error"] == pytest.approx({"mean": 0.2, "standard_deviation": 0.1})
    assert "training_loss" not in found
    assert module._statistics_lines(results).splitlines() == [
        "validation top-1 error of 3 seeds: mean 20.00%, standard deviation 10.00%",
        "validation top-5 error of 3 seeds: mean 10.00%, standard deviation 5.00%",
    ]
    alone = seed_statistics([TrainingResult(tmp_path, HISTORY, 4, None)])
    assert alone == {"training_loss": {"mean": 0.25, "standard_deviation": None}}
