"""Start-up time: of `--help`, and of `train` on the built-in data set until its first update.

    python benchmarks/start_up.py [--rounds N] [--json]

The first update counts as made when its checkpoint exists: `train --checkpoint-every 1` writes one
after each. The built-in data set is generated again each time, in a new folder. The targets are 0.5
and 15 seconds; the medians of the rounds count.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLI = [sys.executable, str(Path(__file__).parents[1] / "cli.py")]
LIMIT_SECONDS = 600


def help_seconds() -> float:
    """Returns the seconds that `--help` takes."""
    started = time.perf_counter()
    subprocess.run([*CLI, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def first_update_seconds() -> float:
    """Returns the seconds until the checkpoint of the first update of `train` exists.

    Raises:
      RuntimeError: `train` ended before, or took longer than `LIMIT_SECONDS`.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [*CLI, "train", "--checkpoint-every", "1", "--run-dir", str(folder / "run")]
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TFDS_DATA_DIR": str(folder), "XDG_CACHE_HOME": str(folder)},
        )
        try:
            while not list((folder / "run" / "checkpoints").glob("*.sha256")):
                if process.poll() is not None:
                    raise RuntimeError(f"train ended with {process.returncode}")
                if time.perf_counter() - started > LIMIT_SECONDS:
                    raise RuntimeError(f"no update within {LIMIT_SECONDS} seconds")
                time.sleep(0.01)
            return time.perf_counter() - started
        finally:
            process.kill()
            process.wait()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    measured = {
        "help_seconds": help_seconds,
        "first_update_seconds": first_update_seconds,
    }
    result = {
        name: statistics.median(measure() for _ in range(options.rounds))
        for name, measure in measured.items()
    }
    if options.json:
        print(json.dumps(result))
        return
    for name, seconds in result.items():
        print(f"{name:24} {seconds:8.2f}")


if __name__ == "__main__":
    main()
