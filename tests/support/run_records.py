"""Records of runs and epochs for tests that read or write run folders without training."""

from alexnet_tf.recipes import get_recipe
from alexnet_tf.run_record import DatasetRecord, EpochRecord, RunRecord
from alexnet_tf.train_options import TrainOptions


def epoch_record(epoch=1, **changes):
    """An epoch's record with plausible numbers."""
    values = {
        "epoch": epoch,
        "step": 10 * epoch,
        "learning_rate": 0.01,
        "training_loss": 1 / epoch,
        "training_top1_error": 0.5,
        "training_top5_error": 0.25,
        "images_per_second": 1234.0,
        "waiting_fraction": 0.015,
        "seconds": 2.0,
    }
    return EpochRecord(**values | changes)


def run_record(**changes):
    """The record of a run on the built-in data set that has not finished."""
    values = {
        "id": "a" * 16,
        "started": "2026-01-01T00:00:00+00:00",
        "options": TrainOptions(dataset="shapes", seed=0, precision="float32"),
        "recipe": get_recipe("shapes"),
        "epochs": 10,
        "strategy": "single",
        "devices": ("/CPU:0",),
        "dataset": DatasetRecord("shapes", None, "shapes/1.1.0", 5000, 1000, "validation"),
        "class_names": ("circle", "square"),
        "versions": {"tensorflow": "2.21.0", "keras": "3.15.1"},
        "parameters": 1000,
    }
    return RunRecord(**values | changes)


def record_on(dataset, *, data_dir=None, split="validation", seed=0, hold_out=0.1, **changes):
    """The record of a run on a data set, validated on a split."""
    options = TrainOptions(dataset=str(dataset), data_dir=data_dir, seed=seed, precision="float32")
    return run_record(
        options=options,
        recipe=get_recipe("shapes").replace(hold_out=hold_out),
        dataset=DatasetRecord(str(dataset), data_dir, "photos", 90, 27, split),
        **changes,
    )
