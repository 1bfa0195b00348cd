"""Time and memory of every command that reads images, for more and more images.

    python benchmarks/growth.py                            (1,000 to 100,000 images; an hour)
    python benchmarks/growth.py --images 1000,10000 --commands evaluate,report --json

For each size, `train` trains a small network for one epoch on a folder with as many training as
validation images, and the other commands use its run; each command has a process of its own. The
images are links to a few files, to save disk space; every one is read and decoded. The time per
image should not grow, and neither should memory beyond what a limited cache of images takes.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

_CLASSES, _FILES = 10, 64
_CLI = [sys.executable, str(Path(__file__).parents[1] / "cli.py")]
# {photos}: the data set; {run}: its run; {flat}: a folder with the validation images alone.
COMMANDS = {
    "train": "train --dataset {photos} --recipe cifar10-small --epochs 1 --run-dir {run}",
    "evaluate": "evaluate --run {run}",
    "predict": "predict --model {run} --csv {home}/predictions.csv {flat}",
    "report": "report --run {run} --no-ten-crop",
    "similar": "similar --run {run} {flat}/000000.jpg",
    "prepare": "prepare {photos} --out {home}/prepared --size 64",
}


@dataclass(frozen=True)
class Cost:
    """What one command took for one number of images."""

    command: str
    images: int
    seconds: float
    processor_seconds: float
    peak_megabytes: float


def write_files(folder: Path, pixels: int) -> list[Path]:
    """Writes a few different JPEG files of smooth noise and returns their paths."""
    folder.mkdir()
    random, files = np.random.default_rng(0), []
    for number in range(_FILES):
        files.append(folder / f"{number}.jpg")
        coarse = random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((pixels, pixels)).save(files[-1], quality=90)
    return files


def write_dataset(home: Path, files: list[Path], count: int) -> None:
    """Links `count` images into each of photos/train, photos/val (by class) and flat."""
    for number in range(count):
        name = f"{number:06}.jpg"
        parts = [Path("photos", split, f"class-{number % _CLASSES}") for split in ("train", "val")]
        for part in (*parts, Path("flat")):
            (home / part).mkdir(parents=True, exist_ok=True)
            os.link(files[number % _FILES], home / part / name)


def cost(command: str, words: list[str], images: int, home: Path) -> Cost:
    """Runs a command to its end and returns what it took.

    Raises:
      RuntimeError: The command failed.
    """
    environment = {**os.environ, "XDG_CACHE_HOME": str(home / "cache")}
    started = time.perf_counter()
    with (home / "output").open("wb") as output:
        process = psutil.Popen([*_CLI, *words], env=environment, stdout=output, stderr=output)
        peak, processor_seconds = 0.0, 0.0
        while process.poll() is None:
            try:  # helper processes of `prepare` count too
                family = [process, *process.children(recursive=True)]
                peak = max(peak, sum(each.memory_info().rss for each in family))
                times = process.cpu_times()
                processor_seconds = sum(times[:4])
            except psutil.NoSuchProcess:
                pass
            time.sleep(0.1)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} failed: {(home / 'output').read_text()[-500:]}")
    return Cost(command, images, seconds, processor_seconds, peak / 1e6)


def measure(images: int, pixels: int, commands: list[str]) -> list[Cost]:
    """Measures the commands for one number of images; `train` always runs first."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        write_dataset(home, write_files(home / "files", pixels), images)
        places = {"photos": home / "photos", "flat": home / "flat", "run": home / "run"}
        costs = []
        for command in dict.fromkeys(["train", *commands]):
            words = COMMANDS[command].format(home=home, **places).split()
            found = cost(command, words, images, home)
            if command in commands:
                costs.append(found)
                print(f"{command}, {images:,} images: {found.seconds:.1f} s", file=sys.stderr)
        return costs


def table(costs: list[Cost]) -> list[str]:
    """Returns Markdown rows: seconds, memory, and processor milliseconds per further image.

    The processor's time of all cores: other load on the machine hardly changes it.
    """
    sizes = sorted({each.images for each in costs})
    by_case = {(each.command, each.images): each for each in costs}
    steps = list(itertools.pairwise(sizes))
    titles = ["command", *(f"{size:,}: s" for size in sizes)]
    titles += [f"CPU ms per image, {a:,} to {b:,}" for a, b in steps]
    titles += [f"{size:,}: MB" for size in sizes]
    rows = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for command in dict.fromkeys(each.command for each in costs):
        row = [by_case[command, size] for size in sizes]
        seconds = {each.images: each.processor_seconds for each in row}
        cells = [command, *(f"{each.seconds:.1f}" for each in row)]
        cells += [f"{1e3 * (seconds[b] - seconds[a]) / (b - a):.2f}" for a, b in steps]
        cells += [f"{each.peak_megabytes:,.0f}" for each in row]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", default="1000,10000,100000")
    parser.add_argument("--pixels", type=int, default=48, help="side of the images")
    parser.add_argument("--commands", default=",".join(COMMANDS))
    parser.add_argument("--json", action="store_true", help="print one JSON object per case")
    options = parser.parse_args()
    costs = []
    for images in map(int, options.images.split(",")):
        costs += measure(images, options.pixels, options.commands.split(","))
    print(
        "\n".join(json.dumps(asdict(each)) for each in costs)
        if options.json
        else "\n".join(table(costs))
    )


if __name__ == "__main__":
    main()
