"""`prepare` on many images: memory, speed, and the result after being killed.

    python benchmarks/prepare.py [--images 100000] [--kills 5] [--json]

Generates small JPEGs, prepares a tenth of them, then all, and then all again with SIGKILL at random
moments. Prints the images/s of both sizes; the peak memory of all processes together (their
proportional set sizes, PSS), also in the first and the last quarter of the run; and whether the
folder of the killed runs is equal byte for byte.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]


def make_images(folder: Path, count: int) -> None:
    """Writes 160 x 120 JPEGs in ten classes."""
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(noise).resize((2048, 2048), Image.Resampling.BICUBIC))
    rng = np.random.default_rng(1)
    for index in range(count):
        top, left = rng.integers(0, 2048 - 160, 2)
        path = folder / "train" / f"class{index % 10}" / f"{index:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth[top : top + 120, left : left + 160]).save(path, quality=85)


def start(source: Path, out: Path, size: int) -> subprocess.Popen[bytes]:
    """Starts `prepare` in a process of its own."""
    words = [sys.executable, "cli.py", "prepare", str(source), "--out", str(out), "--json"]
    return subprocess.Popen([*words, "--size", str(size)], cwd=ROOT, stdout=subprocess.DEVNULL)


def memory(process: int) -> int:
    """Returns the proportional set size, in bytes, of a process and its descendants."""
    total = 0
    for number in [process, *children(process)]:
        try:
            for line in Path(f"/proc/{number}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except (FileNotFoundError, ProcessLookupError):
            continue  # the process has ended
    return total


def children(process: int) -> list[int]:
    """Returns the ids of a process's descendants."""
    try:
        found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [n for child in map(int, found) for n in (child, *children(child))]


def run(source: Path, out: Path, size: int) -> tuple[float, list[int]]:
    """Runs `prepare`; returns the seconds, and the memory in bytes every half second."""
    started = time.perf_counter()
    process = start(source, out, size)
    used = []
    while process.poll() is None:
        used.append(memory(process.pid))
        time.sleep(0.5)
    assert process.returncode == 0
    return time.perf_counter() - started, used


def run_killed(source: Path, out: Path, size: int, seconds: float, kills: int) -> int:
    """Runs `prepare`, killed at random moments, to its end; returns the number of kills."""
    rng = random.Random(0)
    killed = 0
    for _ in range(kills):
        process = start(source, out, size)
        try:
            process.wait(timeout=rng.uniform(0.05, 1.6 / (kills + 1)) * seconds)
            break
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
    assert start(source, out, size).wait() == 0
    return killed


def content(folder: Path) -> str:
    """Returns a checksum of a folder's file names and contents."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def measure(images: int, kills: int, size: int, work: Path) -> dict[str, Any]:
    """Runs all three and returns the results."""
    few, many = work / "few", work / "many"
    make_images(few, images // 10)
    make_images(many, images)
    seconds_few, _ = run(few, work / "few-prepared", size)
    seconds, used = run(many, work / "many-prepared", size)
    killed = run_killed(many, work / "again" / "many-prepared", size, seconds, kills)
    quarter = max(len(used) // 4, 1)
    return {
        "images": images,
        "images_per_second_of_a_tenth": round(images // 10 / seconds_few),
        "images_per_second": round(images / seconds),
        "peak_memory_megabytes": max(used) // 2**20,
        "peak_of_first_quarter_megabytes": max(used[:quarter]) // 2**20,
        "peak_of_last_quarter_megabytes": max(used[-quarter:]) // 2**20,
        "kills": killed,
        "same_bytes": content(work / "many-prepared") == content(work / "again" / "many-prepared"),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument(
        "--size", type=int, default=64, help="side of the prepared images, in pixels"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        report = measure(arguments.images, arguments.kills, arguments.size, Path(work))
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name.replace('_', ' '):<36} {value:>10,}")


if __name__ == "__main__":
    main()
