"""This worker's index, and the cluster of local processes."""

import os
import signal
import subprocess

from alexnet_tf.commands.train import _without_workers
from alexnet_tf.training import cluster
from alexnet_tf.training.cluster import run_local_cluster, worker_index


def test_worker_index_comes_from_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert worker_index() == 0
    monkeypatch.setenv("TF_CONFIG", '{"task": {"type": "worker", "index": 3}}')
    assert worker_index() == 3
    monkeypatch.setenv("TF_CONFIG", "nonsense")
    assert worker_index() == 0


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
