"""Does the loss leave chance level? Measures the first updates from several initializations.

    python benchmarks/first_updates.py --case shapes:shapes --case photos:FOLDER --steps 300

Every run is one line in --results, so a stopped measurement resumes. The table at the end has all
lines of that file; `--table` prints it without measuring anything. A run has plateaued at chance
level if the mean loss of its last updates is not 2% below the chance-level loss, the cross-entropy
of always predicting the class frequencies.
"""

import dataclasses
import gc
import itertools
import json
import math
import operator
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from alexnet_tf.errors import InputError
from alexnet_tf.files import write_text
from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import INITS

LEARNING_FRACTION, PLATEAU_FRACTION = 0.95, 0.98  # of the chance-level loss
WINDOW = 10  # updates over which losses are averaged
HEADER = (
    "| recipe | data | init | precision | batch | updates | seeds | first loss | highest "
    "| last loss | 5% below chance level after | plateaued |\n" + "|---" * 12 + "|"
)


@dataclasses.dataclass(frozen=True)
class Run:
    """The first updates of a training.

    Attributes:
      recipe: Name of the recipe.
      dataset: The data set's name, or a folder's name without its path.
      init: Name of the initialization.
      seed: Seed of weights, order, augmentation and dropout.
      batch_size: Images per update.
      steps: Number of updates; a run ends before if the loss becomes NaN or infinite.
      precision: "float32" or "bfloat16".
      chance_level_loss: Cross-entropy, in nats, of always predicting the class frequencies.
      losses: Mean cross-entropy, in nats, of each update's batch.
    """

    recipe: str
    dataset: str
    init: str
    seed: int
    batch_size: int
    steps: int
    precision: str
    chance_level_loss: float
    losses: list[float]

    @property
    def last_loss(self) -> float:
        """Mean loss of the last updates."""
        return float(np.mean(self.losses[-WINDOW:]))

    @property
    def plateaued(self) -> bool:
        """Whether the last loss is at chance level, NaN or infinite."""
        return not self.last_loss < PLATEAU_FRACTION * self.chance_level_loss

    @property
    def learning_after(self) -> float:
        """Updates until the mean loss of ten is 5% below chance level; infinite if it never is."""
        averages = np.convolve(self.losses, np.full(WINDOW, 1 / WINDOW), "valid")
        below = np.flatnonzero(averages < LEARNING_FRACTION * self.chance_level_loss)
        return float(below[0] + WINDOW) if len(below) else math.inf


