"""`runs`: the table of runs, their sizes, and the removal of one."""

import json

import filelock
import pytest
from run_records import epoch_record, run_record

from alexnet_tf import runs
from alexnet_tf.cli import main
from alexnet_tf.run_record import history_text


def call(arguments, capsys):
    """Runs the command and returns its exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as caught:
        main(["runs", *arguments])
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


def write_run(folder, history_epochs=0, model_bytes=0, **changes):
    """A run folder with a history of so many epochs."""
    folder.mkdir(parents=True)
    runs.write_run(folder, run_record(**changes))
    if history_epochs:
        history = [epoch_record(epoch) for epoch in range(1, history_epochs + 1)]
        (folder / runs.HISTORY).write_text(history_text(history))
    if model_bytes:
        (folder / runs.LAST).write_bytes(b"x" * model_bytes)
        (folder / runs.BEST).hardlink_to(folder / runs.LAST)
    return folder


@pytest.fixture
def two_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / runs.SAVED_MODELS
    best = epoch_record(2, validation_top1_error=0.125)
    write_run(
        root / "first",
        history_epochs=2,
        model_bytes=3_000_000,
        epochs=2,
        best=best,
        finished="2026-01-01T01:00:00+00:00",
    )
    write_run(root / "second", history_epochs=1, started="2026-01-02T00:00:00+00:00")
    return root


def test_runs_lists_data_epochs_error_and_size_newest_first(two_runs, capsys):
    code, out, err = call([], capsys)
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["run", "data", "recipe", "epochs", "error", "size"]
    assert lines[2][:4] == ["second", "shapes", "shapes", "1/10"]
    # The best and the last model are one file with two names.
    assert lines[3] == ["first", "shapes", "shapes", "2/2", "12.50%", "3.0", "MB"]
    assert "unfinished: 1; continue one" in out and "--resume --run-dir saved_models/second" in out


def test_runs_json_has_one_object_per_run(two_runs, capsys):
    code, out, _ = call(["--json"], capsys)
    second, first = json.loads(out)["runs"]
    assert code == 0
    assert first["validation_top1_error"] == 0.125 and first["is_finished"]
    assert second["validation_top1_error"] is None and not second["is_finished"]
    assert (second["epochs_done"], second["epochs"]) == (1, 10)
    assert 3_000_000 < first["bytes"] < 3_100_000 and first["checkpoint_bytes"] == 0


def test_runs_shows_a_damaged_run_and_goes_through_the_others(two_runs, capsys):
    (two_runs / "second" / runs.RUN).write_text("{}")
    code, out, _ = call([], capsys)
    assert code == 0
    assert "cannot be read" in out and "run.json is damaged" in out and "12.50%" in out


def test_runs_without_a_run_prints_how_to_train(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "train one first" in call([], capsys)[1]
    assert json.loads(call(["--json"], capsys)[1]) == {"runs": []}


def test_remove_deletes_the_named_run_alone(two_runs, capsys):
    code, out, _ = call(["--remove", str(two_runs / "first"), "--yes"], capsys)
    assert code == 0 and "deleted" in out and "3.0 MB" in out
    assert [path.name for path in two_runs.iterdir()] == ["second"]


def test_interrupted_removal_leaves_no_run_and_can_be_repeated(two_runs, monkeypatch, capsys):
    def interrupt(*arguments, **options):
        if not options:  # the removal itself, not that of leftovers
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", interrupt)
        code, _, _ = call(["--remove", str(two_runs / "first"), "--yes"], capsys)
    assert code == 3
    assert runs.runs_by_age(two_runs) == [two_runs / "second"]
    write_run(two_runs / "first")
    code, _, _ = call(["--remove", str(two_runs / "first"), "--yes"], capsys)
    assert code == 0
    assert [path.name for path in two_runs.iterdir()] == ["second"]


def test_remove_without_confirmation_deletes_nothing(two_runs, capsys):
    code, _, err = call(["--remove", str(two_runs / "first")], capsys)  # stdin is not a terminal
    assert code == 2 and "add --yes" in err
    assert (two_runs / "first" / runs.LAST).is_file()


def test_remove_refuses_a_folder_that_is_not_a_run(two_runs, tmp_path, capsys):
    code, _, err = call(["--remove", str(tmp_path), "--yes"], capsys)
    assert code == 2 and "not a run folder" in err
    assert two_runs.is_dir()


def test_remove_refuses_a_run_that_is_being_trained(two_runs, capsys):
    with filelock.FileLock(two_runs / "first" / runs.LOCK):
        code, _, err = call(["--remove", str(two_runs / "first"), "--yes"], capsys)
    assert code == 2 and "is being trained" in err
    assert (two_runs / "first" / runs.LAST).is_file()
