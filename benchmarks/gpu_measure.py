"""The measurements of gpu.py, each made in a process of its own."""

import argparse
import functools
import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow.tsl.profiler.protobuf import xplane_pb2

import alexnet_tf as an
from alexnet_tf.data.examples import ArrayExamples, Examples
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.prepare.prepare import prepare
from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import Recipe
from alexnet_tf.system import peak_memory_bytes
from alexnet_tf.training.devices import DeviceConfiguration, configure_devices
from alexnet_tf.training.input import TrainingInput
from alexnet_tf.training.optimizers import make_optimizer
from alexnet_tf.training.towers import make_step

TIMED_SECONDS = 0.6  # of each measurement, after a warm-up
BATCH_SIZES = (128, 256, 1024)
CPU_BATCH_SIZE = 8  # of the smallest case, without a GPU
COMPARED_UPDATES = 8
PROFILED_OPERATIONS = 8
LOGICAL_MEBIBYTES = 12_000  # of each of two logical GPUs
Batches = Callable[[Examples, int, int], Iterator[Any]]


class Training:
    """A network on a device configuration, ready to train.

    Args:
      devices: The device configuration.
      options: The options of the command line.
    """

    def __init__(self, devices: DeviceConfiguration, options: argparse.Namespace) -> None:
        self.devices, self.recipe = devices, get_recipe(options.recipe)
        mean = 120.0 if self.recipe.network.mean == "image" else None
        with devices.strategy.scope():
            model = an.build_model(
                self.recipe, classes=1000, dtype=devices.dtype_policy, seed=0, mean=mean
            )
            optimizer = make_optimizer(self.recipe)
            optimizer.build(model.trainable_variables)
        self._step = make_step(devices, model, optimizer, self.recipe, 0)
        self._width = len(model.trainable_variables)

    def batches(self, examples: Examples, batch_size: int, updates: int) -> Iterator[Any]:
        """Returns batches of examples as `train` reads them, enough for the updates."""
        pixels = self.recipe.resize_pixels
        mean = np.full((pixels, pixels, examples.channels), 120.0, np.float32)
        statistics = Statistics(mean, np.array([20.0, 37.0, 122.0]), np.eye(3))
        repeated = examples.subset(np.resize(np.arange(len(examples)), updates * batch_size))
        recipe = self.recipe.replace(batch_size=batch_size)
        return TrainingInput(self.devices, repeated, recipe, statistics, seed=0).epoch(0, True)

    def same_batch(self, examples: Examples, batch_size: int, updates: int) -> Iterator[Any]:
        """Returns an iterator that repeats one batch: input that takes no time."""
        batch = next(self.batches(examples, batch_size, 1))
        dataset = tf.data.Dataset.from_tensors(batch).repeat()
        if self.devices.on_gpus:
            to_gpu = tf.data.experimental.prefetch_to_device(self.devices.devices[0], 2)
            dataset = dataset.apply(to_gpu)
        return iter(dataset)

    def update(self, batches: Iterator[Any], updates: int) -> Any:
        """Makes updates in one call and returns the step's sums."""
        return self._step(batches, updates, np.full((updates, self._width), 1e-3, np.float32))

    def speed(self, batches: Callable[[int], Iterator[Any]], batch_size: int) -> float:
        """Returns images/s: the time of many updates in one call, after a warm-up."""
        self.update(batches(2), 2)
        seconds = timed(lambda: self.update(batches(2), 2)) / 2
        updates = min(400, max(2, math.ceil(TIMED_SECONDS / seconds)))
        started_input = batches(updates + 2)
        self.update(started_input, 2)
        return batch_size * updates / timed(lambda: self.update(started_input, updates))


