"""Kills, full disks, read-only folders, jumping clocks, two processes at once: is anything lost?

    python benchmarks/faults.py                    (50 kills: a quarter of an hour and more)
    python benchmarks/faults.py --kills 6 --json

A small run on `shapes` in float32 on the CPU is trained once without a stop. Then it is killed
(SIGKILL) at random moments, in turn: at any moment, while a checkpoint is being written, while the
files of an epoch are; after each kill it goes on with `--resume` and nothing else. A run that comes
to its end must have the weights of the one that was never stopped, bit for bit; then the next one
begins, until there were enough kills. Stopped itself, this goes on where it was (`--out`).

The disk is a small tmpfs where this process may mount one. Elsewhere a limit on the size of files
stands in for a full disk, and the folder's rights for a read-only mount.
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
    is_intact,
    jumping_clock,
    limit_files,
    newest_write,
    remount,
    what_is_left,
)

from alexnet_tf import runs
from alexnet_tf.files import write_json
from alexnet_tf.system import import_tensorflow

TRAIN = ["train", "--dataset", "shapes", "--limit-train", "320", "--limit-val", "64"]
TRAIN += ["--epochs", "8", "--batch-size", "32", "--precision", "float32"]
TRAIN += ["--devices", "1", "--checkpoint-every", "3"]
AIMS = {  # what a kill waits for, by the temporary file that is there then
    "any moment": None,
    "checkpoint write": f"{runs.CHECKPOINTS}/.*.writing*",
    "between epochs": ".*.writing*",
}


def arguments(run: Path, resume: bool) -> list[str]:
    """Returns the command line that begins a run or goes on with it."""
    if resume:
        return ["train", "--resume", "--run-dir", str(run), "--checkpoint-every", "3"]
    return [*TRAIN, "--run-dir", str(run)]


class Faults:
    """The faults, what came of them, and where that is kept.

    Args:
      out: The folder for runs and results.
      seed: Of the moments.
    """

    def __init__(self, out: Path, seed: int) -> None:
        self.out = out
        self.results = out / "faults.json"
        self.reference = out / "reference"
        self.log = out / "screen.log"
        self.found: dict[str, Any] = {"kills": [], "ends": [], "faults": {}}
        if self.results.exists():
            self.found = json.loads(self.results.read_text())
        self.random = random.Random(f"{seed}/{len(self.found['kills'])}")

    def save(self) -> None:
        """Keeps what was found."""
        write_json(self.results, self.found)

    def train(self, run: Path, first: Callable[[], None] | None = None) -> Process:
        """Begins a run, or goes on with it if its run.json is there."""
        return Process(arguments(run, runs.is_run(run)), self.log, first)

    def make_reference(self) -> None:
        """Trains the run that is never stopped."""
        if "digest" in self.found:
            return
        shutil.rmtree(self.reference, ignore_errors=True)
        process = self.train(self.reference)
        while not runs.is_run(self.reference) and process.poll() is None:
            time.sleep(0.01)
        started = time.monotonic()
        if process.wait() != 0:
            sys.exit(f"the run without a fault failed: {process.last_line}")
        self.found["seconds"] = time.monotonic() - started
        self.found["digest"] = digest(self.reference)
        self.save()

    def is_as_the_reference(self, run: Path) -> bool:
        """Returns whether a finished run's weights and curves are those without a fault."""
        return digest(run) == self.found["digest"] and curves(run) == curves(self.reference)

    def kill_often(self, kills: int) -> None:
        """Kills runs until there were enough kills, then lets the last one finish."""
        run = self.out / "killed"
        while len(self.found["kills"]) < kills:
            aim = list(AIMS)[len(self.found["kills"]) % len(AIMS)]
            if self.kill_once(run, AIMS[aim]):
                hit = what_is_left(run)
                steps = [path.stem[-8:] for path in run.glob("checkpoints/epoch-*.safetensors")]
                last = {"aim": aim, "hit": hit, "newest_step": int(max(steps, default="0"))}
                self.found["kills"].append(last)
                tell(f"kill {len(self.found['kills'])} of {kills}: {last}")
            self.save()
        while runs.is_run(run):
            self.kill_once(run, "")

    def kill_once(self, run: Path, pattern: str | None) -> bool:
        """Goes on with a run and kills it at a random moment; judges it if it is at its end.

        Args:
          run: Its folder.
          pattern: The temporary file to wait for after that moment; None: kill then; "": do not.

        Returns:
          Whether it was killed.
        """
        before = newest_write(run)
        process = self.train(run)
        while newest_write(run) == before and process.poll() is None:  # it starts up
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
        self.found["ends"].append(self.is_as_the_reference(run))
        tell(f"at its end; as without a kill: {self.found['ends'][-1]}")
        shutil.rmtree(run)
        self.save()
        return False

    def other_faults(self) -> None:
        """Tries the other faults, each on a run of its own."""
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
            tell(f"{name}: {self.found['faults'][name]}")
            self.save()

    def disk_full(self) -> dict[str, Any]:
        """Fills the disk after the first checkpoint, then makes room again."""
        with disk(self.out) as (folder, mounted):
            run = folder / "run"
            filler = folder / "filler"
            process = self.begin(run)
            if mounted:
                with filler.open("wb") as file:
                    fill(file)
                code, line = process.wait(), process.last_line
                filler.unlink()
            else:
                process.kill()
                process = self.train(run, lambda: limit_files(1 << 20))
                code, line = process.wait(), process.last_line
            return self.judge(run, code, line, "tmpfs" if mounted else "limit on files")

    def read_only(self) -> dict[str, Any]:
        """Makes the folder read-only after the first checkpoint, and writable again."""
        with disk(self.out) as (folder, mounted):
            run = folder / "run"
            self.begin(run).kill()
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
            return self.judge(run, code, line, "tmpfs" if mounted else "rights")

    def clock_jumps(self) -> dict[str, Any]:
        """Lets the clock jump by up to ten days, back and forth, while a run trains."""
        run = self.out / "clock"
        shutil.rmtree(run, ignore_errors=True)
        process = self.train(run, jumping_clock)
        code, same = process.wait(), self.is_as_the_reference(run)
        line = "(it trains to its end)" if code == 0 else process.last_line
        return {"code": code, "line": line, "how": "time.time", "as_without": same}

    def two_processes(self) -> dict[str, Any]:
        """Starts a second process in the folder of a run that is being trained."""
        run = self.out / "shared"
        shutil.rmtree(run, ignore_errors=True)
        first = self.begin(run)
        os.kill(
            first.number, signal.SIGSTOP
        )  # so that it does not end before the second has looked
        second = Process(arguments(run, True), self.out / "second.log")
        code, line = second.wait(), second.last_line
        os.kill(first.number, signal.SIGCONT)
        first.wait()
        return self.judge(run, code, line, "lock")

    def begin(self, run: Path) -> Process:
        """Begins a run and returns when its first checkpoint is there."""
        process = self.train(run)
        while not any(run.glob(f"{runs.CHECKPOINTS}/*.sha256")) and process.poll() is None:
            time.sleep(0.005)
        return process

    def judge(self, run: Path, code: int, line: str, how: str) -> dict[str, Any]:
        """Checks the checkpoints after a fault, goes on, and compares the end."""
        sums = sorted(run.glob(f"{runs.CHECKPOINTS}/*.sha256"))
        intact = bool(sums) and all(is_intact(path) for path in sums)
        process = self.train(run)
        resumed = process.wait()
        same = resumed == 0 and self.is_as_the_reference(run)
        return {"code": code, "line": line, "how": how, "intact": intact, "as_without": same}


def tell(line: str) -> None:
    """Prints a line of progress."""
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
    print(f"{len(faults.found['kills'])} kills; {len(ends)} runs came to their end after kills,")
    print(
        f"{sum(ends)} of them with the weights and curves of the run never stopped, bit for bit\n"
    )
    for hit, count in found["hits"].most_common():
        print(f"| {hit} | {count} |")
    print()
    for name, fault in faults.found["faults"].items():
        line = re.sub(re.escape(str(options.out)) + r"/?", "", fault["line"])
        kept = fault.get("intact", "-")
        print(f"| {name} ({fault['how']}) | {fault['code']} | {line} | {kept} | ", end="")
        print(f"{fault['as_without']} |")


if __name__ == "__main__":
    main()
