"""Validation by all workers together, and the check that a run learns at all."""

import keras
import numpy as np

from alexnet_tf.data.examples import Examples
from alexnet_tf.evaluation.evaluate import Progress, evaluate_examples
from alexnet_tf.evaluation.metrics import Errors
from alexnet_tf.run_record import EpochRecord
from alexnet_tf.settings import Recipe
from alexnet_tf.training.devices import DeviceConfiguration

_PLATEAU_FRACTION = 0.99  # of the chance-level loss
_PLATEAU_STEPS = 300


def validate(
    model: keras.Model,
    examples: Examples,
    devices: DeviceConfiguration,
    on_progress: Progress | None = None,
) -> Errors:
    """Evaluates the model on center crops, each worker on a part of the examples.

    Every worker must call it, and gets the same result. `on_progress` is called after each batch
    with the examples done and this worker's number of them.
    """
    if devices.workers == 1:
        return evaluate_examples(model, examples, on_progress=on_progress).center_crop
    part = np.arange(devices.worker, len(examples), devices.workers)
    errors = Errors(0, 0, 0, 0.0)
    if len(part):
        own = examples.subset(part)
        errors = evaluate_examples(model, own, on_progress=on_progress).center_crop
    count, top1, top5, loss = devices.sum_over_workers(
        [errors.examples, errors.top1_errors, errors.top5_errors, errors.loss * errors.examples]
    )
    return Errors(int(count), int(top1), int(top5), loss / count)


def chance_level_loss(labels: np.ndarray, balanced: bool = False) -> float:
    """Returns the cross-entropy, in nats, of always predicting the class frequencies.

    Args:
      labels: int64 [n], the labels of the training set.
      balanced: Whether the loss weights all classes equally, as if they were equally frequent.
    """
    frequencies = np.unique(labels, return_counts=True)[1] / len(labels)
    if balanced:
        return float(np.log(len(frequencies)))
    return float(-(frequencies * np.log(frequencies)).sum())


def stall_message(record: EpochRecord, chance_level: float, recipe: Recipe) -> str | None:
    """Returns the warning for a loss that plateaued at chance level, in nats, or None."""
    if record.step < _PLATEAU_STEPS or record.training_loss < _PLATEAU_FRACTION * chance_level:
        return None
    init = "" if recipe.init == "stable" else "--init stable, or "
    return (
        f"stalled: after {record.step} updates the loss, {record.training_loss:.3f}, is still at "
        f"chance level ({chance_level:.3f}). Try {init}a lower --learning-rate"
    )
