"""Images per second of the input pipeline, compared with PyTorch's DataLoader and Pillow.

    python benchmarks/input.py [--json] [--photos FOLDER] [--images N] [--rounds N]

Needs PyTorch (`pip install torch`); torchvision is not needed. Both pipelines turn the same photos
into the same batches: 128 random 224 x 224 crops of the image rescaled to 256, flipped at random,
uint8, with a color offset for each image, by as many workers as there are cores. In each round the
contenders take turns, so that other work on the machine slows all of them; the medians count. An
epoch uses each photo several times, so that batches read before the timer starts are a small part.

  raw_jpeg       photos as they are (about 500 x 375): ours over PyTorch's
  prepared_jpeg  photos that `prepare` rescaled once: ours over PyTorch's with the raw photos
  prepared_raw   pixels that `prepare` wrote: ours over PyTorch's with the raw photos

For comparison: PyTorch on the prepared JPEGs, a plain copy of the same crops from mapped memory
(without flips, which training leaves to the accelerator), and pixels with flips.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

RESIZED, PIXELS, BATCH = 256, 224, 128
LIGHTING_STD = 0.1


def make_photos(folder: Path, count: int) -> None:
    """Writes photo-like JPEGs: noise with a photo's spectrum, 500 x 375, about 100 kB each."""
    for index in range(count):
        rng = np.random.default_rng(index)
        frequency = np.hypot(np.fft.fftfreq(375)[:, None], np.fft.rfftfreq(500)[None])
        spectrum = 1 / np.maximum(frequency, 1 / 500)
        noise = [np.fft.irfft2(np.fft.rfft2(rng.normal(size=(375, 500))) * spectrum) for _ in "gab"]
        gray, first, second = (plane / plane.std() for plane in noise)
        image = np.stack([gray + 0.3 * first, gray, gray + 0.3 * second], axis=-1)
        path = folder / "train" / f"class{index % 10}" / f"{index:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(128 + 50 * image, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=92)


