"""Resuming a run: what restarts, and what is rejected and left unchanged."""

import os
import shutil
import signal

import numpy as np
import pytest

import alexnet_tf as an
from alexnet_tf import runs
from alexnet_tf.errors import InputError, TrainingStopped
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import load_model, save_model
from alexnet_tf.training import validation
from alexnet_tf.training.run_folder import Saver
from alexnet_tf.training.step import TrainingStep
from alexnet_tf.training.trainer import Trainer

NUMBERS = [f"{p}_{n}" for p in ("training", "validation") for n in ("loss", "top1_error")]


def go(recipe, photos, run_dir, **options):
    defaults = {"precision": "float32", "quiet": True}
    return an.train(str(photos), recipe=recipe, run_dir=run_dir, **defaults | options)


def resume(run_dir, **options):
    return an.train(run_dir=run_dir, resume=True, quiet=True, **options)


def numbers(history):
    return [[getattr(record, name) for name in NUMBERS] for record in history]


def everything_in(folder):
    # The lock may be created anew: it holds only the run's id.
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != runs.LOCK)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture
def killed(monkeypatch):
    """Gives a function: calls another, and ends the run in it before its first update."""

    def kill(call):
        def end(*arguments):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "train_epoch", end)
            with pytest.raises(TrainingStopped, match="interrupted"):
                call()

    return kill


def test_run_killed_before_its_first_checkpoint_restarts(
    tiny_recipe, photos, tmp_path, whole, killed
):
    killed(lambda: go(tiny_recipe, photos, tmp_path / "run"))
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert numbers(resume(tmp_path / "run").history) == numbers(whole.history)


@pytest.mark.parametrize("gone", ["*", "*.sha256"])
def test_run_with_missing_checkpoints_is_rejected_and_unchanged(one_epoch, tmp_path, gone):
    folder = shutil.copytree(one_epoch, tmp_path / "run")
    for path in (folder / "checkpoints").glob(gone):
        path.unlink()
    there = everything_in(folder)
    with pytest.raises(InputError, match=r"no checkpoint with its \.sha256.*nothing was changed"):
        resume(folder, epochs=2)
    # Results alone, or a history alone, show too that epochs were trained.
    history = (folder / "history.jsonl").read_bytes()
    (folder / "history.jsonl").unlink()
    with pytest.raises(InputError, match="put them back"):
        resume(folder, epochs=2)
    record = runs.read_run(folder)
    runs.write_run(folder, record.replace(best=None, last=None))
    (folder / "history.jsonl").write_bytes(history)
    with pytest.raises(InputError, match="put them back"):
        resume(folder, epochs=2)
    runs.write_run(folder, record)
    assert everything_in(folder) == there


@pytest.fixture
def weights(tiny_recipe, tmp_path):
    """A model for other classes to start from."""
    save_model(build_model(tiny_recipe, class_names=("cat", "dog"), seed=7), tmp_path / "w.keras")
    return tmp_path / "w.keras"


TUNED = {"epochs": 1, "batch_size": 16, "freeze": ("conv1",), "dropout": 0.25}


def test_fine_tuning_run_killed_before_its_first_checkpoint_restarts_from_its_weights(
    photos, weights, tmp_path, killed, monkeypatch
):
    whole = go("shapes", photos, tmp_path / "whole", weights=weights, **TUNED)
    monkeypatch.chdir(tmp_path)
    killed(lambda: go("shapes", photos, tmp_path / "run", weights=weights.name, **TUNED))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert numbers(resume(tmp_path / "run").history) == numbers(whole.history)
    ours, theirs = (load_model(path) for path in (tmp_path / "run" / "last.keras", weights))
    np.testing.assert_array_equal(ours.get_layer("conv1").kernel, theirs.get_layer("conv1").kernel)


def test_restart_with_missing_or_changed_weights_is_rejected(
    tiny_recipe, photos, weights, tmp_path, killed
):
    folder = tmp_path / "run"
    killed(lambda: go("shapes", photos, folder, weights=weights, **TUNED))
    there = everything_in(folder)
    other = tiny_recipe.replace(network=tiny_recipe.network.replace(hidden_units=(8,)))
    save_model(build_model(other, class_names=("cat", "dog")), weights)
    with pytest.raises(InputError, match=r"w\.keras now holds another network"):
        resume(folder)
    weights.unlink()
    with pytest.raises(
        InputError, match=r"restarts from its --weights.*w\.keras: model file not found"
    ):
        resume(folder)
    assert everything_in(folder) == there


