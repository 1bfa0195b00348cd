"""Several devices and workers, in processes of their own: devices are set up once per process."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import alexnet_tf as an
from alexnet_tf import runs
from alexnet_tf.training.cluster import FAILED_WORKER_SECONDS, free_ports
from tests.training.conftest import train_in, write_photos

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


def start_workers(options, count=2, chief=False, environment=None):
    """Starts workers that train together; with `chief`, the first has that job."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    jobs = {"worker": addresses}
    tasks = [("worker", index) for index in range(count)]
    if chief:
        jobs = {"chief": addresses[:1], "worker": addresses[1:]}
        tasks = [("chief", 0), *tasks[:-1]]
    configs = [{"cluster": jobs, "task": {"type": kind, "index": i}} for kind, i in tasks]
    return [
        start(options, {**(environment or {}), "TF_CONFIG": json.dumps(config)})
        for config in configs
    ]


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
    process = start(options_for(recipe, photos, tmp_path / "two", devices="cpu:2"))
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
    assert (
        start(options_for(tiny_recipe, photos, folder, devices="cpu:2", epochs=8, **how)).wait()
        == 0
    )
    an.train(run_dir=folder, resume=True, epochs=9, quiet=True)  # the last epoch on one device
    # Dropout and augmentation are on; only the order of summation differs.
    np.testing.assert_allclose(curves(folder), one_device, rtol=BOUND)


@pytest.fixture(scope="module")
def killed_worker(tiny_recipe, tmp_path_factory):
    """A run of two workers, the second of which was killed after 216 updates.

    Attributes: `folder`; `threads`, the most threads of each worker around 12 and 216 updates;
    `error`, what the first worker wrote; `code`, its exit code; `seconds` until it ended.
    """
    folder = tmp_path_factory.mktemp("killed")
    photos, run = write_photos(folder / "photos"), folder / "run"
    cache = {"XDG_CACHE_HOME": str(folder / "cache")}
    workers = start_workers(options_for(tiny_recipe, photos, run, epochs=5000), environment=cache)
    threads = [most_threads(workers, run, epochs=(epoch, epoch + 4)) for epoch in (2, 36)]
    workers[1].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    error = workers[0].communicate(timeout=130)[1]
    seconds = time.monotonic() - killed
    workers[1].communicate()
    return SimpleNamespace(
        folder=run, threads=threads, error=error, code=workers[0].returncode, seconds=seconds
    )


def most_threads(workers, folder, epochs):
    """Returns the most threads of each process while the run makes these epochs."""
    deadline, most, done = time.monotonic() + 200, [0, 0], 0
    while done < epochs[1]:
        assert time.monotonic() < deadline
        assert [worker.poll() for worker in workers] == [None, None]
        history = folder / runs.HISTORY
        done = history.read_text().count("\n") if history.exists() else 0
        if done >= epochs[0]:
            counts = [
                sum(1 for _ in Path(f"/proc/{worker.pid}/task").iterdir()) for worker in workers
            ]
            most = [max(pair) for pair in zip(most, counts, strict=True)]
        time.sleep(0.02)
    return most


@pytest.mark.slow
def test_two_workers_give_the_losses_of_one(killed_worker, one_device):
    found = curves(killed_worker.folder)[: len(one_device)]
    np.testing.assert_allclose(found, one_device, rtol=BOUND)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted on Linux")
def test_workers_keep_their_number_of_threads_over_200_updates(killed_worker):
    # With a timeout per collective operation, eight more at each update.
    before, after = killed_worker.threads
    for early, late in zip(before, after, strict=True):
        assert late < early + 20  # threads of an epoch's input come and go


@pytest.mark.slow
def test_killed_worker_is_named_within_the_stated_time(killed_worker):
    assert killed_worker.seconds < FAILED_WORKER_SECONDS
    assert killed_worker.code == 1
    last = killed_worker.error.strip().splitlines()[-1]
    assert re.search(
        r"worker 1 \(127\.0\.0\.1:\d+\) failed: .*(heartbeat|[Cc]onnect|[Ss]ocket)", last
    )
    assert re.search("start all workers again with: .* train --resume", last)


@pytest.mark.slow
def test_cluster_with_a_chief_resumes_after_a_killed_worker(killed_worker, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(killed_worker.folder, folder)
    done = len(curves(folder))
    record = runs.read_run(folder)
    runs.write_run(folder, record.replace(epochs=done + 1))
    again = start_workers({"run_dir": str(folder), "resume": True}, chief=True)
    codes = [worker.wait(timeout=120) for worker in again]
    assert codes == [0, 0], [worker.stderr.read() for worker in again]
    assert len(curves(folder)) >= done + 1
