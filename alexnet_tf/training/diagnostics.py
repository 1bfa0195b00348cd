"""Diagnosis of a run that does not learn: loss at chance level, NaN or infinite values."""

from pathlib import Path

import numpy as np

from alexnet_tf.errors import DivergedError
from alexnet_tf.run_record import EpochRecord
from alexnet_tf.settings import Recipe

_PLATEAU_FRACTION = 0.99  # of the chance-level loss
_PLATEAU_STEPS = 300


def chance_level_loss(labels: np.ndarray, balanced: bool = False) -> float:
    """Returns the cross-entropy, in nats, of always predicting the class frequencies.

    Args:
      labels: int64 [n], the labels of the training set.
      balanced: Whether the loss weights all classes equally: predicting them as equally frequent
        then gives ln(classes).
    """
    frequencies = np.unique(labels, return_counts=True)[1] / len(labels)
    if balanced:
        return float(np.log(len(frequencies)))
    return float(-(frequencies * np.log(frequencies)).sum())


def stall_message(record: EpochRecord, chance_level: float, recipe: Recipe) -> str | None:
    """Returns the warning for a loss that plateaued at chance level, or None.

    Args:
      record: The epoch's record.
      chance_level: The chance-level loss in nats.
      recipe: The run's recipe, for the advice.
    """
    if record.step < _PLATEAU_STEPS or record.training_loss < _PLATEAU_FRACTION * chance_level:
        return None
    advice = "a lower --learning-rate"
    if recipe.init != "stable":
        advice = f"--init stable, or {advice}"
    return (
        f"stalled: after {record.step} updates the loss, {record.training_loss:.3f}, is still at "
        f"chance level ({chance_level:.3f}). Try {advice}"
    )


def divergence(
    epoch: int, update: int, updates: int, recipe: Recipe, checkpoint: Path | None
) -> DivergedError:
    """Returns the error for a loss or a weight that became NaN, infinite or huge.

    Args:
      epoch: The epoch's number, from 1.
      update: The update's number in the epoch, from 1.
      updates: Updates in an epoch.
      recipe: The run's recipe.
      checkpoint: The last good checkpoint, or None.
    """
    kept = f"the last good checkpoint is {checkpoint}" if checkpoint else "no checkpoint was saved"
    return DivergedError(
        f"the loss or a weight became NaN, infinite or huge (epoch {epoch}, update {update} of "
        f"{updates}): try a --learning-rate below {recipe.learning_rate:g}, or --init stable; "
        f"{kept}"
    )