def read(path: Path) -> list[Run]:
    """Returns the runs in a file of results; none if the file does not exist."""
    if not path.exists():
        return []
    return [Run(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def table(runs: list[Run]) -> str:
    """Returns a Markdown table with one row for runs that differ only in their seeds."""
    group = operator.attrgetter("recipe", "dataset", "init", "precision", "batch_size", "steps")
    lines = [HEADER]
    for key, members in itertools.groupby(sorted(runs, key=group), key=group):
        same = list(members)
        recipe, dataset, init, precision, batch_size, steps = key
        after = [run.learning_after for run in same]
        median, latest = statistics.median(after), max(after)
        when = "never" if median == math.inf else f"{median:.0f}"
        if len(same) > 1 and when != "never":
            when += f" (at most {latest:.0f})" if latest < math.inf else " (one or more never)"
        lines.append(
            f"| {recipe} | {dataset} | {init} | {precision} | {batch_size} | {steps} | {len(same)} "
            f"| {statistics.mean(run.losses[0] for run in same):.3f} "
            f"| {max(max(run.losses) for run in same):.2f} "
            f"| {statistics.mean(run.last_loss for run in same):.3f} "
            f"(chance {same[0].chance_level_loss:.3f}) | {when} "
            f"| {sum(run.plateaued for run in same)} of {len(same)} |"
        )
    return "\n".join(lines)


class Case:
    """A recipe and a data set, prepared once for all runs.

    Args:
      recipe_name: Name of the recipe.
      dataset: As `train` takes it.
      data_dir: TFDS's data folder, or None for its default.
      batch_size: Images per update, or None for the recipe's.
      images: Largest number of training images.
    """

    def __init__(
        self,
        recipe_name: str,
        dataset: str,
        *,
        data_dir: str | None,
        batch_size: int | None,
        images: int,
    ) -> None:
        from alexnet_tf.data.sources import open_dataset
        from alexnet_tf.data.splits import split_dataset
        from alexnet_tf.data.statistics import fit_statistics
        from alexnet_tf.training.validation import chance_level_loss

        recipe = get_recipe(recipe_name)
        self.recipe = recipe.replace(batch_size=batch_size) if batch_size else recipe
        data = open_dataset(dataset, data_dir=data_dir, channels=recipe.network.channels)
        train = split_dataset(data, hold_out=0.0, seed=0, limit_train=images).train
        self.statistics, scan = fit_statistics(train, recipe.resize_pixels)
        self.examples = scan.examples
        self.class_names = data.class_names
        self.chance_level_loss = chance_level_loss(self.examples.labels)

    def losses(self, init: str, seed: int, steps: int, devices: Any) -> list[float]:
        """Trains for a few updates and returns the loss of each."""
        from alexnet_tf.model.networks import build_model
        from alexnet_tf.training.optimizers import PaperMomentum
        from alexnet_tf.training.schedule import LearningRateSchedule
        from alexnet_tf.training.state import Totals
        from alexnet_tf.training.step import TrainingStep

        recipe = self.recipe
        model = build_model(
            recipe,
            class_names=self.class_names,
            dtype=devices.dtype_policy,
            init=init,
            seed=seed,
            mean=self.statistics.mean_image if recipe.network.mean == "image" else None,
        )
        optimizer = PaperMomentum(1.0, recipe.momentum, recipe.weight_decay)
        optimizer.build(model.trainable_variables)
        paths = [v.path for v in model.trainable_variables]
        optimizer.multipliers.assign(LearningRateSchedule(recipe, steps, paths).at(0).variables)
        step = TrainingStep(
            model,
            optimizer,
            devices.strategy,
            seed=seed,
            lighting_divisor=recipe.lighting_divisor,
        )
        losses: list[float] = []
        for batches, updates in self._epochs(seed, steps):
            for _ in range(updates):
                totals = Totals()
                totals.add(step(batches, 1))
                losses.append(totals.loss)
                if not math.isfinite(losses[-1]):
                    return losses
        return losses

    def _epochs(self, seed: int, steps: int) -> Iterator[tuple[Iterator[Any], int]]:
        """Yields each epoch's batches and how many of them to use."""
        from alexnet_tf.data.pipeline import steps_per_epoch, training_batches

        per_epoch = steps_per_epoch(len(self.examples), self.recipe.batch_size)
        for epoch in range(-(-steps // per_epoch)):
            batches = training_batches(
                self.examples,
                self.recipe,
                self.statistics,
                seed=seed,
                epoch=epoch,
                batch_size=self.recipe.batch_size,
            )
            yield iter(batches), min(per_epoch, steps - epoch * per_epoch)


@click.command(help=__doc__.split("\n", 1)[0])
@click.option("--case", "cases", multiple=True, metavar="RECIPE:DATA", help="May be repeated.")
@click.option("--init", "inits", multiple=True, type=click.Choice(INITS), help="May be repeated.")
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--steps", default=300, show_default=True, type=click.IntRange(min=WINDOW))
@click.option("--batch-size", type=click.IntRange(min=1), help="In place of the recipe's.")
@click.option("--images", default=2000, show_default=True, help="Training images at most.")
@click.option("--data-dir", help="TFDS folder.")
@click.option("--precision", default="auto", show_default=True)
@click.option("--results", default="saved_models/first_updates.jsonl", show_default=True)
@click.option("--table", "only_table", is_flag=True, help="Measure nothing, print the table.")
def main(
    cases: tuple[str, ...],
    inits: tuple[str, ...],
    seeds: int,
    steps: int,
    batch_size: int | None,
    images: int,
    data_dir: str | None,
    precision: str,
    results: str,
    only_table: bool,
) -> None:
    """Measures what is missing in the results, and prints the table of all."""
    path = Path(results)
    try:
        if not only_table:
            path.parent.mkdir(parents=True, exist_ok=True)
            for name in cases or ("shapes:shapes", "photos:shapes"):
                options = {"data_dir": data_dir, "batch_size": batch_size, "images": images}
                measure(name, inits or ("stable", "paper"), seeds, steps, precision, path, options)
    except InputError as error:
        raise click.UsageError(str(error)) from None
    print(table(read(path)))


def measure(
    name: str,
    inits: tuple[str, ...],
    seeds: int,
    steps: int,
    precision: str,
    path: Path,
    options: dict[str, Any],
) -> None:
    """Measures one case and adds a line per run to the results.

    Raises:
      InputError: The recipe is unknown, or the data cannot be used.
    """
    recipe_name, _, dataset = name.partition(":")
    recipe = get_recipe(recipe_name)
    shown = Path(dataset).name if Path(dataset).is_dir() else dataset
    batch_size = options["batch_size"] or recipe.batch_size
    import keras

    from alexnet_tf.training.devices import configure_devices

    devices = configure_devices("single", None, precision)
    done = {
        (r.recipe, r.dataset, r.init, r.seed, r.precision, r.batch_size, r.steps)
        for r in read(path)
    }
    missing = [
        (init, seed)
        for seed, init in itertools.product(range(seeds), inits)
        if (recipe_name, shown, init, seed, devices.precision, batch_size, steps) not in done
    ]
    if not missing:
        return
    case = Case(recipe_name, dataset, **options)
    for init, seed in missing:
        before = time.monotonic()
        losses = case.losses(init, seed, steps, devices)
        new = Run(
            recipe=recipe_name,
            dataset=shown,
            init=init,
            seed=seed,
            batch_size=batch_size,
            steps=steps,
            precision=devices.precision,
            chance_level_loss=round(case.chance_level_loss, 5),
            losses=[round(loss, 5) for loss in losses],
        )
        lines = (json.dumps(dataclasses.asdict(run)) + "\n" for run in [*read(path), new])
        write_text(path, "".join(lines))
        what = f"{recipe_name} on {shown}, {init}, {devices.precision}, seed {seed}"
        how = f"{losses[0]:.3f} -> {new.last_loss:.3f} (chance {case.chance_level_loss:.3f})"
        print(f"{what}: {how} in {time.monotonic() - before:.0f} s", file=sys.stderr)
        keras.backend.clear_session()
        gc.collect()


if __name__ == "__main__":
    main()
