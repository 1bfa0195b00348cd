"""Several devices and workers, in processes of their own: devices are set up once per process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

import alexnet_tf as an
from alexnet_tf import runs
from alexnet_tf.errors import InputError
from alexnet_tf.training.cluster import free_ports
from alexnet_tf.training.devices import DeviceConfiguration, configure_devices
from tests.training.conftest import train_in

BOUND = 2e-4  # largest relative difference of a number in the history after 54 updates

PROGRAM = """
import json, sys
import alexnet_tf as an
from alexnet_tf.settings import Recipe
options = json.loads(sys.argv[1])
options["recipe"] = Recipe.from_json(options["recipe"]) if "recipe" in options else None
try:
    an.train(precision=options.pop("precision", "float32"), quiet=True, **options)
except an.InputError as error:
    sys.exit(str(error))
"""


def start(options, environment=None):
    command = [sys.executable, "-c", PROGRAM, json.dumps(options)]
    return subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, stderr=subprocess.PIPE, text=True
    )


def start_workers(options, count=2):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    configs = [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        for index in range(count)
    ]
    return [start(options, {"TF_CONFIG": json.dumps(config)}) for config in configs]


def options_for(recipe, photos, run_dir, **more):
    values = {"dataset": str(photos), "recipe": recipe.to_json(), "run_dir": str(run_dir)}
    return values | more


def curves(folder):
    names = [f"{p}_{n}" for p in ("training", "validation") for n in ("loss", "top1_error")]
    lines = (folder / runs.HISTORY).read_text().splitlines()
    return [[json.loads(line)[name] for name in names] for line in lines]


@pytest.mark.slow
def test_batch_normalization_uses_the_statistics_of_all_devices(tiny_recipe, photos, tmp_path):
    network = tiny_recipe.network.replace(norm="batch")
    recipe = tiny_recipe.replace(network=network, epochs=4)
    process = start(options_for(recipe, photos, tmp_path / "two", devices="2"))
    an.train(str(photos), recipe=recipe, run_dir=tmp_path / "one", precision="float32", quiet=True)
    assert process.wait() == 0
    np.testing.assert_allclose(curves(tmp_path / "two"), curves(tmp_path / "one"), rtol=BOUND)
    one, two = (an.load_model(tmp_path / name / "last.keras") for name in ("one", "two"))
    # A saved model does not depend on the number of devices.
    assert two.get_config() == one.get_config()
    for ours, theirs in zip(two.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0.01, atol=1e-3)


@pytest.fixture(scope="module")
def one_device(tiny_recipe, tmp_path_factory):
    """The curves of 54 updates."""
    folder = tmp_path_factory.mktemp("one")
    return curves(train_in(folder, tiny_recipe.replace(epochs=9)).run_dir)


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"strategy": "mirrored"}, {"parallelism": "towers"}])
def test_two_devices_give_the_losses_of_one(tiny_recipe, photos, tmp_path, one_device, how):
    folder = tmp_path / "two"
    assert start(options_for(tiny_recipe, photos, folder, devices="2", epochs=8, **how)).wait() == 0
    an.train(run_dir=folder, resume=True, epochs=9, quiet=True)  # the last epoch on one device
    # Dropout and augmentation are on; only the order of summation differs.
    np.testing.assert_allclose(curves(folder), one_device, rtol=BOUND)


@pytest.mark.slow
def test_two_workers_give_the_losses_of_one_and_resume_after_a_kill(
    tiny_recipe, photos, tmp_path, one_device
):
    folder = tmp_path / "two"
    workers = start_workers(options_for(tiny_recipe, photos, folder, epochs=500))
    deadline = time.monotonic() + 120
    while not (folder / runs.HISTORY).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    workers[1].send_signal(signal.SIGKILL)
    error = workers[0].communicate(timeout=130)[1]
    assert workers[0].returncode == 1
    assert re.search("a worker failed .*: start all workers again with: .* train --resume", error)
    # The checkpoint of the first epochs is intact; a restarted cluster resumes from it.
    done = len(curves(folder))
    record = runs.read_run(folder)
    runs.write_run(folder, record.replace(epochs=done + 1))
    again = start_workers({"run_dir": str(folder), "resume": True})
    assert [worker.wait(timeout=120) for worker in again] == [0, 0]
    assert len(curves(folder)) >= done + 1
    shared = min(len(one_device), done)
    np.testing.assert_allclose(curves(folder)[:shared], one_device[:shared], rtol=BOUND)


def test_batch_size_not_divisible_by_the_devices_is_rejected_before_anything_is_written(
    tiny_recipe, photos, tmp_path, monkeypatch
):
    strategy = SimpleNamespace(num_replicas_in_sync=3)
    three = DeviceConfiguration(strategy, "mirrored", ("/CPU:0",) * 3, "float32")
    monkeypatch.setattr("alexnet_tf.training.open_run.configure_devices", lambda *given: three)
    with pytest.raises(InputError, match=r"16 does not divide by the 3 devices.*--batch-size 15"):
        an.train(str(photos), recipe=tiny_recipe, run_dir=tmp_path / "r", quiet=True)
    assert not (tmp_path / "r").exists()


def test_damaged_tf_config_is_rejected(tiny_recipe, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"task": 1}')
    with pytest.raises(InputError, match="several workers need TF_CONFIG, such as"):
        an.train(str(photos), recipe=tiny_recipe, run_dir=tmp_path / "r", quiet=True)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("more", "task", "others"),
    [
        ({"chief": ["127.0.0.1:1"]}, "worker", "chief"),
        ({"chief": ["127.0.0.1:1"], "ps": ["127.0.0.1:2"]}, "chief", "chief, ps"),
        ({}, "evaluator", "evaluator"),
    ],
)
def test_tf_config_with_other_jobs_than_workers_is_rejected(monkeypatch, more, task, others):
    cluster = {"worker": ["127.0.0.1:3"], **more}
    config = {"cluster": cluster, "task": {"type": task, "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(InputError, match=f'no job except "worker".*Received also: {others}'):
        configure_devices()
