"""Compares contenders that run in processes of their own and take turns.

A contender is a function that builds a model and returns a function that makes one step. Its
process waits for its turn, so that only one uses the cores at a time.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

from alexnet_tf.system import huge_page_environment

Step = Callable[[], object]


class MissingPeerError(Exception):
    """A contender's package is not installed."""


def serve(build: Callable[[], Step]) -> None:
    """Builds a contender, then reads a number of steps from each line of stdin and makes them.

    Replies to each line with one line of JSON. Ends when stdin does.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be read as a reply
    try:
        step = build()
    except ImportError as error:
        print(json.dumps({"missing": error.name or str(error)}), file=replies, flush=True)
        return
    step()
    step()
    print(json.dumps({"ready": True}), file=replies, flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            step()
        seconds = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "memory": memory}), file=replies, flush=True)


class Contender:
    """A contender's process.

    Args:
      command: The command that starts it.
      environment: Its environment variables.
    """

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.seconds_per_step: list[float] = []
        self.memory = 0
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        reply = self._read_reply()
        if "missing" in reply:
            raise MissingPeerError(reply["missing"])

    def run(self, steps: int) -> None:
        """Makes steps and records the mean seconds of one."""
        assert self._process.stdin is not None
        print(steps, file=self._process.stdin, flush=True)
        reply = self._read_reply()
        self.seconds_per_step.append(reply["seconds"] / steps)
        self.memory = reply["memory"]

    @property
    def median_seconds(self) -> float:
        """Median seconds of a step over the rounds."""
        return statistics.median(self.seconds_per_step)

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def _read_reply(self) -> dict:
        """Returns one line of JSON from the process."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}")
        return json.loads(line)


def option_parser(description: str, contenders: Iterable[str]) -> argparse.ArgumentParser:
    """Returns a parser with the options that all comparisons have."""
    names = list(contenders)
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=names, default=names)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--huge-pages",
        choices=("ours", "all", "none"),
        default="ours",
        help="ours: large pages for our contenders, as our command line uses them",
    )
    parser.add_argument("--serve", choices=names, help=argparse.SUPPRESS)
    return parser


def print_ratios(ratios: dict[str, float]) -> None:
    """Prints ratios, one per line."""
    for name, ratio in ratios.items():
        print(f"{name:40} {ratio:6.2f}")


def run_rounds(
    script: str,
    names: list[str],
    arguments: list[str],
    rounds: int,
    steps: int,
    huge_pages: str = "ours",
) -> dict[str, Contender]:
    """Starts all contenders and lets them take turns.

    Args:
      script: The benchmark's file, which serves a contender when called with --serve NAME.
      names: Names of the contenders.
      arguments: Further arguments of the script.
      rounds: Turns of each contender.
      steps: Steps in a turn.
      huge_pages: Whose memory is in large pages: "ours" (names that start with "our"), "all" or
        "none".

    Returns:
      The contenders that are installed, by name; their processes have ended. A line on stderr names
      the others.
    """
    contenders: dict[str, Contender] = {}
    for name in names:
        try:
            huge = huge_pages == "all" or (huge_pages == "ours" and name.startswith("our"))
            environment = huge_page_environment() if huge else dict(os.environ)
            command = [sys.executable, script, "--serve", name, *arguments]
            contenders[name] = Contender(command, environment)
            print(f"{name}: ready", file=sys.stderr)
        except MissingPeerError as error:
            print(f"{name}: skipped, {error} is not installed", file=sys.stderr)
    for number in range(rounds):
        for contender in contenders.values():
            contender.run(steps)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    for contender in contenders.values():
        contender.close()
    return contenders
