"""The choice of devices, strategy and precision.

GPUs are simulated: TensorFlow's functions that list and hide them are replaced.
"""

import json
import os
from types import SimpleNamespace

import pytest
import tensorflow as tf

import alexnet_tf as an
from alexnet_tf.errors import InputError, TrainingError
from alexnet_tf.training import cluster
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


@pytest.fixture
def gpus(monkeypatch):
    """Simulates GPUs: a GTX 1080, an A100 and a V100. Returns what was set."""
    found = [tf.config.PhysicalDevice(f"/physical_device:GPU:{n}", "GPU") for n in range(3)]
    capabilities = dict(zip(found, ((6, 1), (8, 0), (7, 0)), strict=True))
    done = SimpleNamespace(gpus=found, visible=list(found), growth=[], tf32=True, strategy=None)
    done.deterministic = False

    def list_devices(kind):
        return list(found) if kind == "GPU" else tf_list(kind)

    def strategy(*values, **named):
        done.strategy = (values, named)
        return SimpleNamespace(num_replicas_in_sync=2)

    tf_list = tf.config.list_physical_devices
    replaced = {
        "config.list_physical_devices": list_devices,
        "config.get_visible_devices": lambda kind: done.visible,
        "config.set_visible_devices": lambda devices, kind: setattr(done, "visible", devices),
        "config.experimental.set_memory_growth": lambda gpu, on: done.growth.append(gpu),
        "config.experimental.get_device_details": lambda gpu: {
            "compute_capability": capabilities[gpu]
        },
        "config.experimental.enable_tensor_float_32_execution": lambda on: setattr(
            done, "tf32", on
        ),
        "config.experimental.enable_op_determinism": lambda: setattr(done, "deterministic", True),
        "distribute.MirroredStrategy": strategy,
        "distribute.MultiWorkerMirroredStrategy": strategy,
    }
    for name, function in replaced.items():
        monkeypatch.setattr(f"tensorflow.{name}", function)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    return done


@pytest.mark.parametrize(
    ("devices", "numbers", "strategy", "precision"),
    [
        (None, [0, 1, 2], "mirrored", "float32"),
        ("0", [0], "single", "float32"),
        ("1", [1], "single", "bfloat16"),
        ("2", [2], "single", "float16"),
        ("1,2", [1, 2], "mirrored", "float16"),  # the one that supports less
    ],
)
def test_named_gpus_are_the_only_ones_of_the_process(gpus, devices, numbers, strategy, precision):
    found = configure_devices(devices=devices)
    assert gpus.visible == gpus.growth == [gpus.gpus[n] for n in numbers]
    # A process numbers the devices that it sees from 0.
    assert found.devices == tuple(f"/GPU:{n}" for n in range(len(numbers)))
    assert (found.strategy_name, found.precision, found.on_gpus) == (strategy, precision, True)


def test_single_strategy_sees_only_the_first_gpu(gpus):
    assert configure_devices("single", "2,0").devices == ("/GPU:0",)
    assert gpus.visible == [gpus.gpus[2]]


def test_logical_cpu_devices_hide_gpus(gpus, monkeypatch):
    asked = []
    monkeypatch.setattr("alexnet_tf.training.devices._divide_cpu", asked.append)
    found = configure_devices(devices="cpu:2")
    assert (gpus.visible, asked) == ([], [2])
    assert (found.devices, found.on_gpus) == (("/CPU:0", "/CPU:1"), False)
    assert configure_devices(devices="cpu:1").strategy_name == "single"


def test_float32_on_gpus_turns_tf32_off(gpus):
    assert configure_devices(devices="1").precision == "bfloat16"
    assert gpus.tf32
    assert configure_devices(devices="1", precision="float32").precision_note == "TF32 off"
    assert not gpus.tf32
    assert configure_devices(devices="cpu:1", precision="float32").precision_note == ""


@pytest.mark.parametrize(
    ("devices", "given", "kernels"),
    [
        ("1", "auto", "native"),
        ("1", "xla", "xla"),
        ("cpu:1", "auto", "xla"),
        ("cpu:1", "native", "native"),
    ],
)
def test_gpus_use_native_kernels_unless_told_otherwise(gpus, devices, given, kernels):
    assert configure_devices(devices=devices, kernels=given).kernels == kernels
    with pytest.raises(InputError, match="unknown --kernels 'cudnn': choose one of auto"):
        configure_devices(devices=devices, kernels="cudnn")


