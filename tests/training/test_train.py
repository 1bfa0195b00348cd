"""Whole runs: their files, stops, kills and resumes."""

import errno
import hashlib
import json
import os
import shutil
import signal
import threading

import keras
import numpy as np
import pytest
from PIL import Image

import alexnet_tf as an
from alexnet_tf import runs
from alexnet_tf.errors import InputError, TrainingError, TrainingStopped
from alexnet_tf.run_record import parse_history
from alexnet_tf.training import checkpoints, trainer
from alexnet_tf.training.checkpoints import CheckpointEvery
from alexnet_tf.training.run_folder import Saver
from alexnet_tf.training.step import TrainingStep
from alexnet_tf.training.train import dry_run, stop_on_signals

NUMBERS = ("loss", "top1_error", "top5_error")


def go(recipe, photos, run_dir, **options):
    defaults = {"precision": "float32", "quiet": True}
    return an.train(str(photos), recipe=recipe, run_dir=run_dir, **defaults | options)


def numbers(history):
    return [
        [getattr(r, f"{part}_{n}") for part in ("training", "validation") for n in NUMBERS]
        for r in history
    ]


def test_run_folder_has_models_history_curves_and_record(tiny_recipe, whole):
    folder = whole.run_dir
    names = {p.name for p in folder.iterdir()}
    assert {"best.keras", "last.keras", "history.jsonl", "curves.png", "run.json"} <= names
    assert len(list((folder / "checkpoints").glob("*.safetensors"))) == 1
    record = json.loads((folder / "run.json").read_text())
    assert record["dataset"]["train_examples"] == 90
    assert record["dataset"]["validation_examples"] == 27
    assert record["class_names"] == ["blue", "green", "red"]
    assert record["recipe"] == json.loads(json.dumps(tiny_recipe.to_json()))
    assert record["last"]["epoch"] == 3
    lines = (folder / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    with Image.open(folder / "curves.png") as picture:
        assert picture.width > 800
    model = an.load_model(folder / "best.keras")
    assert model.input_shape == (None, 16, 16, 3)
    # The model subtracts the training set's mean image itself.
    assert 50 < float(keras.ops.mean(model.get_layer("mean").mean)) < 150


def test_best_epoch_has_the_fewest_validation_errors(tiny_recipe, photos, tmp_path, capfd):
    result = go(tiny_recipe, photos, tmp_path / "run", epochs=5, quiet=False)
    said = " ".join(capfd.readouterr().err.split())
    assert ": 90 training, 27 validation images, 3 classes" in said
    assert "5 epochs, batch 16" in said
    assert f"best epoch {result.best_epoch}: validation top-1 error" in said
    assert f"python cli.py evaluate --ten-crop --run {tmp_path / 'run'}" in said
    keys = [(r.validation_top1_errors, r.validation_loss) for r in result.history]
    assert result.best_epoch == keys.index(min(keys)) + 1
    best = an.evaluate(tmp_path / "run").center_crop
    assert best.top1_errors == min(keys)[0]


def test_training_counts_every_example_once_with_a_short_last_batch(tiny_recipe, photos, tmp_path):
    result = go(tiny_recipe.replace(batch_size=40), photos, tmp_path / "run", epochs=1)
    errors = result.history[0].training_top1_error * 90
    assert errors == pytest.approx(round(errors), abs=1e-9)
    assert result.history[0].step == 3


def same_model(ours, theirs):
    for a, b in zip(
        an.load_model(ours).get_weights(), an.load_model(theirs).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def signal_after(monkeypatch):
    """Gives a function: SIGTERM comes after so many calls into the graph."""

    def arm(calls):
        call, seen = TrainingStep.__call__, []

        def counted(self, *arguments):
            seen.append(1)
            if len(seen) == calls:
                os.kill(os.getpid(), signal.SIGTERM)
            return call(self, *arguments)

        monkeypatch.setattr(TrainingStep, "__call__", counted)

    return arm


@pytest.mark.parametrize(("precision", "calls"), [("float32", 2), ("bfloat16", 9), ("float32", 12)])
def test_resume_after_sigterm_gives_identical_results(
    tiny_recipe, photos, tmp_path, precision, calls, whole, signal_after, monkeypatch
):
    # One update per call, 6 calls per epoch: these are inside the first epoch, inside the second
    # epoch, and at its end.
    monkeypatch.setattr(trainer, "_SECONDS_PER_CALL", 0)
    if precision != "float32":
        whole = go(tiny_recipe, photos, tmp_path / "whole", precision=precision)
    signal_after(calls)
    with pytest.raises(TrainingStopped, match=r"Resume with: python cli.py train --resume"):
        go(tiny_recipe, photos, tmp_path / "parts", precision=precision)
    parts = an.train(run_dir=tmp_path / "parts", resume=True, quiet=True)
    assert numbers(parts.history) == numbers(whole.history)
    for name in ("last.keras", "best.keras"):
        same_model(tmp_path / "parts" / name, whole.run_dir / name)


@pytest.mark.parametrize("every", ["4", None])
def test_resume_from_a_checkpoint_inside_an_epoch_gives_identical_results(
    every, tiny_recipe, photos, tmp_path, whole, monkeypatch
):
    assert CheckpointEvery.parse(None) == CheckpointEvery(seconds=600)
    monkeypatch.setattr(checkpoints, "_DEFAULT_EVERY", "0.000001m")

    def killed(self, model, history, improved):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Saver, "epoch", killed)
        with pytest.raises(TrainingStopped, match="interrupted"):
            go(tiny_recipe, photos, tmp_path / "parts", checkpoint_every=every)
    kept = {p.name for p in (tmp_path / "parts" / "checkpoints").glob("*.safetensors")}
    assert kept and all(name.startswith("epoch-0000-step-") for name in kept)
    assert every is None or kept == {f"epoch-0000-step-0000000{n}.safetensors" for n in (4, 6)}
    parts = an.train(run_dir=tmp_path / "parts", resume=True, quiet=True)
    assert numbers(parts.history) == numbers(whole.history)
    same_model(tmp_path / "parts" / "last.keras", whole.run_dir / "last.keras")


@pytest.mark.parametrize("text", ["0", "-3", "often", "0m", "m"])
def test_checkpoint_every_rejects_other_text_than_updates_or_minutes(text):
    with pytest.raises(InputError, match=r"updates .* or minutes"):
        an.train(checkpoint_every=text)


def test_resume_may_add_epochs_but_not_remove_those_done(tiny_recipe, photos, tmp_path):
    first = go(tiny_recipe, photos, tmp_path / "run", epochs=2)
    more = an.train(run_dir=tmp_path / "run", resume=True, epochs=3, quiet=True)
    assert numbers(more.history)[:2] == numbers(first.history)
    assert len(more.history) == 3
    with pytest.raises(InputError, match="--epochs 1 is less than the 3 epochs"):
        an.train(run_dir=tmp_path / "run", resume=True, epochs=1, quiet=True)


def test_resume_with_fewer_epochs_ends_the_run_early_and_can_be_undone(
    tiny_recipe, photos, tmp_path, whole, signal_after
):
    folder = tmp_path / "run"
    signal_after(9)
    with pytest.raises(TrainingStopped):
        go(tiny_recipe, photos, folder, precision="float32", checkpoint_every="1")
    done = runs.epochs_done(folder)
    assert 0 < done < 3
    short = an.train(run_dir=folder, resume=True, epochs=done, quiet=True)
    assert numbers(short.history) == numbers(whole.history)[:done]
    record = runs.read_run(folder)
    assert (record.epochs, record.last.epoch) == (done, done)
    again = an.train(run_dir=folder, resume=True, epochs=3, quiet=True)
    assert numbers(again.history) == numbers(whole.history)


def test_finished_run_keeps_its_newest_checkpoint_or_both(tiny_recipe, photos, tmp_path):
    for keep, names in ((False, ["0002"]), (True, ["0001", "0002"])):
        folder = tmp_path / str(keep)
        go(tiny_recipe, photos, folder, epochs=2, keep_checkpoints=keep)
        found = sorted((folder / "checkpoints").glob("*.safetensors"))
        assert [path.name[6:10] for path in found] == names
        more = an.train(run_dir=folder, resume=True, epochs=3, quiet=True)
        assert len(more.history) == 3


@pytest.mark.parametrize("moved", [False, True])
def test_run_folder_deleted_during_training_is_one_line(tiny_recipe, photos, tmp_path, moved):
    folder = tmp_path / "run"

    def remove(record):
        if record.epoch == 1:
            folder.rename(tmp_path / "moved") if moved else shutil.rmtree(folder)
        return False

    with pytest.raises(TrainingError, match=r"run was deleted or renamed during training"):
        go(tiny_recipe, photos, folder, on_epoch=remove)
    assert not folder.exists()


def test_dry_run_returns_settings_and_network_and_writes_nothing(tiny_recipe, photos, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    rows, model = dry_run(str(photos), recipe=tiny_recipe, run_dir=tmp_path / "run", quiet=True)
    assert rows["data"].startswith(f"{photos}: 90 training, 27 ")
    assert rows["results"] == f"{tmp_path / 'run'}/"
    assert model.output_shape == (None, 3)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": 8}, "--batch-size 8 differs from the run's 16"),
        ({"dropout": 0.1}, "--dropout 0.1 differs from the run's 0.5"),
        ({"seed": 3}, "--seed 3 differs"),
        ({"recipe": "shapes"}, "--recipe shapes differs from the run's tiny"),
        ({"precision": "bfloat16"}, "--precision bfloat16 differs from the run's float32"),
    ],
)
def test_resume_with_other_options_is_rejected(one_epoch, changed, message):
    with pytest.raises(InputError, match=message):
        an.train(run_dir=one_epoch, resume=True, quiet=True, **changed)


