"""Resume after kills, full disks, read-only folders, clock jumps and two processes in one folder.

    python benchmarks/faults.py                    (50 kills: at least a quarter of an hour)
    python benchmarks/faults.py --kills 6 --json

A small run on `shapes` in float32 on the CPU is trained once without interruption. Then runs are
killed (SIGKILL) at random moments: in turn at any moment, while a checkpoint is written, and while
an epoch's files are written. After each kill the run is resumed with `--resume` alone. The weights
of every finished run must be bitwise equal to those of the uninterrupted one; then the next run is
started, until there are enough kills. If this script is stopped, the same command resumes it.

The disk is a small tmpfs where this process may mount one. Otherwise a limit on file sizes replaces
the full disk, and the folder's permissions replace the read-only mount.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fault_tools import (
    Process,
    curves,
    digest,
    disk,
    fill,
    interrupted_operation,
    is_intact,
    jumping_clock,
    limit_files,
    newest_write,
    remount,
)

from alexnet_tf import runs
from alexnet_tf.files import write_json
from alexnet_tf.system import import_tensorflow

TRAIN = ["train", "--dataset", "shapes", "--limit-train", "320", "--limit-val", "64"]
TRAIN += ["--epochs", "8", "--batch-size", "32", "--precision", "float32"]
TRAIN += ["--devices", "cpu:1", "--checkpoint-every", "3"]
AIMS = {  # when to kill, and the temporary file that exists then
    "any moment": None,
    "checkpoint write": f"{runs.CHECKPOINTS}/.*.writing*",
    "between epochs": ".*.writing*",
}


def arguments(run: Path, resume: bool) -> list[str]:
    """Returns the command line that starts or resumes a run."""
    if resume:
        return ["train", "--resume", "--run-dir", str(run), "--checkpoint-every", "3"]
    return [*TRAIN, "--run-dir", str(run)]


class Faults:
    """Causes faults and stores the results.

    Args:
      out: Folder for runs and results.
      seed: Seed of the moments of kills.
    """

    def __init__(self, out: Path, seed: int) -> None:
        self.out = out
        self.results = out / "faults.json"
        self.reference = out / "reference"
        self.log = out / "output.log"
        self.found: dict[str, Any] = {"kills": [], "ends": [], "faults": {}}
        if self.results.exists():
            self.found = json.loads(self.results.read_text())
        self.random = random.Random(f"{seed}/{len(self.found['kills'])}")

    def save(self) -> None:
        """Writes the results."""
        write_json(self.results, self.found)

    def train(self, run: Path, first: Callable[[], None] | None = None) -> Process:
        """Starts a run, or resumes it if it has a run.json."""
        return Process(arguments(run, runs.is_run(run)), self.log, first)

    def make_reference(self) -> None:
        """Trains the uninterrupted run."""
        if "digest" in self.found:
            return
        shutil.rmtree(self.reference, ignore_errors=True)
        process = self.train(self.reference)
        while not runs.is_run(self.reference) and process.poll() is None:
            time.sleep(0.01)
        started = time.monotonic()
        if process.wait() != 0:
            sys.exit(f"the uninterrupted run failed: {process.last_line}")
        self.found["seconds"] = time.monotonic() - started
        self.found["digest"] = digest(self.reference)
        self.save()

    def equals_reference(self, run: Path) -> bool:
        """Returns whether a finished run has the weights and curves of the uninterrupted run."""
        return digest(run) == self.found["digest"] and curves(run) == curves(self.reference)

    def kill_often(self, kills: int) -> None:
        """Kills runs until there are enough kills, then lets the last run finish."""
        run = self.out / "killed"
        while len(self.found["kills"]) < kills:
            aim = list(AIMS)[len(self.found["kills"]) % len(AIMS)]
            if self.kill_once(run, AIMS[aim]):
                hit = interrupted_operation(run)
                steps = [path.stem[-8:] for path in run.glob("checkpoints/epoch-*.safetensors")]
                last = {"aim": aim, "hit": hit, "newest_step": int(max(steps, default="0"))}
                self.found["kills"].append(last)
                report(f"kill {len(self.found['kills'])} of {kills}: {last}")
            self.save()
        while runs.is_run(run):
            self.kill_once(run, "")

    def kill_once(self, run: Path, pattern: str | None) -> bool:
        """Resumes a run and kills it at a random moment; if it finishes before, evaluates it.

        Args:
          run: The run folder.
          pattern: The temporary file to wait for after that moment; None: wait for nothing; "": do
            not kill.

        Returns:
          Whether the run was killed.
        """
        before = newest_write(run)
        process = self.train(run)
        while newest_write(run) == before and process.poll() is None:  # it is starting
            time.sleep(0.005)
        moment = time.monotonic() + self.random.uniform(0, self.found["seconds"] / 2)
        while process.poll() is None:
            if time.monotonic() >= moment and (
                pattern is None or (pattern and any(run.glob(pattern)))
            ):
                process.kill()
                if process.poll() == -signal.SIGKILL:
                    return True
                break
            time.sleep(0.001)
        if process.wait() != 0:
            sys.exit(f"a resumed run ended with {process.poll()}: {process.last_line}")
        self.found["ends"].append(self.equals_reference(run))
        report(f"finished; equals the uninterrupted run: {self.found['ends'][-1]}")
        shutil.rmtree(run)
        self.save()
        return False

    def other_faults(self) -> None:
        """Causes the other faults, each in a run of its own."""
        faults = {
            "disk full": self.disk_full,
            "read-only folder": self.read_only,
            "clock jumps": self.clock_jumps,
            "two processes": self.two_processes,
        }
        for name, fault in faults.items():
            if name in self.found["faults"]:
                continue
            self.found["faults"][name] = fault()
            report(f"{name}: {self.found['faults'][name]}")
            self.save()

    def disk_full(self) -> dict[str, Any]:
        """Fills the disk after the first checkpoint, then frees it."""
        with disk(self.out) as (folder, mounted):
            run = folder / "run"
            filler = folder / "filler"
            process = self.start(run)
            if mounted:
                with filler.open("wb") as file:
                    fill(file)
                code, line = process.wait(), process.last_line
                filler.unlink()
            else:
                process.kill()
                process = self.train(run, lambda: limit_files(1 << 20))
                code, line = process.wait(), process.last_line
            return self.resume_and_compare(
                run, code, line, "tmpfs" if mounted else "file size limit"
            )

    def read_only(self) -> dict[str, Any]:
        """Makes the folder read-only after the first checkpoint, then writable again."""
        with disk(self.out) as (folder, mounted):
            run = folder / "run"
            self.start(run).kill()
            if mounted:
                remount(folder, "ro")
            else:
                for path in (run, run / runs.CHECKPOINTS):
                    path.chmod(0o555)
            process = self.train(run)
            code, line = process.wait(), process.last_line
            if mounted:
                remount(folder, "rw")
            else:
                for path in (run, run / runs.CHECKPOINTS):
                    path.chmod(0o755)
            return self.resume_and_compare(run, code, line, "tmpfs" if mounted else "permissions")

    def clock_jumps(self) -> dict[str, Any]:
        """Makes the clock jump back and forth by up to ten days during training."""
        run = self.out / "clock"
        shutil.rmtree(run, ignore_errors=True)
        process = self.train(run, jumping_clock)
        code, equal = process.wait(), self.equals_reference(run)
        line = "(it trains to its end)" if code == 0 else process.last_line
        return {"code": code, "line": line, "how": "time.time", "equals_reference": equal}

    def two_processes(self) -> dict[str, Any]:
        """Starts a second process in the folder of a run in training."""
        run = self.out / "shared"
        shutil.rmtree(run, ignore_errors=True)
        first = self.start(run)
        os.kill(first.id, signal.SIGSTOP)  # so that it does not finish first
        second = Process(arguments(run, True), self.out / "second.log")
        code, line = second.wait(), second.last_line
        os.kill(first.id, signal.SIGCONT)
        first.wait()
        return self.resume_and_compare(run, code, line, "lock")

    def start(self, run: Path) -> Process:
        """Starts a run and waits for its first checkpoint."""
        process = self.train(run)
        while not any(run.glob(f"{runs.CHECKPOINTS}/*.sha256")) and process.poll() is None:
            time.sleep(0.005)
        return process

    def resume_and_compare(self, run: Path, code: int, line: str, how: str) -> dict[str, Any]:
        """Checks the checkpoints after a fault, resumes the run, and compares its end.

        Args:
          run: The run folder.
          code: Exit code of the process that met the fault.
          line: Its last line.
          how: How the fault was caused.
        """
        sums = sorted(run.glob(f"{runs.CHECKPOINTS}/*.sha256"))
        intact = bool(sums) and all(is_intact(path) for path in sums)
        process = self.train(run)
        resumed = process.wait()
        same = resumed == 0 and self.equals_reference(run)
        return {"code": code, "line": line, "how": how, "intact": intact, "equals_reference": same}


def report(line: str) -> None:
    """Prints a line of progress to stderr."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("saved_models/faults"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    import_tensorflow(start_devices=False)
    faults = Faults(options.out, options.seed)
    faults.make_reference()
    faults.kill_often(options.kills)
    faults.other_faults()
    found = {**faults.found, "hits": Counter(kill["hit"] for kill in faults.found["kills"])}
    if options.json:
        print(json.dumps(found))
        return
    ends = faults.found["ends"]
    print(f"{len(faults.found['kills'])} kills; {len(ends)} runs finished after kills,")
    print(f"{sum(ends)} of them bitwise equal to the uninterrupted run in weights and curves\n")
    for hit, count in found["hits"].most_common():
        print(f"| {hit} | {count} |")
    print()
    for name, fault in faults.found["faults"].items():
        line = re.sub(re.escape(str(options.out)) + r"/?", "", fault["line"])
        kept = fault.get("intact", "-")
        print(f"| {name} ({fault['how']}) | {fault['code']} | {line} | {kept} | ", end="")
        print(f"{fault['equals_reference']} |")


if __name__ == "__main__":
    main()