def test_deterministic_runs_use_deterministic_operations_on_gpus(gpus):
    configure_devices(devices="1")
    configure_devices(devices="cpu:1", deterministic=True)  # results on CPUs do not vary
    assert not gpus.deterministic
    configure_devices(devices="1", deterministic=True)
    assert gpus.deterministic


def test_workers_use_the_named_gpus_and_no_timeout_per_collective(gpus, monkeypatch):
    config = {
        "cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]},
        "task": {"type": "worker", "index": 1},
    }
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    found = configure_devices(devices="1,2")
    assert (found.worker, found.workers, found.on_gpus) == (2, 3, True)
    assert found.devices == ("a:1", "b:1", "c:1")
    (values, named) = gpus.strategy
    assert not values and named.keys() == {"cluster_resolver"}
    resolver = named["cluster_resolver"]
    assert resolver.num_accelerators() == {"GPU": 2}
    assert (resolver.task_type, resolver.task_id) == ("worker", 2)
    with pytest.raises(InputError, match="one CPU device each"):
        monkeypatch.setattr("alexnet_tf.training.devices._divide_cpu", lambda count: None)
        configure_devices(devices="cpu:2")


@pytest.mark.parametrize(
    ("workers", "devices", "numbers"),
    [
        (2, None, [[0], [1]]),  # of three GPUs: one for each
        (3, "2,1,0", [[2], [1], [0]]),
        (1, "0,1", [[0, 1]]),
        (2, "cpu:1", [[], []]),
    ],
)
def test_local_workers_divide_the_gpus(gpus, monkeypatch, workers, devices, numbers):
    started = []
    monkeypatch.setattr(cluster.subprocess, "Popen", lambda *given, env, **_: started.append(env))
    monkeypatch.setattr(cluster, "_wait", lambda processes: 0)
    assert cluster.run_local_cluster(["train"], workers) == 0
    for environment, expected in zip(started, numbers, strict=True):
        for name in ("TF_CONFIG", "ALEXNET_TF_LOCAL_WORKERS"):
            monkeypatch.setenv(name, environment[name])
        configure_devices(devices=devices)
        assert gpus.visible == [gpus.gpus[n] for n in expected]
        resolver = gpus.strategy[1]["cluster_resolver"]
        assert resolver.num_accelerators() == {"GPU": len(expected)}
        gpus.visible = gpus.gpus  # of the next process


def test_more_local_workers_than_gpus_are_rejected(gpus, monkeypatch):
    addresses = ["127.0.0.1:1", "127.0.0.1:2"]
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    monkeypatch.setenv("ALEXNET_TF_LOCAL_WORKERS", "2")
    with pytest.raises(
        InputError,
        match=r"--workers 2 needs a GPU for each worker \(found: 1\): name more GPUs with "
        "--devices, or use --devices cpu:1",
    ):
        configure_devices(devices="1")


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ("3", r"GPU 3 not found \(found: 0, 1, 2\); for logical CPU devices: --devices cpu:2"),
        ("0,0", "name each device once"),
        ("-1", r"GPU -1 not found"),
        ("cpu:0", "such as cpu:2. Received: 'cpu:0'"),
        ("cpu", "such as cpu:2. Received: 'cpu'"),
        ("gpu:1", "such as cpu:2. Received: 'gpu:1'"),
    ],
)
def test_devices_that_do_not_exist_are_rejected(gpus, devices, message):
    with pytest.raises(InputError, match=message):
        configure_devices(devices=devices)
    assert gpus.visible == gpus.gpus


def test_gpu_numbers_are_rejected_without_gpus():
    with pytest.raises(
        InputError, match=r"GPU 2 not found \(found: none\); for .* --devices cpu:2"
    ):
        configure_devices(devices="2")


def test_devices_cannot_be_chosen_after_the_first_operation(gpus, monkeypatch):
    def refuse(devices, kind):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr("tensorflow.config.set_visible_devices", refuse)
    with pytest.raises(InputError, match="before TensorFlow's first operation"):
        configure_devices(devices="1")
    assert configure_devices().on_gpus  # the devices that the process has


def test_other_tests_see_no_gpu():
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
    assert not tf.config.list_physical_devices("GPU")


@pytest.mark.gpu
def test_named_gpu_is_the_only_one_of_the_process():
    assert configure_devices(devices="0", precision="float32").on_gpus
    assert len(tf.config.list_logical_devices("GPU")) == 1
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
