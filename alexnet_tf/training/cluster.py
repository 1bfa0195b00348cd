"""This worker's index by TF_CONFIG, and a cluster of local processes. No TensorFlow."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

_GRACE_SECONDS = 150  # after the first process has failed; longer than WORKER_TIMEOUT_SECONDS


def worker_index() -> int:
    """Returns this worker's index by TF_CONFIG; 0 if TF_CONFIG is missing or damaged.

    Worker 0 is the chief, which writes the run folder.
    """
    try:
        return int(json.loads(os.environ.get("TF_CONFIG") or "")["task"]["index"])
    except (ValueError, KeyError, TypeError):
        return 0


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
        environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
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
