"""Several devices and workers compared with one device: losses, and the cost of dividing a batch.

    python benchmarks/replicas.py --data-dir DIR            (real CIFAR-10; some minutes)
    python benchmarks/replicas.py --dataset shapes --updates 10 --json

Losses: the same updates in float32, with dropout and augmentation, on one device, two logical
devices, two workers (processes) and in two towers; the largest relative difference of any update's
loss to one device's. Sums in another order round differently, and training amplifies this: so one
device is measured again with its first kernel multiplied by 1 + 2e-7.

Costs: one and two logical devices take turns, as do the training loop and the compiled step alone.
The fastest of the rounds counts, since other work only adds time; use an otherwise idle machine.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scaling import two_processes_seconds

from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import Recipe
from alexnet_tf.system import import_tensorflow
from alexnet_tf.training.cluster import free_ports

import_tensorflow(start_devices=False)

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import alexnet_tf as an  # noqa: E402
from alexnet_tf.data.sources import open_dataset  # noqa: E402
from alexnet_tf.data.splits import split_dataset  # noqa: E402
from alexnet_tf.data.statistics import fit_statistics  # noqa: E402
from alexnet_tf.train_options import TrainOptions  # noqa: E402
from alexnet_tf.training.checkpoints import CheckpointEvery  # noqa: E402
from alexnet_tf.training.devices import DeviceConfiguration, configure_devices  # noqa: E402
from alexnet_tf.training.input import TrainingInput  # noqa: E402
from alexnet_tf.training.reporting import TrainingReporter  # noqa: E402
from alexnet_tf.training.run_folder import Saver  # noqa: E402
from alexnet_tf.training.run_settings import RunSettings  # noqa: E402
from alexnet_tf.training.schedule import LearningRateSchedule  # noqa: E402
from alexnet_tf.training.state import TrainState  # noqa: E402
from alexnet_tf.training.towers import make_step  # noqa: E402
from alexnet_tf.training.trainer import Trainer  # noqa: E402

SEED = 0
LIMITS = {"loss_difference": 0.02, "replicas": 0.05, "loop": 0.02}
PERTURBATION = 2e-7  # about one bit of float32
Job = Callable[[], object]


class Setup:
    """A network on a device configuration, ready to train.

    Args:
      devices: The device configuration.
      options: The options of the command line.
    """

    def __init__(self, devices: DeviceConfiguration, options: argparse.Namespace) -> None:
        recipe: Recipe = get_recipe(options.recipe).replace(batch_size=options.batch_size)
        data = open_dataset(options.dataset, data_dir=options.data_dir, channels=3)
        count = options.updates * options.batch_size
        splits = split_dataset(data, hold_out=0.1, seed=SEED, limit_train=count, limit_val=8)
        statistics, _ = fit_statistics(splits.train, recipe.resize_pixels)
        with devices.strategy.scope():
            self.model = an.build_model(
                recipe,
                classes=len(data.class_names),
                mean=statistics.mean_image if recipe.network.mean == "image" else None,
                seed=SEED,
            )
        self.devices = devices
        settings = RunSettings(TrainOptions(seed=SEED), recipe, epochs=1)
        examples = dataclasses.replace(splits, validation=None, selects_best=False)
        self.trainer = Trainer(
            self.model, settings, devices, examples, statistics, TrainingReporter(quiet=True)
        )
        self.optimizer = self.trainer.optimizer
        self.step = make_step(devices, self.model, self.optimizer, recipe, SEED)
        paths = [v.path for v in self.model.trainable_variables]
        self.learning_rates = LearningRateSchedule(recipe, options.updates, paths).at(0).variables
        self.input = TrainingInput(devices, splits.train, recipe, statistics, SEED)
        self.gradients = [tf.zeros(v.shape) for v in self.model.trainable_variables]

    def update(self, batches: Any, updates: int) -> Any:
        """Makes updates in one call and returns the step's sums."""
        return self.step(batches, updates, np.tile(self.learning_rates, (updates, 1)))

    def losses(self, updates: int) -> list[float]:
        """Makes the first updates and returns the loss of each."""
        batches = self.input.epoch(0, lighting=True)
        sums = [self.update(batches, 1) for _ in range(updates)]
        return [float(values[0] / values[3]) for values in sums]

    def steps(self, updates: int) -> Job:
        """Starts the input and returns a function that makes updates in one call."""
        batches = self.input.epoch(0, lighting=True)
        self.update(batches, 1)
        return lambda: self.update(batches, updates)

    def epoch(self, updates: int) -> None:
        """Makes an epoch's updates in one call."""
        self.update(self.input.epoch(0, lighting=True), updates)

    def loop(self) -> None:
        """Trains an epoch as `train` does, without writing files."""
        saver = Saver(None, None, CheckpointEvery())
        self.trainer.state = TrainState()
        self.trainer.train_epoch(saver, lambda: False)

    def apply(self) -> None:
        """Sums gradients over the replicas and updates the weights on each."""
        self._apply(self.gradients)

    @tf.function
    def _apply(self, gradients: list[tf.Tensor]) -> None:
        def update(gradients: list[tf.Tensor]) -> None:
            own = [tf.identity(gradient) for gradient in gradients]  # on this replica's device
            self.optimizer.apply(own, self.model.trainable_variables)

        self.devices.strategy.run(update, args=(gradients,))

    def reduce(self) -> None:
        """Sums gradients over the replicas."""
        self._reduce(self.gradients)

    @tf.function
    def _reduce(self, gradients: list[tf.Tensor]) -> Any:
        def sums(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            own = [tf.identity(gradient) for gradient in gradients]
            found = context.all_reduce(tf.distribute.ReduceOp.SUM, own)
            return [tf.reshape(value, [-1])[:1] for value in found]

        return self.devices.strategy.run(sums, args=(gradients,))


def in_turns(jobs: dict[str, Callable[[], Job]], rounds: int) -> dict[str, float]:
    """Returns the fewest seconds of each job over the rounds, after a warm-up round.

    Args:
      jobs: Functions that prepare a job and return it, by name; only the job is timed.
      rounds: Number of rounds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, prepare in jobs.items():
            job = prepare()
            started = time.perf_counter()
            job()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return {name: min(values) for name, values in seconds.items()}


def measure(one: Setup, two: Setup, options: argparse.Namespace) -> dict[str, float]:
    """Returns the costs of two replicas and of the loop, in seconds and as fractions."""
    updates = options.updates_a_round
    seconds = in_turns(
        {
            "one": lambda: one.steps(updates),
            "two": lambda: two.steps(updates),
            "update_of_one": lambda: one.apply,
            "update_of_two": lambda: two.apply,
            "sum": lambda: two.reduce,
        },
        options.rounds,
    )
    seconds = {name: s / (updates if name in ("one", "two") else 1) for name, s in seconds.items()}
    epochs = {"bare": lambda: lambda: one.epoch(options.updates), "loop": lambda: one.loop}
    both = in_turns(epochs, options.rounds)
    work = seconds["two"] - seconds["update_of_two"], seconds["one"] - seconds["update_of_one"]
    return {
        **{f"{name}_seconds": value for name, value in seconds.items()},
        "second_update_seconds": max(
            0.0, seconds["update_of_two"] - seconds["update_of_one"] - seconds["sum"]
        ),
        "replicas_overhead": work[0] / work[1] - 1,
        "bare_seconds": both["bare"] / options.updates,
        "loop_seconds": both["loop"] / options.updates,
        "loop_overhead": both["loop"] / both["bare"] - 1,
    }


def serve_worker(options: argparse.Namespace) -> None:
    """Trains as one of two workers, according to TF_CONFIG; the chief prints the results."""
    devices = configure_devices("multiworker", "cpu:1", "float32")
    setup = Setup(devices, options)
    losses = setup.losses(options.updates)
    updates = options.updates_a_round
    jobs: dict[str, Callable[[], Job]] = {
        "step": lambda: setup.steps(updates),
        "update": lambda: setup.apply,
        "sum": lambda: setup.reduce,
    }
    seconds = in_turns(jobs, options.rounds)
    seconds["step"] /= updates
    if devices.worker == 0:
        print(json.dumps({"losses": losses, "seconds": seconds}))


def two_workers() -> dict[str, Any]:
    """Runs this script with the same options as two processes that train together."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                [sys.executable, str(Path(__file__)), "--worker", *sys.argv[1:]],
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    found = processes[0].communicate()[0]
    if processes[1].wait() or processes[0].returncode:
        sys.exit("a worker failed")
    return dict(json.loads(found.splitlines()[-1]))


def largest_difference(losses: list[float], reference: list[float]) -> float:
    """Returns the largest relative difference of two lists of losses."""
    return max(abs(a - b) / abs(b) for a, b in zip(losses, reference, strict=True))


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--data-dir")
    parser.add_argument("--recipe", default="shapes", help="recipe of a network in two groups")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--updates-a-round", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.updates_a_round >= options.updates:
        parser.error("--updates-a-round must be less than --updates")
    if options.worker:
        serve_worker(options)
        return
    mirrored = configure_devices("mirrored", "cpu:2", "float32")
    one = Setup(configure_devices("single", "cpu:2", "float32"), options)
    two = Setup(mirrored, options)
    towers = Setup(
        configure_devices(devices="cpu:2", precision="float32", parallelism="towers"), options
    )
    losses = {"one device": one.losses(options.updates)}
    perturbed = Setup(one.devices, options)
    kernel = perturbed.model.trainable_variables[0]
    kernel.assign(kernel * (1 + PERTURBATION))
    losses["one device, perturbed"] = perturbed.losses(options.updates)
    losses["two logical devices"] = two.losses(options.updates)
    losses["towers"] = towers.losses(options.updates)
    costs = measure(one, two, options)
    workers = two_workers()
    losses["two workers"] = workers["losses"]
    predicted = two_processes_seconds(
        costs["one_seconds"], workers["seconds"]["sum"], costs["update_of_one_seconds"]
    )
    result = {
        "dataset": options.dataset,
        "recipe": options.recipe,
        "updates": options.updates,
        "losses": losses,
        "loss_differences": {
            name: largest_difference(curve, losses["one device"]) for name, curve in losses.items()
        },
        "costs": costs,
        "two_workers": {**workers["seconds"], "predicted_step": predicted},
        "limits": LIMITS,
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{options.updates} updates of {options.recipe} on {options.dataset}:")
    print(f"first loss {losses['one device'][0]:.4f}, last {losses['one device'][-1]:.4f}\n")
    for name, value in result["loss_differences"].items():
        print(f"{name:24} differs from one device by up to {value:.1e}")
    print()
    for name, value in costs.items():
        shown = f"{value:.1%}" if name.endswith("overhead") else f"{1000 * value:.2f} ms"
        print(f"{name.replace('_', ' '):24} {shown}")
    step = 1000 * workers["seconds"]["step"]
    print(f"\nstep of two workers: {step:.1f} ms; predicted {1000 * predicted:.1f} ms")


if __name__ == "__main__":
    main()
