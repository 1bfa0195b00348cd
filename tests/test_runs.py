"""Run folders: finding the newest run and model, and what is refused."""

import json

import pytest
from run_records import epoch_record, run_record

from alexnet_tf import runs
from alexnet_tf.errors import InputError


def write(folder, model=True, **changes):
    folder.mkdir(parents=True)
    runs.write_run(folder, run_record(**changes))
    if model:
        (folder / runs.BEST).write_bytes(b"model")
    return folder


def test_the_newest_run_is_the_one_started_last_whatever_the_time_zone(tmp_path):
    started = {
        "earlier": "2026-01-01T10:59:00+08:00",  # 02:59 UTC
        "later": "2026-01-01T03:05:00+00:00",
        "unknown": "",
    }
    for name, time in started.items():
        write(tmp_path / name, started=time)
    assert runs.newest_run(tmp_path) == tmp_path / "later"


def test_the_newest_model_passes_over_runs_without_one(tmp_path):
    older = write(tmp_path / "older", started="2026-01-01T00:00:00+00:00")
    newer = write(tmp_path / "newer", model=False, started="2026-01-02T00:00:00+00:00")
    source = runs.newest_model(tmp_path)
    assert (source.path, source.run) == (older / runs.BEST, older)
    assert source.notes == (f"skipped {newer}: it has no model yet (resume its training)",)
    (older / runs.BEST).unlink()
    with pytest.raises(InputError, match=r"has a model yet: the newest, .*newer.*--resume"):
        runs.newest_model(tmp_path)
    with pytest.raises(InputError, match="train one first"):
        runs.newest_model(tmp_path / "empty")


def test_a_model_is_opened_by_run_or_by_file(tmp_path):
    folder = write(tmp_path / "run")
    by_run, by_folder = runs.open_model(run=folder), runs.open_model(model=folder)
    assert (by_run.path, by_run.run, by_run.record) == (by_folder.path, folder, by_folder.record)
    assert (by_run.dataset, by_run.data_dir, by_run.split) == ("shapes", None, "validation")
    by_file = runs.open_model(model=folder / runs.BEST)
    assert (by_file.path, by_file.record) == (folder / runs.BEST, None)
    file = runs.open_model(run=folder / runs.BEST)
    assert (file.path, file.run) == (folder / runs.BEST, None)
    assert [source.notes for source in (by_run, by_file, by_folder, file)] == [
        (),
        (),
        (f"--model {folder} is a run folder: used as --run",),
        (f"--run {folder / runs.BEST} is a model file: used as --model",),
    ]
    with pytest.raises(InputError, match="--run and --model name two models"):
        runs.open_model(run=folder, model=folder)
    with pytest.raises(InputError, match=r"--model .*none\.keras not found"):
        runs.open_model(model=tmp_path / "none.keras")


def test_a_record_is_read_as_it_was_written(tmp_path):
    last = epoch_record(3, validation_loss=0.5, validation_top1_errors=2, validation_examples=9)
    record = run_record(best=last, last=last, stalled="stalled", finished="2026-01-01T00:00:00")
    (tmp_path / "run").mkdir()
    runs.write_run(tmp_path / "run", record)
    assert runs.read_run(tmp_path / "run") == record


def test_a_run_of_the_previous_version_is_refused_with_its_model(tmp_path):
    runs.write_sealed_json(tmp_path / runs.RUN, {"recipe": {}, "options": {}, "id": "a"})
    with pytest.raises(InputError, match=r"format 1, .*train again, or use .*best\.keras"):
        runs.read_run(tmp_path)


def test_a_record_with_unknown_or_missing_fields_is_damaged(tmp_path):
    values = run_record().to_json()
    for broken in ({**values, "color": 1}, {n: v for n, v in values.items() if n != "recipe"}):
        runs.write_sealed_json(tmp_path / runs.RUN, broken)
        with pytest.raises(InputError, match=r"run\.json is damaged: not the record of a run"):
            runs.read_run(tmp_path)
    assert json.loads((tmp_path / runs.RUN).read_text())["version"] == 2