class TorchPhotos:
    """A map-style data set for PyTorch: decodes, rescales, crops and flips with Pillow."""

    def __init__(self, files: list[str]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        import torch

        draws = torch.rand(3)
        with Image.open(self.files[index]) as opened:
            image = opened.convert("RGB")
        shorter = min(image.size)
        if shorter != RESIZED:
            width, height = (round(side * RESIZED / shorter) for side in image.size)
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        left = (image.width - RESIZED) // 2 + int(draws[0] * (RESIZED - PIXELS + 1))
        top = (image.height - RESIZED) // 2 + int(draws[1] * (RESIZED - PIXELS + 1))
        image = image.crop((left, top, left + PIXELS, top + PIXELS))
        if draws[2] < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return torch.from_numpy(np.array(image)), 0, torch.randn(3) * LIGHTING_STD


class Torch:
    """PyTorch's DataLoader with workers that persist between epochs."""

    def __init__(self, files: list[str], workers: int) -> None:
        import torch

        self._loader = torch.utils.data.DataLoader(
            TorchPhotos(files),
            batch_size=BATCH,
            shuffle=True,
            num_workers=workers,
            drop_last=True,
            persistent_workers=True,
        )

    def __call__(self) -> float:
        """Reads an epoch and returns its images/s."""
        return rate(iter(self._loader))


class Ours:
    """The package's own input pipeline."""

    def __init__(self, folder: Path, times: int, flip_on_host: bool = True) -> None:
        from alexnet_tf.data.sources import open_dataset
        from alexnet_tf.recipes import get_recipe

        examples = open_dataset(folder).splits["train"]
        self._examples = examples.subset(np.tile(np.arange(len(examples)), times))
        self._recipe = get_recipe("paper")
        self._flip_on_host = flip_on_host
        self._epoch = 0

    def __call__(self) -> float:
        """Reads an epoch and returns its images/s."""
        from alexnet_tf.data.pipeline import training_batches
        from alexnet_tf.data.statistics import Statistics

        mean_image, std = np.zeros((RESIZED, RESIZED, 3)), np.array([20.0, 37.0, 122.0])
        statistics = Statistics(mean_image, std, np.eye(3))
        self._epoch += 1
        batches = training_batches(
            self._examples,
            self._recipe,
            statistics,
            seed=0,
            epoch=self._epoch,
            batch_size=BATCH,
            flip_on_device=not self._flip_on_host,
        )
        return rate(iter(batches))


class PlainCopy:
    """Copies crops from a mapped file of pixels in random order."""

    def __init__(self, folder: Path, images: int, times: int) -> None:
        self._file = folder / "pixels.bin"
        with self._file.open("wb") as file:
            for index in range(images):
                rng = np.random.default_rng(index)
                file.write(rng.integers(0, 256, (RESIZED, RESIZED, 3), np.uint8).tobytes())
        self._images = np.memmap(self._file, np.uint8, "r", shape=(images, RESIZED, RESIZED, 3))
        self._times = times
        self._rng = np.random.default_rng(0)

    def __call__(self) -> float:
        """Copies every image's crop and returns the images/s."""
        order = self._rng.permutation(np.tile(np.arange(len(self._images)), self._times))
        offsets = self._rng.integers(0, RESIZED - PIXELS + 1, (len(order), 2)).tolist()

        def batches() -> Any:
            for begin in range(0, len(order) - BATCH + 1, BATCH):
                crops = np.empty((BATCH, PIXELS, PIXELS, 3), np.uint8)
                for row in range(BATCH):
                    top, left = offsets[begin + row]
                    image = self._images[order[begin + row]]
                    crops[row] = image[top : top + PIXELS, left : left + PIXELS]
                yield crops

        return rate(batches())


def rate(batches: Any) -> float:
    """Returns images/s from the first batch to the last; the start of an epoch is not timed."""
    next(batches)
    started = time.perf_counter()
    count = sum(1 for _ in batches)
    return count * BATCH / (time.perf_counter() - started)


def prepared(source: Path, out: Path, kind: str, workers: int) -> Path:
    """Runs `prepare` on the photos and returns the data set's folder."""
    from alexnet_tf.prepare.prepare import prepare

    return prepare(str(source), out, kind=kind, processes=workers).folder


def measure(photos: Path, rounds: int, workers: int, work: Path) -> dict[str, Any]:
    """Measures all contenders in turns and returns the results."""
    training = photos / "train" if (photos / "train").is_dir() else photos  # as our pipeline does
    files = sorted(str(path) for path in training.rglob("*.jp*g"))
    jpeg = prepared(photos, work / "jpeg", "jpeg", workers)
    raw = prepared(photos, work / "raw", "raw", workers)
    small = work / "small"
    small.mkdir()
    for index, file in enumerate(files):
        with Image.open(file) as opened:
            image = opened.convert("RGB").resize((RESIZED, RESIZED), Image.Resampling.BILINEAR)
            image.save(small / f"{index}.jpg", quality=90)
    small_files = sorted(map(str, small.iterdir()))
    contenders: dict[str, Callable[[], float]] = {
        "torch_raw_jpeg": Torch(files * 2, workers),
        "raw_jpeg": Ours(photos, 2),
        "torch_prepared_jpeg": Torch(small_files * 4, workers),
        "prepared_jpeg": Ours(jpeg, 4),
        "plain_copy": PlainCopy(work, len(files), 16),
        "prepared_raw": Ours(raw, 16, flip_on_host=False),
        "prepared_raw_flipped": Ours(raw, 16),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for measure_rate in contenders.values():  # warm up: compile, start workers, fill the caches
        measure_rate()
    for _ in range(rounds):
        for name, measure_rate in contenders.items():
            rates[name].append(measure_rate())
    median = {name: float(np.median(values)) for name, values in rates.items()}
    theirs = median["torch_raw_jpeg"]
    return {
        "images": len(files),
        "workers": workers,
        "rounds": rounds,
        "images_per_second": {name: round(value) for name, value in median.items()},
        "ratios": {
            name: round(median[name] / theirs, 2)
            for name in ("raw_jpeg", "prepared_jpeg", "prepared_raw")
        },
        "prepared_jpeg_over_torch_prepared_jpeg": round(
            median["prepared_jpeg"] / median["torch_prepared_jpeg"], 2
        ),
        "prepared_raw_over_plain_copy": round(median["prepared_raw"] / median["plain_copy"], 2),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--photos", type=Path, help="folder of class folders (default: generated)")
    parser.add_argument("--images", type=int, default=2048, help="number of photos to generate")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    workers = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(sys.stderr):
        from alexnet_tf.system import import_tensorflow

        import_tensorflow()
        photos = arguments.photos
        if photos is None:
            photos = Path(name) / "photos"
            make_photos(photos, arguments.images)
        report = measure(photos, arguments.rounds, workers, Path(name))
    if arguments.json:
        print(json.dumps(report))
        return
    for what, value in report["images_per_second"].items():
        print(f"{what:<24} {value:>8,} images/s")
    for what, ratio in report["ratios"].items():
        print(f"{what} over PyTorch's raw_jpeg: {ratio}")
    print(f"prepared_raw over a plain copy: {report['prepared_raw_over_plain_copy']}")


if __name__ == "__main__":
    main()