@pytest.mark.slow
def test_resume_reports_damaged_files_and_gives_identical_results(
    tiny_recipe, photos, tmp_path, capfd
):
    folder = tmp_path / "run"
    whole = go(tiny_recipe, photos, folder, keep_checkpoints=True)
    newest = max((folder / "checkpoints").glob("*.safetensors"))
    history = (folder / "history.jsonl").read_text()
    for path in (newest, folder / "history.jsonl"):
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 1
        path.write_bytes(content)
    again = an.train(run_dir=folder, resume=True, quiet=True)
    said = capfd.readouterr().err
    assert f"{newest} is damaged: checksum mismatch; set aside as" in said
    assert f"{folder / 'history.jsonl'} is damaged: it differs from the checkpoint" in said
    assert numbers(again.history) == numbers(whole.history)
    assert numbers(runs.read_history(folder)) == numbers(parse_history(history))
    # Every reader rejects the record of another run.
    record = runs.read_run(folder)
    runs.write_run(folder, record.replace(id="another"))
    for read in (lambda: an.train(run_dir=folder, resume=True), lambda: an.evaluate(folder)):
        with pytest.raises(InputError, match=r"run\.json belongs to another run"):
            read()


@pytest.mark.slow
def test_full_disk_ends_the_run_and_the_earlier_checkpoint_resumes(
    tiny_recipe, photos, tmp_path, whole, monkeypatch
):
    save, saved = checkpoints._save, []

    def full(*arguments):
        saved.append(1)
        if len(saved) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[-1]))
        save(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_save", full)
        with pytest.raises(OSError, match="No space left") as raised:
            go(tiny_recipe, photos, tmp_path / "parts")
    assert raised.value.filename.endswith("epoch-0001-step-00000012.safetensors")
    parts = an.train(run_dir=tmp_path / "parts", resume=True, quiet=True)
    assert numbers(parts.history) == numbers(whole.history)
    same_model(tmp_path / "parts" / "last.keras", whole.run_dir / "last.keras")


def test_resume_without_options_resumes_the_newest_run(tiny_recipe, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    go(tiny_recipe, photos, None, epochs=1)
    result = an.train(resume=True, epochs=2, quiet=True)
    assert result.run_dir.parent.name == runs.SAVED_MODELS
    assert result.run_dir.name.startswith("tiny-")
    assert len(result.history) == 2


def test_same_seed_gives_identical_runs_and_another_seed_does_not(
    tiny_recipe, photos, tmp_path, whole
):
    same, other = (
        numbers(go(tiny_recipe, photos, tmp_path / f"{seed}", epochs=2, seed=seed).history)
        for seed in (0, 1)
    )
    assert numbers(whole.history)[:2] == same
    assert same != other


def test_run_dir_that_is_not_empty_is_rejected_and_unchanged(tiny_recipe, photos, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty: add --resume"):
        go(tiny_recipe, photos, tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_batch_size_above_the_training_set_is_rejected_before_anything_is_written(
    tiny_recipe, photos, tmp_path
):
    with pytest.raises(InputError, match=r"91.*90"):
        go(tiny_recipe, photos, tmp_path / "run", batch_size=91)
    assert not (tmp_path / "run").exists()


def test_run_folder_in_use_is_rejected(tmp_path, one_epoch):
    from alexnet_tf.training.run_folder import RunFolder

    shutil.copytree(one_epoch, tmp_path / "run")
    holder = RunFolder(tmp_path / "run")
    with pytest.raises(InputError, match="another process"):
        an.train(run_dir=tmp_path / "run", resume=True, epochs=2, quiet=True)
    holder.close()
    assert len(an.train(run_dir=tmp_path / "run", resume=True, epochs=2, quiet=True).history) == 2


def test_first_signal_requests_a_stop_and_the_second_interrupts():
    numbers = (signal.SIGINT, signal.SIGTERM)
    received = threading.Event()
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(KeyboardInterrupt), stop_on_signals(received.set) as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop() and received.wait(10)
        os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_signal_is_noticed_before_a_long_call_returns():
    events = []
    with stop_on_signals(lambda: events.append("noticed")) as stop:
        threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        while not stop():
            # As a step of training, a call that returns to Python at its end.
            hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000)
        events.append("returned")
    assert events == ["noticed", "returned"]
