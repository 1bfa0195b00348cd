"""Does a network start to learn? Measures the first updates of recipes from several first weights.

    python benchmarks/starts.py --case shapes:shapes --case photos:FOLDER --seeds 5 --steps 300

Every run is one line in --results, so a measurement that was stopped goes on where it was; the
table at the end is made of all lines there, and `--table` prints it without measuring anything.
A run is stuck if the loss of its last updates is not 2% below that of guessing, which knows only
how frequent the classes are.
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

STARTED_SHARE, STUCK_SHARE = 0.95, 0.98  # of the loss of guessing
WINDOW = 10  # updates that a loss is averaged over
HEADER = (
    "| recipe | data | init | precision | batch | updates | seeds | first loss | highest "
    "| last loss | 5% below guessing after | stuck |\n" + "|---" * 12 + "|"
)


@dataclasses.dataclass(frozen=True)
class Start:
    """One run of a few hundred updates.

    Attributes:
      recipe: Its name.
      dataset: As `train` takes it; of a folder only the name, so that tables move.
      init: What the weights start from.
      seed: Of weights, order, augmentation and dropout.
      batch_size: Images in an update.
      steps: Updates asked for; a loss that is no number ends a run before.
      precision: "float32" or "bfloat16".
      guessing: Loss in nats of one who knows only how frequent the classes are.
      losses: Mean cross-entropy of each update's batch, in nats.
    """

    recipe: str
    dataset: str
    init: str
    seed: int
    batch_size: int
    steps: int
    precision: str
    guessing: float
    losses: list[float]

    @property
    def last_loss(self) -> float:
        """Mean of the last updates' losses."""
        return float(np.mean(self.losses[-WINDOW:]))

    @property
    def stuck(self) -> bool:
        """Whether the network does no better than guessing; also if the loss is no number."""
        return not self.last_loss < STUCK_SHARE * self.guessing

    @property
    def started_after(self) -> float:
        """Updates until the average of ten is 5% below guessing; infinite if it never was."""
        averages = np.convolve(self.losses, np.full(WINDOW, 1 / WINDOW), "valid")
        below = np.flatnonzero(averages < STARTED_SHARE * self.guessing)
        return float(below[0] + WINDOW) if len(below) else math.inf


def read(path: Path) -> list[Start]:
    """Returns the runs in a file of results, none if there is no file."""
    if not path.exists():
        return []
    return [Start(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def table(starts: list[Start]) -> str:
    """Returns the results as Markdown, one line per recipe, data, init and batch size."""
    group = operator.attrgetter("recipe", "dataset", "init", "precision", "batch_size", "steps")
    lines = [HEADER]
    for key, members in itertools.groupby(sorted(starts, key=group), key=group):
        runs = list(members)
        recipe, dataset, init, precision, batch_size, steps = key
        after = [run.started_after for run in runs]
        median, latest = statistics.median(after), max(after)
        when = "never" if median == math.inf else f"{median:.0f}"
        if len(runs) > 1 and when != "never":
            when += f" (at most {latest:.0f})" if latest < math.inf else " (one or more never)"
        lines.append(
            f"| {recipe} | {dataset} | {init} | {precision} | {batch_size} | {steps} | {len(runs)} "
            f"| {statistics.mean(run.losses[0] for run in runs):.3f} "
            f"| {max(max(run.losses) for run in runs):.2f} "
            f"| {statistics.mean(run.last_loss for run in runs):.3f} "
            f"(guessing {runs[0].guessing:.3f}) | {when} "
            f"| {sum(run.stuck for run in runs)} of {len(runs)} |"
        )
    return "\n".join(lines)


class Case:
    """A recipe on a data set, made ready once for all its runs.

    Args:
      recipe_name: Its name.
      dataset: As `train` takes it.
      data_dir: TFDS folder, or None for TFDS's own.
      batch_size: Instead of the recipe's, or None.
      images: At most so many training images.
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
        self.statistics = fit_statistics(train, recipe.resize_pixels)
        self.examples = self.statistics.usable(train)
        self.class_names = data.class_names
        self.guessing = chance_level_loss(self.examples.labels)

    def losses(self, init: str, seed: int, steps: int, machine: Any) -> list[float]:
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
            dtype=machine.dtype_policy,
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
            machine.strategy,
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
@click.option("--batch-size", type=click.IntRange(min=1), help="Instead of the recipe's.")
@click.option("--images", default=2000, show_default=True, help="Training images at most.")
@click.option("--data-dir", help="TFDS folder.")
@click.option("--precision", default="auto", show_default=True)
@click.option("--results", default="saved_models/starts.jsonl", show_default=True)
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
    """Measures what is not in the results yet, and prints the table of all that is."""
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
      InputError: The case names no recipe, or data that cannot be used.
    """
    recipe_name, _, dataset = name.partition(":")
    recipe = get_recipe(recipe_name)
    shown = Path(dataset).name if Path(dataset).is_dir() else dataset
    batch_size = options["batch_size"] or recipe.batch_size
    import keras

    from alexnet_tf.training.devices import configure_devices

    machine = configure_devices("single", None, precision)
    done = {
        (r.recipe, r.dataset, r.init, r.seed, r.precision, r.batch_size, r.steps)
        for r in read(path)
    }
    wanted = [
        (init, seed)
        for seed, init in itertools.product(range(seeds), inits)
        if (recipe_name, shown, init, seed, machine.precision, batch_size, steps) not in done
    ]
    if not wanted:
        return
    case = Case(recipe_name, dataset, **options)
    for init, seed in wanted:
        before = time.monotonic()
        losses = case.losses(init, seed, steps, machine)
        start = Start(
            recipe=recipe_name,
            dataset=shown,
            init=init,
            seed=seed,
            batch_size=batch_size,
            steps=steps,
            precision=machine.precision,
            guessing=round(case.guessing, 5),
            losses=[round(loss, 5) for loss in losses],
        )
        lines = (json.dumps(dataclasses.asdict(run)) + "\n" for run in [*read(path), start])
        write_text(path, "".join(lines))
        what = f"{recipe_name} on {shown}, {init}, {machine.precision}, seed {seed}"
        how = f"{losses[0]:.3f} -> {start.last_loss:.3f} (guessing {case.guessing:.3f})"
        print(f"{what}: {how} in {time.monotonic() - before:.0f} s", file=sys.stderr)
        keras.backend.clear_session()
        gc.collect()


if __name__ == "__main__":
    main()
