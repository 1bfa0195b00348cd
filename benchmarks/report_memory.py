"""Peak memory of `report` on many images of a thousand classes, which should not grow.

Trains a small network on 1,000 classes of 256x256 images for one epoch, then writes its report for
validation sets of increasing size, each in a process of its own. The images are links to a few
files, to save disk space; every one is read, decoded and evaluated.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

from alexnet_tf.recipes import get_recipe

_CLASSES, _PIXELS, _FILES = 1000, 256, 16


def write_split(folder: Path, images: list[Path], per_class: int) -> None:
    """Fills a split with `per_class` links for each class."""
    for label in range(_CLASSES):
        class_folder = folder / f"class {label:04}"
        class_folder.mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            link = class_folder / f"{number:03}.jpg"
            if not link.exists():
                os.link(images[(label + number) % len(images)], link)


def peak_megabytes(command: list[str], environment: dict[str, str]) -> float:
    """Runs a command and returns its peak memory in MB."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    status, peak = Path(f"/proc/{process.pid}/status"), 0.0
    # Not the child's resource usage, which includes this process's memory at the fork.
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
        peak = float(found[1]) * 1024 / 1e6 if found else peak
        time.sleep(0.1)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed")
    return peak


@click.command()
@click.option("--images", default="2000,10000,50000", help="Sizes of the validation sets.")
@click.option("--out", help="Folder to copy the last report into.", type=click.Path())
def main(images: str, out: str | None) -> None:
    """Prints a JSON object for each size."""
    from alexnet_tf.training.train import train

    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "files").mkdir()
        random, files = np.random.default_rng(0), []
        for number in range(_FILES):
            files.append(home / "files" / f"{number}.jpg")
            coarse = random.integers(0, 256, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(coarse).resize((_PIXELS, _PIXELS)).save(files[-1], quality=90)
        write_split(home / "photos" / "train", files, 1)
        write_split(home / "photos" / "val", files, 1)
        environment = {**os.environ, "XDG_CACHE_HOME": str(home / "cache")}
        os.environ["XDG_CACHE_HOME"] = environment["XDG_CACHE_HOME"]
        recipe = get_recipe("shapes").replace(resize_pixels=_PIXELS, epochs=1, hold_out=0.0)
        run = home / "run"
        train(str(home / "photos"), recipe=recipe, run_dir=run, quiet=True)
        for count in map(int, images.split(",")):
            write_split(home / "photos" / "val", files, count // _CLASSES)
            command = [sys.executable, "-m", "alexnet_tf", "report", "--run", str(run)]
            megabytes = peak_megabytes([*command, "--no-ten-crop"], environment)
            print(json.dumps({"images": count, "peak_megabytes": round(megabytes)}), flush=True)
        if out is not None:
            shutil.copytree(run / "pictures", Path(out) / "pictures", dirs_exist_ok=True)
            shutil.copy(run / "report.html", out)


if __name__ == "__main__":
    main()
