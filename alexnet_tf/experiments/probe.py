"""How fast an experiment's variants train here: what a budget is measured by."""

import gc
import tempfile
import time
from pathlib import Path

import keras

from alexnet_tf.evaluation.evaluate import evaluate
from alexnet_tf.experiments.definition import Experiment, Variant
from alexnet_tf.experiments.plan import Plan, Speed
from alexnet_tf.experiments.progress import Teller
from alexnet_tf.run_record import EpochRecord
from alexnet_tf.training.train import train

_BATCHES = 12


def measure_speeds(
    experiment: Experiment, plan: Plan, data_dir: str | None, judges: bool, teller: Teller
) -> dict[str, Speed]:
    """Trains each variant for a moment.

    Args:
      experiment: Whose variants.
      plan: With what.
      data_dir: TFDS folder, or None.
      judges: Whether trained models are judged by ten crops, too.
      teller: Says what is going on.

    Returns:
      By variant name.
    """
    speeds = {}
    for variant in experiment.trained():
        teller.message(f"measuring how fast {variant.name} trains")
        speeds[variant.name] = _speed(experiment, plan, variant, data_dir, judges)
    return speeds


def _speed(
    experiment: Experiment, plan: Plan, variant: Variant, data_dir: str | None, judges: bool
) -> Speed:
    """Trains a variant for a few batches, twice; the first time compiles."""
    ends: list[float] = []
    records: list[EpochRecord] = []

    def watch(record: EpochRecord) -> bool:
        ends.append(time.monotonic())
        records.append(record)
        return False

    recipe = experiment.recipe_of(variant, epochs=2)
    started = time.monotonic()
    judging = 0.0
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(
            plan.dataset,
            data_dir=data_dir,
            recipe=recipe,
            precision=plan.precision,
            limit_train=_BATCHES * recipe.batch_size,
            limit_val=plan.limit_val,
            run_dir=run,
            quiet=True,
            on_epoch=watch,
        )
        if judges:
            begun = time.monotonic()
            evaluate(run, data_dir=data_dir, ten_crop=True)
            judging = time.monotonic() - begun
    clear()
    last = records[-1]
    epoch_seconds = ends[1] - ends[0]
    return Speed(
        startup_seconds=max(0.0, ends[0] - started - epoch_seconds) + judging,
        epoch_seconds=max(0.0, epoch_seconds - last.seconds),
        images_per_second=last.images_per_second,
    )


def clear() -> None:
    """Frees the graph and the weights of the run before."""
    keras.backend.clear_session()
    gc.collect()
