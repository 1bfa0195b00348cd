"""The choice of devices, strategy and precision."""

import json
from types import SimpleNamespace

import pytest
import tensorflow as tf

import alexnet_tf as an
from alexnet_tf.errors import InputError, TrainingError
from alexnet_tf.training.devices import DeviceConfiguration, configure_devices


def test_batch_size_not_divisible_by_the_devices_is_rejected_before_anything_is_written(
    tiny_recipe, photos, tmp_path, monkeypatch
):
    strategy = SimpleNamespace(num_replicas_in_sync=3)
    three = DeviceConfiguration(strategy, "mirrored", ("/CPU:0",) * 3, "float32")
    monkeypatch.setattr("alexnet_tf.training.open_run.configure_devices", lambda *given: three)
    with pytest.raises(InputError, match=r"16 does not divide by the 3 devices.*--batch-size 15"):
        an.train(str(photos), recipe=tiny_recipe, run_dir=tmp_path / "r", quiet=True)
    assert not (tmp_path / "r").exists()


def fail(error):
    """Returns an `on_epoch` that raises the error."""

    def raise_error(record):
        raise error

    return raise_error


def test_out_of_memory_suggests_a_smaller_batch_in_one_line(tiny_recipe, photos, tmp_path):
    message = "Graph execution error:\n\nOOM when allocating tensor with shape[128,96,55,55]\nmore"
    error = tf.errors.ResourceExhaustedError(None, None, message)
    with pytest.raises(TrainingError) as raised:
        an.train(
            str(photos),
            recipe=tiny_recipe,
            run_dir=tmp_path / "run",
            quiet=True,
            on_epoch=fail(error),
        )
    assert str(raised.value) == (
        "out of memory (OOM when allocating tensor with shape[128,96,55,55]): start a new run with "
        "a --batch-size below 16"
    )


def test_device_failure_without_other_workers_keeps_its_traceback(tiny_recipe, photos, tmp_path):
    error = tf.errors.InternalError(None, None, "cuDNN launch failure")
    with pytest.raises(tf.errors.InternalError, match="cuDNN launch failure"):
        an.train(
            str(photos),
            recipe=tiny_recipe,
            run_dir=tmp_path / "run",
            quiet=True,
            on_epoch=fail(error),
        )


def test_damaged_tf_config_is_rejected(tiny_recipe, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"task": 1}')
    with pytest.raises(InputError, match="several workers need TF_CONFIG, such as"):
        an.train(str(photos), recipe=tiny_recipe, run_dir=tmp_path / "r", quiet=True)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("more", "task", "others"),
    [
        ({"chief": ["127.0.0.1:1"], "ps": ["127.0.0.1:2"]}, "chief", "ps"),
        ({"evaluator": ["127.0.0.1:1"]}, "worker", "evaluator"),
        ({}, "evaluator", "evaluator"),
    ],
)
def test_tf_config_with_other_jobs_than_workers_is_rejected(monkeypatch, more, task, others):
    cluster = {"worker": ["127.0.0.1:3"], **more}
    config = {"cluster": cluster, "task": {"type": task, "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(InputError, match=f"the job {others} is not supported"):
        configure_devices()
