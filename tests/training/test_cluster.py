"""The cluster by TF_CONFIG, its failures, and the cluster of local processes."""

import json
import os
import signal
import subprocess

import pytest

from alexnet_tf.commands.train import _without_workers
from alexnet_tf.errors import InputError
from alexnet_tf.training import cluster
from alexnet_tf.training.cluster import (
    Cluster,
    describe_failure,
    read_cluster,
    run_local_cluster,
    worker_index,
)


def test_worker_index_comes_from_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert worker_index() == 0
    monkeypatch.setenv("TF_CONFIG", '{"task": {"type": "worker", "index": 3}}')
    assert worker_index() == 3
    monkeypatch.setenv("TF_CONFIG", "nonsense")
    assert worker_index() == 0


@pytest.mark.parametrize(
    ("task", "index"),
    [
        ({"type": "chief", "index": 0}, 0),
        ({"type": "worker", "index": 0}, 1),
        ({"type": "worker", "index": 1}, 2),
        ({"index": 1}, 2),
    ],
)
def test_chief_is_the_first_worker(monkeypatch, task, index):
    jobs = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": jobs, "task": task}))
    assert read_cluster() == Cluster(("a:1", "b:1", "c:1"), index)
    assert worker_index() == index


@pytest.mark.parametrize(
    "config",
    [
        {"task": 1},
        {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}},
        {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}},
        {"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}},
        {"cluster": {"worker": [1]}, "task": {"type": "worker", "index": 0}},
        {"cluster": {"chief": ["a:1", "b:1"]}, "task": {"type": "chief", "index": 0}},
    ],
)
def test_damaged_tf_config_is_rejected_with_an_example(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(InputError, match=r'such as \{"cluster"'):
        read_cluster()


# As TensorFlow wrote them when worker 1 was killed, and when worker 0 was stopped.
KILLED = """Graph execution error:

Detected at node CollectiveReduceV2 defined at (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main

Collective ops is aborted by: Error reported from /job:worker/task:1: The following tasks are unhealthy (stopped sending heartbeats):
/job:worker/replica:0/task:1
The tasks have crashed. Check the task logs for an earlier error to debug further.
"""  # noqa: E501
STOPPED = """Graph execution error:

Collective ops is aborted by: Deadline Exceeded
RPC: /tensorflow.CoordinationService/Heartbeat
The error could be from a previous operation. Restart your program to reset.
"""

UNREACHABLE = """failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:2222: no
Additional GRPC error information from remote target /job:worker/replica:0/task:1:
"""
UNREACHABLE_DESCRIPTION = (
    "worker 1 (b:1) failed: failed to connect to all addresses; last error: UNKNOWN: "
    "ipv4:127.0.0.1:2222: no"
)


@pytest.mark.parametrize(
    ("worker", "text", "description"),
    [
        (
            0,
            KILLED,
            "worker 1 (b:1) failed: Error reported from /job:worker/task:1: The following tasks "
            "are unhealthy (stopped sending heartbeats)",
        ),
        (1, STOPPED, "worker 0 (a:1) failed: Deadline Exceeded"),
        (
            0,
            "Error reported from /job:worker/task:1: cuDNN launch failure",
            "worker 1 (b:1) failed: Error reported from /job:worker/task:1: cuDNN launch failure",
        ),
        (0, "Connection reset by peer\nmore", "worker 1 (b:1) failed: Connection reset by peer"),
        (1, "Socket closed", "worker 0 (a:1) failed: Socket closed"),
        (0, UNREACHABLE, UNREACHABLE_DESCRIPTION),
        (0, "Cancelled", "a worker failed: Cancelled"),
        (
            0,
            "cuDNN launch failure : input shape\n\t [[{{node conv1}}]]",
            "this worker, 0, failed: cuDNN launch failure : input shape",
        ),
        (
            1,
            "Graph execution error:\n\nNCCL: unhandled cuda error",
            "this worker, 1, failed: NCCL: unhandled cuda error",
        ),
        (1, "XLA compilation failed", "this worker, 1, failed: XLA compilation failed"),
    ],
)
def test_failure_of_another_worker_differs_from_one_of_this_worker(worker, text, description):
    assert describe_failure(text, Cluster(("a:1", "b:1"), worker)) == description


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("failed to connect; ipv4:10.0.0.3:2222: no", "worker 2 (10.0.0.3:2222) failed: {}"),
        ("failed to connect; ipv4:10.0.0.3:22220: no", "a worker failed: {}"),
        ("Connection reset by peer", "a worker failed: {}"),
        ("failed to connect to a.10.0.0.3:2222", "a worker failed: {}"),
        ("cuDNN launch failure, see 10.0.0.2:2222", "this worker, 0, failed: {}"),
    ],
)
def test_unreachable_worker_of_several_is_named_by_its_address(text, description):
    cluster = Cluster(("10.0.0.1:2222", "10.0.0.2:2222", "10.0.0.3:2222"), 0)
    assert describe_failure(text, cluster) == description.format(text)


def test_local_cluster_returns_the_exit_code(capfd):
    assert run_local_cluster(["train", "--epochs", "0"], 2) == 2
    assert "0 is not in the range" in capfd.readouterr().err


def test_local_cluster_forwards_signals_to_all_processes(monkeypatch):
    begin, wait, begun = subprocess.Popen, cluster._wait, []

    def sleep(command, **given):
        begun.append(begin(["sleep", "60"], start_new_session=given["start_new_session"]))
        return begun[-1]

    def wait_signalled(processes):
        os.kill(os.getpid(), signal.SIGTERM)
        return wait(processes)

    monkeypatch.setattr(cluster.subprocess, "Popen", sleep)
    monkeypatch.setattr(cluster, "_wait", wait_signalled)
    before = signal.getsignal(signal.SIGTERM)
    assert run_local_cluster(["train"], 2) == 128 + signal.SIGTERM
    assert [process.returncode for process in begun] == [-signal.SIGTERM] * 2
    assert signal.getsignal(signal.SIGTERM) == before


def test_local_cluster_processes_get_the_command_without_workers():
    words = ["train", "--workers", "2", "--epochs", "1", "--workers=3"]
    assert _without_workers(words) == ["train", "--epochs", "1"]