def timed(run: Callable[[], object]) -> float:
    """Returns the seconds of a call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def in_memory(recipe: Recipe, count: int) -> ArrayExamples:
    """Returns examples of noise."""
    rng, channels = np.random.default_rng(0), recipe.network.channels
    shape = (count, recipe.resize_pixels, recipe.resize_pixels, channels)
    return ArrayExamples(rng.integers(0, 256, shape, np.uint8), np.arange(count) % 1000)


def write_prepared(folder: Path, recipe: Recipe, count: int) -> Path:
    """Writes images of noise, prepares them as raw pixels, and returns the prepared set."""
    for index, image in enumerate(in_memory(recipe, count).images):
        path = folder / "photos" / "train" / f"class{index % 10}" / f"{index}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return prepare(
        str(folder / "photos"), folder / "prepared", size=recipe.resize_pixels, kind="raw"
    ).folder


def measure_training(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measures one precision on one device: speeds, waiting, memory, profile."""
    precision = {"tf32": "float32", "xla": "bfloat16", "smallest": "float32"}.get(case, case)
    kernels = "xla" if case == "xla" else "auto"
    devices = configure_devices("single", None, precision, kernels=kernels)
    if case == "tf32":
        tf.config.experimental.enable_tensor_float_32_execution(True)
    training = Training(devices, options)
    sources = {"memory": in_memory(training.recipe, options.images)}
    if options.prepared:
        sources["prepared"] = open_dataset(options.prepared).splits["train"]
    rows = []
    for size in (CPU_BATCH_SIZE,) if case == "smallest" else BATCH_SIZES:
        if devices.on_gpus:
            tf.config.experimental.reset_memory_stats("GPU:0")

        def speed(batches: Batches, examples: Examples, size: int = size) -> float:
            return training.speed(functools.partial(batches, examples, size), size)

        row = {"batch_size": size, "repeated": speed(training.same_batch, sources["memory"])}
        for name, examples in sources.items():
            row[name] = speed(training.batches, examples)
            row[f"{name}_waiting"] = max(0.0, 1 - row[name] / row["repeated"])
        rows.append({**row, "peak_memory_bytes": peak_memory(devices)})
    profile = profiled(lambda: training.update(training.same_batch(sources["memory"], size, 2), 2))
    return {"training": rows, "profile": profile}


def peak_memory(devices: DeviceConfiguration) -> int | None:
    """Returns the peak memory of the first GPU; without one, of this process."""
    if not devices.on_gpus:
        return peak_memory_bytes()
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def profiled(run: Callable[[], object]) -> dict[str, float]:
    """Returns the milliseconds of the operations that take longest, by TensorFlow's profiler."""
    times: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            run()
        for path in Path(folder).rglob("*.xplane.pb"):
            planes = xplane_pb2.XSpace.FromString(path.read_bytes()).planes
            on_gpu = [plane for plane in planes if plane.name.startswith("/device:GPU")]
            for plane in on_gpu or [plane for plane in planes if plane.name == "/host:CPU"]:
                for event in (event for line in plane.lines for event in line.events):
                    times[plane.event_metadata[event.metadata_id].name] += event.duration_ps / 1e9
    return dict(times.most_common(PROFILED_OPERATIONS))


def measure_division(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measures one and two devices in float32: images/s, and how far apart their losses are."""
    if case == "two logical GPUs":
        gpu = tf.config.list_physical_devices("GPU")[0]
        tf.config.set_visible_devices([gpu], "GPU")
        half = tf.config.LogicalDeviceConfiguration(memory_limit=LOGICAL_MEBIBYTES)
        tf.config.set_logical_device_configuration(gpu, [half, half])
    else:
        configure_devices(devices="0,1", precision="float32")
    tf.config.experimental.enable_tensor_float_32_execution(False)
    both, default = ("/GPU:0", "/GPU:1"), tf.distribute.get_strategy
    strategies = {
        "single": default,
        "mirrored": lambda: tf.distribute.MirroredStrategy(both),
        "towers": default,
    }
    found: dict[str, Any] = {}
    size = BATCH_SIZES[0]
    for name, strategy in strategies.items():
        devices = DeviceConfiguration(
            strategy(), name, both, "float32", on_gpus=True, kernels="native"
        )
        training = Training(devices, options)
        examples = in_memory(training.recipe, options.images)
        batches = training.batches(examples, size, COMPARED_UPDATES)
        sums = [training.update(batches, 1) for _ in range(COMPARED_UPDATES)]
        losses = np.array([each[0] / each[3] for each in sums])
        first = found.setdefault("losses", losses.tolist())
        found[name] = {
            "images_per_second": training.speed(
                functools.partial(training.batches, examples, size), size
            ),
            "loss_difference": float(np.max(np.abs(losses / first - 1))),
        }
    return {"division": found}


def measure_inference(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measures the latency of one image and the throughput of batches."""
    configure_devices("single", None, "float32")
    model = an.build_model(get_recipe(options.recipe), classes=1000)
    rows = []
    for precision in ("float32", "bfloat16", "float16"):
        infer = an.inference_function(model, precision)
        for size in (1, *BATCH_SIZES):
            images = np.zeros((size, *model.input_shape[1:]), np.uint8)

            def run(images: np.ndarray = images, infer: Any = infer) -> Any:
                return infer(images).numpy()

            run()
            seconds = [timed(run) for _ in range(50 if size == 1 else 10)]
            rows.append(
                {
                    "precision": precision,
                    "batch_size": size,
                    "median_ms": 1e3 * float(np.median(seconds)),
                    "slowest_ms": 1e3 * max(seconds),
                    "images_per_second": size / float(np.median(seconds)),
                }
            )
    return {"inference": rows}


def measure(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measures one case in this process."""
    if case.startswith("two"):
        return measure_division(case, options)
    return (measure_inference if case == "inference" else measure_training)(case, options)
