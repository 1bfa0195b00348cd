"""Tools of `faults.py`: processes to kill, disks to fill, runs to compare."""

import hashlib
import io
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from alexnet_tf import runs
from alexnet_tf.cli import main as command_line

_DISK_BYTES = 24 << 20


class Process:
    """A training process, forked from this one, which has imported TensorFlow but not started it.

    Args:
      arguments: Arguments of the command line.
      log: File that gets its stdout and stderr.
      first: Called in the process before the command, or None.
    """

    def __init__(
        self, arguments: list[str], log: Path, first: Callable[[], None] | None = None
    ) -> None:
        self.log = log
        self._code: int | None = None
        self._id = os.fork()
        if self._id:
            return
        code = 1
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            if first is not None:
                first()
            sys.argv = ["alexnet-tf", *arguments]
            command_line(arguments)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        finally:
            os._exit(code)

    @property
    def id(self) -> int:
        """The process's id."""
        return self._id

    def poll(self) -> int | None:
        """Returns the exit code: None while the process runs, -9 after SIGKILL."""
        if self._code is None:
            done, status = os.waitpid(self._id, os.WNOHANG)
            if done:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self) -> int:
        """Waits for the process to end and returns its exit code."""
        while self.poll() is None:
            time.sleep(0.01)
        return self._code or 0

    def kill(self) -> None:
        """Ends the process with SIGKILL."""
        if self.poll() is None:
            os.kill(self._id, signal.SIGKILL)
            self.wait()

    @property
    def last_line(self) -> str:
        """The last line that the process printed."""
        lines = self.log.read_text(errors="replace").strip().splitlines() or [""]
        return lines[-1]


def digest(run: Path) -> str:
    """Returns a checksum of the weights in last.keras and best.keras."""
    found = hashlib.sha256()
    for name in (runs.LAST, runs.BEST):
        with zipfile.ZipFile(run / name) as file:
            content = io.BytesIO(file.read("model.weights.h5"))

        def add(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                found.update(name.encode() + item[()].tobytes())

        with h5py.File(content) as weights:
            weights.visititems(add)
    return found.hexdigest()


def curves(run: Path) -> list[dict[str, Any]]:
    """Returns a run's history without its times."""
    times = ("seconds", "images_per_second", "waiting_fraction")
    return [
        {k: v for k, v in r.to_json().items() if k not in times} for r in runs.read_history(run)
    ]


def interrupted_operation(run: Path) -> str:
    """Returns what a kill interrupted, according to the temporary files that it left."""
    if any(run.glob(f"{runs.CHECKPOINTS}/.*.writing*")):
        return "in a checkpoint write"
    written = {path.name.split(".")[1] for path in run.glob(".*.writing*")}
    if written:
        return f"writing {', '.join(sorted(written))}"
    names = {path.name for path in run.glob(f"{runs.CHECKPOINTS}/epoch-*")}
    if any(name.endswith(".safetensors") and f"{name}.sha256" not in names for name in names):
        return "in a checkpoint write"
    return "in a step, or between steps" if runs.is_run(run) else "before the first step"


def newest_write(run: Path) -> int:
    """Returns when run.json was last written, in nanoseconds; 0 if it does not exist."""
    path = run / runs.RUN
    return path.stat().st_mtime_ns if path.exists() else 0


def is_intact(checksum: Path) -> bool:
    """Returns whether a checkpoint matches its checksum file."""
    content = checksum.with_suffix("").read_bytes()
    return hashlib.sha256(content).hexdigest() == checksum.read_text().split()[0]


@contextmanager
def disk(out: Path) -> Iterator[tuple[Path, bool]]:
    """Yields an empty folder, and whether it is on a disk of its own (mounting needs root)."""
    folder = Path(tempfile.mkdtemp(dir=out, prefix="disk-"))
    options = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(folder)]
    mounted = shutil.which("mount") is not None and (
        subprocess.run(options, capture_output=True).returncode == 0
    )
    try:
        yield folder, mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)
        shutil.rmtree(folder)


def remount(folder: Path, how: str) -> None:
    """Remounts a tmpfs as "ro" or "rw"."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def fill(file: io.BufferedWriter) -> None:
    """Writes until the disk is full."""
    for _ in itertools.count():
        try:
            file.write(bytes(1 << 16))
            file.flush()
        except OSError:
            return


def limit_files(size: int) -> None:
    """Limits the files of this process to `size` bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def jumping_clock() -> None:
    """Makes `time.time` of this process jump by up to ten days at each call."""
    real, jumps = time.time, random.Random(0)
    time.time = lambda: real() + jumps.uniform(-864_000, 864_000)
