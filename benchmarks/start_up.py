"""Start-up time of every command, and of `train` until its first update.

    python benchmarks/start_up.py [--rounds N] [--json]

A command's start-up ends with its first byte on stdout. All run in one folder with a network of the
built-in data set that was trained for one epoch, and with that data set drawn before. The first
update counts as made when its checkpoint exists: `train --checkpoint-every 1` writes one after
each. For it the built-in data set is drawn again each time, in a new folder. The targets are 0.3
seconds for `--help`, 4 for one image of `predict`, and 15 for the first update; the medians of the
rounds count.
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

import numpy as np
from PIL import Image

CLI = [sys.executable, str(Path(__file__).parents[1] / "cli.py")]
LIMIT_SECONDS = 600
_RUN = ["--run", "run"]
COMMANDS = {
    "--help": ["--help"],
    "train --help": ["train", "--help"],
    "train --dry-run": ["train", "--dry-run"],
    "summary": ["summary"],
    "data": ["data", "shapes"],
    "runs": ["runs", "--json"],
    "predict, one image": ["predict", "--model", "run", "photo.png"],
    "evaluate": ["evaluate", *_RUN],
    "similar": ["similar", *_RUN, "photo.png"],
    "report --only kernels": ["report", *_RUN, "--only", "kernels", "--out", "kernels.png"],
    "export": ["export", *_RUN, "--format", "saved_model", "--out", "serving"],
    "experiment list": ["experiment", "list"],
}


def prepare_folder(folder: Path) -> dict[str, str]:
    """Trains a network in a folder for one epoch and returns the environment for commands."""
    places = {"TFDS_DATA_DIR": str(folder / "tfds"), "XDG_CACHE_HOME": str(folder / "cache")}
    environment = {**os.environ, **places}
    command = [*CLI, "train", "--epochs", "1", "--run-dir", "run"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command, cwd=folder, env=environment, check=True, **quiet)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    return environment


def output_seconds(words: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Returns the seconds until a command's first byte on stdout.

    Raises:
      RuntimeError: The command failed.
    """
    started = time.perf_counter()
    with subprocess.Popen(
        [*CLI, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - started
        process.stdout.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}")
    return seconds


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
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = prepare_folder(folder)
        result = {
            title: statistics.median(
                output_seconds(words, folder, environment) for _ in range(options.rounds)
            )
            for title, words in COMMANDS.items()
        }
    result["train until the first update"] = statistics.median(
        first_update_seconds() for _ in range(options.rounds)
    )
    if options.json:
        print(json.dumps(result))
        return
    for name, seconds in result.items():
        print(f"{name:30} {seconds:8.2f}")


if __name__ == "__main__":
    main()