def test_seed_run_killed_before_its_first_checkpoint_restarts_from_its_weights(
    photos, weights, tmp_path, killed
):
    given = {"dataset": str(photos), "recipe": "shapes", "precision": "float32", "weights": weights}
    folder, options = tmp_path / "all", {**TUNED, **given, "quiet": True}
    killed(lambda: an.train_seeds([3], run_dir=folder, **options))
    (result,) = an.train_seeds(run_dir=folder, resume=True, quiet=True)
    ours, theirs = (load_model(path) for path in (result.run_dir / "last.keras", weights))
    np.testing.assert_array_equal(ours.get_layer("conv1").kernel, theirs.get_layer("conv1").kernel)


def test_resume_with_changed_data_is_rejected_and_nothing_is_written(tiny_recipe, photos, tmp_path):
    folder = tmp_path / "run"
    go(tiny_recipe, photos, folder, epochs=1)
    there = everything_in(folder)
    (photos / "train" / "red" / "07.png").rename(tmp_path / "07.png")
    (photos / "val" / "blue" / "08.png").rename(tmp_path / "08.png")
    expected = "89 training examples instead of 90; 26 validation examples instead of 27"
    with pytest.raises(InputError, match=f"photos has changed since .* it has {expected}"):
        resume(folder, epochs=2)
    (tmp_path / "07.png").rename(photos / "train" / "red" / "07.png")
    (tmp_path / "08.png").rename(photos / "val" / "blue" / "08.png")
    for split in ("train", "val"):
        (photos / split / "green").rename(photos / split / "grass")
    with pytest.raises(InputError, match="it has 'grass' instead of 'green' as class 1"):
        resume(folder, epochs=2)
    for split in ("train", "val"):
        shutil.rmtree(photos / split / "grass")
    with pytest.raises(InputError, match="2 classes instead of 3"):
        resume(folder, epochs=2)
    assert everything_in(folder) == there


def test_run_stops_after_an_epoch_of_one_call(tiny_recipe, photos, tmp_path, monkeypatch):
    recipe = tiny_recipe.replace(batch_size=90)  # one update per epoch
    whole = go(recipe, photos, tmp_path / "whole", epochs=4)
    call, seen = TrainingStep.__call__, []

    def signalled(self, *arguments):
        seen.append(1)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return call(self, *arguments)

    monkeypatch.setattr(TrainingStep, "__call__", signalled)
    with pytest.raises(
        TrainingStopped, match=r"stopped before the validation of epoch 2 of 4; saved\. Resume with"
    ):
        go(recipe, photos, tmp_path / "run", epochs=4)
    assert len(seen) == 2
    assert numbers(resume(tmp_path / "run").history) == numbers(whole.history)
    # After a stop in the last epoch only the validation is left.
    seen.clear()
    with pytest.raises(TrainingStopped, match="before the validation of epoch 2 of 2"):
        go(recipe, photos, tmp_path / "last", epochs=2)
    assert len(resume(tmp_path / "last").history) == 2
    assert len(seen) == 2


def test_run_stopped_in_validation_repeats_only_the_validation(
    tiny_recipe, photos, tmp_path, whole, monkeypatch
):
    folder = tmp_path / "run"
    evaluate_examples = validation.evaluate_examples

    def signalled(model, examples, on_progress=None):
        os.kill(os.getpid(), signal.SIGTERM)
        return evaluate_examples(model, examples, batch_size=5, on_progress=on_progress)

    with monkeypatch.context() as patch:
        patch.setattr(validation, "evaluate_examples", signalled)
        with pytest.raises(TrainingStopped, match="stopped in the validation of epoch 1 of 3"):
            go(tiny_recipe, photos, folder)
    (checkpoint,) = (folder / "checkpoints").glob("*.safetensors")
    assert checkpoint.name == "epoch-0000-step-00000006.safetensors"
    steps, call = [], TrainingStep.__call__

    def counted(self, batches, count, *arguments):
        steps.append(count)
        return call(self, batches, count, *arguments)

    monkeypatch.setattr(TrainingStep, "__call__", counted)
    assert numbers(resume(folder).history) == numbers(whole.history)
    assert sum(steps) == 12  # of epochs 2 and 3


def test_resume_with_a_changed_recipe_of_the_same_name_is_rejected(tiny_recipe, one_epoch):
    changed = tiny_recipe.replace(weight_decay=0.1)
    with pytest.raises(InputError, match="the recipe tiny differs from the run's in weight_decay"):
        resume(one_epoch, recipe=changed)
    assert len(resume(one_epoch, recipe=tiny_recipe).history) == 1


def test_interrupt_while_saving_names_the_command_that_resumes(
    tiny_recipe, photos, tmp_path, whole, monkeypatch
):
    folder = tmp_path / "run"

    def interrupted(self, *arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Saver, "epoch", interrupted)
        with pytest.raises(TrainingStopped, match=f"interrupted. Resume with: .*{folder}"):
            go(tiny_recipe, photos, folder)
    assert numbers(resume(folder).history) == numbers(whole.history)
