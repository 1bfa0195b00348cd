"""Runs contenders side by side: each in a process of its own, taking turns, one at a time.

A contender is a function that builds something and returns what makes one step. In its process it
waits for its turn, so that the others have the machine to themselves.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from alexnet_tf.system import huge_page_environment

Step = Callable[[], object]


class MissingPeerError(Exception):
    """A contender's package is not installed."""


def serve(build: Callable[[], Step]) -> None:
    """Runs one contender: builds it, then makes as many steps as each line on stdin says.

    Answers each line with one line of JSON. Ends with stdin.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    try:
        step = build()
    except ImportError as error:
        print(json.dumps({"missing": error.name or str(error)}), file=answers, flush=True)
        return
    step()
    step()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            step()
        seconds = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "memory": memory}), file=answers, flush=True)


class Contender:
    """A contender's process.

    Args:
      command: Starts it.
      environment: Its variables.
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
        answer = self._answer()
        if "missing" in answer:
            raise MissingPeerError(answer["missing"])

    def run(self, steps: int) -> None:
        """Makes steps and notes the seconds of one."""
        assert self._process.stdin is not None
        print(steps, file=self._process.stdin, flush=True)
        answer = self._answer()
        self.seconds_per_step.append(answer["seconds"] / steps)
        self.memory = answer["memory"]

    @property
    def median_seconds(self) -> float:
        """Of a step, over the rounds."""
        return statistics.median(self.seconds_per_step)

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def _answer(self) -> dict:
        """Reads one answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}")
        return json.loads(line)


def add_huge_pages(parser: argparse.ArgumentParser) -> None:
    """Adds the option --huge-pages: whose memory is in large pages."""
    parser.add_argument(
        "--huge-pages",
        choices=("ours", "all", "none"),
        default="ours",
        help="ours: as this package's command line starts, and the others as they come",
    )


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
      names: Of the contenders.
      arguments: Further arguments for each.
      rounds: Turns of each.
      steps: In a turn.
      huge_pages: Whose memory is in large pages: "ours" (names that begin so), "all" or "none".

    Returns:
      The contenders that are installed, by name, ended; a line on stderr names the others.
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
            print(f"{name}: left out, {error} is not installed", file=sys.stderr)
    for number in range(rounds):
        for contender in contenders.values():
            contender.run(steps)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    for contender in contenders.values():
        contender.close()
    return contenders
