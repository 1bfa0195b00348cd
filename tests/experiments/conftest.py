import numpy as np
import pytest
from PIL import Image
from run_records import epoch_record, run_record

from alexnet_tf import recipes, runs
from alexnet_tf.experiments import claims
from alexnet_tf.experiments import plan as plan_module
from alexnet_tf.experiments.definition import Experiment, Pair, Variant
from alexnet_tf.experiments.plan import Provenance
from alexnet_tf.network_settings import Convolution
from alexnet_tf.run_record import DatasetRecord, history_text
from alexnet_tf.train_options import TrainOptions


@pytest.fixture(autouse=True)
def set_provenance(monkeypatch):
    """Sets the provenance of runs that start, without a commit at first."""

    def set_to(commit, cores=2):
        provenance = Provenance(commit, cores)
        monkeypatch.setattr(plan_module, "current_provenance", lambda: provenance)

    set_to(None)
    return set_to


@pytest.fixture
def photos(tmp_path):
    """A folder of small images in three classes of different colors."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 30), ("val", 9)):
        for label, color in enumerate(("blue", "green", "red")):
            folder = tmp_path / "photos" / split / color
            folder.mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, 120, (20, 20, 3)).astype(np.uint8)
                image[..., 2 - label] += 120
                Image.fromarray(image).save(folder / f"{i:02d}.png")
    return tmp_path / "photos"


@pytest.fixture
def tiny(monkeypatch):
    """An experiment on 16 pixels that is listed like the others."""
    small = recipes.get_recipe("cifar10-small")
    network = small.network.replace(
        convolutions=(Convolution(8, 5, strides=2, then=("activation", "norm", "pool")),),
        hidden_units=(16,),
        input_size=16,
    )
    recipe = small.replace(name="tiny", network=network, batch_size=16, resize_pixels=20)
    monkeypatch.setitem(recipes.RECIPES, "tiny", recipe)
    experiment = Experiment(
        name="tiny",
        claim="One is better than two.",
        section="3.1",
        paper_result="six times",
        recipe="tiny",
        variants=(Variant("one"), Variant("two", {"norm": "none"})),
        expected=(Pair("one", "two"),),
        limit_train=None,
        epochs=2,
        seeds=1,
        setting="In milliseconds.",
        limitation="It is small.",
    )
    monkeypatch.setitem(claims.EXPERIMENTS, "tiny", experiment)
    return experiment


def entry(epoch, training, test=0.5):
    return epoch_record(
        epoch,
        training_loss=2 * training,
        training_top1_error=training,
        validation_loss=2 * test,
        validation_top1_error=test,
        seconds=1.5,
        images_per_second=100.0,
    )


@pytest.fixture
def scripted(monkeypatch, no_collection):
    """Replaces `train`: writes a run's files, with errors from a function of recipe and seed."""

    class Scripted:
        def __init__(self):
            self.runs = []
            self.errors = lambda recipe, seed: [0.4, 0.3]
            self.before_run = lambda folder: None

        def __call__(self, dataset=None, *, run_dir, on_epoch, recipe=None, seed=0, **options):
            self.runs.append((run_dir.name, options))
            self.before_run(run_dir)
            run_dir.mkdir(parents=True, exist_ok=True)
            history = []
            for epoch, error in enumerate(self.errors(recipe, seed), 1):
                history.append(entry(epoch, error, error + 0.1))
                if on_epoch(history[-1]):
                    break
            record = run_record(
                options=TrainOptions(dataset=dataset, seed=seed, precision="float32"),
                recipe=recipe,
                seconds=1.5 * len(history),
                dataset=DatasetRecord(dataset, None, "photos", 90, 27, "validation"),
                class_names=("blue", "green", "red"),
                parameters=1234,
                versions={"alexnet_tf": "0"},
                finished="2026-01-01T00:01:00+00:00",
            )
            runs.write_run(run_dir, record)
            (run_dir / "history.jsonl").write_text(history_text(history))
            (run_dir / "best.keras").write_bytes(b"large")

    script = Scripted()
    monkeypatch.setattr("alexnet_tf.experiments.runner.train", script)
    return script
