"""The cluster that TF_CONFIG describes, its failures, and local processes. No TensorFlow."""

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import TypeVar

from alexnet_tf.errors import InputError

T = TypeVar("T")

# Within this time, workers end with a message after one of them has failed: TensorFlow's
# coordination service declares a worker failed whose heartbeat is missing for ten seconds.
FAILED_WORKER_SECONDS = 30
# In the environment of local processes: how many there are, which divide the GPUs.
_LOCAL_WORKERS = "ALEXNET_TF_LOCAL_WORKERS"
_GRACE_SECONDS = 60  # for local processes, after the first has failed

_EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)
# In errors of this process's own device or compiler, in lower case.
_LOCAL_FAILURES = ("cudnn", "nccl", "cublas", "cuda", "ptxas", "xla", "compil")
# In errors of a connection to another worker, in lower case.
_CONNECTION_FAILURES = ("connect", "socket", "by peer", "unavailable")
# Before the number of a failed worker: who reported an error, whose heartbeat is missing (a line of
# its own), and whom a call did not reach.
_NAMED_WORKER = re.compile(
    r"(?:reported from |remote target |^)/job:worker/(?:replica:\d+/)?task:(\d+)", re.MULTILINE
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes that train together.

    Attributes:
      addresses: "host:port" of each worker; a chief is the first worker.
      worker: Index of this worker.
      local_workers: Number of workers that `run_local_cluster` started on this machine, or 0.
    """

    addresses: tuple[str, ...]
    worker: int
    local_workers: int = 0

    def own_gpus(self, gpus: Sequence[T]) -> list[T]:
        """Returns this worker's part of the machine's GPUs: all, unless local workers divide them.

        Raises:
          InputError: There are GPUs, but fewer than local workers.
        """
        if not self.local_workers or not gpus:
            return list(gpus)
        if len(gpus) < self.local_workers:
            raise InputError(
                f"--workers {self.local_workers} needs a GPU for each worker (found: {len(gpus)}): "
                f"name more GPUs with --devices, or use --devices cpu:1 for workers on the CPU"
            )
        count = len(gpus) // self.local_workers
        return list(gpus[self.worker * count : (self.worker + 1) * count])


def read_cluster() -> Cluster:
    """Returns the cluster that TF_CONFIG describes.

    Raises:
      InputError: TF_CONFIG is missing or damaged, or has jobs other than chief and worker.
    """
    try:
        config = json.loads(os.environ.get("TF_CONFIG") or "")
        cluster, task = config["cluster"], config["task"]
        kind, index = str(task.get("type", "worker")), int(task["index"])
        others = sorted({*map(str, cluster), kind} - {"chief", "worker"})
        if not others:
            addresses = [*cluster.get("chief", []), *cluster.get("worker", [])]
            _ = cluster[kind][index]
            if index < 0:
                raise IndexError
    except (AttributeError, ValueError, KeyError, TypeError, IndexError):
        raise InputError(f"several workers need TF_CONFIG, such as {_EXAMPLE}") from None
    if others:
        raise InputError(
            f"TF_CONFIG: the job {', '.join(others)} is not supported: every worker takes part in "
            f"training and validation. Name only workers, and a chief if need be: {_EXAMPLE}"
        )
    if len(cluster.get("chief", [])) > 1 or not all(isinstance(a, str) for a in addresses):
        raise InputError(f"TF_CONFIG must have at most one chief, and addresses such as {_EXAMPLE}")
    local_workers = int(os.environ.get(_LOCAL_WORKERS) or 0)
    return Cluster(tuple(addresses), worker_index(), local_workers)


def worker_index() -> int:
    """Returns this worker's index by TF_CONFIG; 0 if TF_CONFIG is missing or damaged.

    Worker 0 writes the run folder. It is the chief, if TF_CONFIG has one.
    """
    try:
        config = json.loads(os.environ.get("TF_CONFIG") or "")
        index = int(config["task"]["index"])
        if config["task"].get("type") == "chief":
            return index
        return index + len(config.get("cluster", {}).get("chief", []))
    except (AttributeError, ValueError, KeyError, TypeError):
        return 0


def failure_cause(text: str) -> str:
    """Returns the first line of TensorFlow's message that has the cause.

    Args:
      text: The message; with the place in the program, as text, if a compiled function failed.
    """
    lines = [line.strip() for line in text.splitlines()]
    place = ('File "', "Detected at node", "Graph execution error:")
    causes = [line for line in lines if line and not line.startswith(place)]
    cause = causes[0] if causes else text.strip()
    return cause.removeprefix("Collective ops is aborted by: ").rstrip(".:")


def describe_failure(text: str, cluster: Cluster) -> str:
    """Returns which worker failed, and the cause.

    Args:
      text: TensorFlow's message.
      cluster: The workers.
    """
    cause = failure_cause(text)
    failed = {int(number) for number in _NAMED_WORKER.findall(text)}
    if "CoordinationService" in text and cluster.worker != 0:
        failed.add(0)  # where the service runs
    workers = dict(enumerate(cluster.addresses))
    is_local = any(word in cause.lower() for word in _LOCAL_FAILURES) or cluster.worker in failed
    is_connection = any(word in cause.lower() for word in _CONNECTION_FAILURES) and not is_local
    if is_connection:
        failed |= {n for n, address in workers.items() if _mentions(text, address)}
    others = [n for n in workers if n != cluster.worker and n in failed]
    if is_connection and not others and len(workers) == 2:
        others = [1 - cluster.worker]  # a connection has two ends
    if others:
        names = ", ".join(f"{n} ({cluster.addresses[n]})" for n in others)
        return f"worker {names} failed: {cause}"
    if is_local:
        return f"this worker, {cluster.worker}, failed: {cause}"
    return f"a worker failed: {cause}"


def _mentions(text: str, address: str) -> bool:
    """Returns whether a message has a worker's address, not as the end of another host's name."""
    return re.search(rf"(?<![\w.-]){re.escape(address)}(?!\d)", text) is not None


def run_local_cluster(arguments: Sequence[str], workers: int) -> int:
    """Runs `alexnet-tf` in several processes that train together over the loopback interface.

    SIGINT and SIGTERM are passed on to all processes. Only the chief, worker 0, writes to stdout.

    Args:
      arguments: The arguments of the command line, without --workers.
      workers: Number of processes.

    Returns:
      The first exit code that is not 0, or 0.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    processes = []
    for index in range(workers):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config), _LOCAL_WORKERS: str(workers)}
        command = [sys.executable, "-m", "alexnet_tf", *arguments]
        processes.append(
            # A session of their own, so that Ctrl-C reaches them once, through this process.
            subprocess.Popen(
                command,
                env=environment,
                stdout=None if index == 0 else subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    def forward(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, forward) for number in numbers]
    try:
        return _wait(processes)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _wait(processes: list[subprocess.Popen[bytes]]) -> int:
    """Waits for all processes; kills those that outlive a failed one for too long."""
    failed_at: float | None = None
    code = 0
    while any(process.poll() is None for process in processes):
        codes = [process.returncode for process in processes if process.returncode]
        if codes and failed_at is None:
            failed_at, code = time.monotonic(), codes[0]
        if failed_at is not None and time.monotonic() - failed_at > _GRACE_SECONDS:
            for process in processes:
                process.kill()
        time.sleep(0.1)
    codes = [process.returncode for process in processes if process.returncode]
    code = code or (codes[0] if codes else 0)
    return 128 - code if code < 0 else code


def free_ports(count: int) -> list[int]:
    """Returns free ports of the loopback interface."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
