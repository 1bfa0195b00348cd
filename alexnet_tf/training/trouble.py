"""What goes wrong with learning, called by its name: a stall, a loss that is no number."""

from typing import Any

import numpy as np

from alexnet_tf.errors import DivergedError
from alexnet_tf.settings import Recipe

_STALL_SHARE = 0.99  # of the loss of guessing
_STALL_STEPS = 300


def guessing_loss(labels: np.ndarray, balanced: bool = False) -> float:
    """Returns the plain loss in nats of one who knows what classes there are, and no more.

    Args:
      labels: int64 [n], the training set's.
      balanced: Whether all classes count alike in what is learnt: who guesses then takes them for
        equally frequent, which gives ln(classes). Else how frequent they are is known.
    """
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    if balanced:
        return float(np.log(len(shares)))
    return float(-(shares * np.log(shares)).sum())


def stall_message(record: dict[str, Any], guessing: float, recipe: Recipe) -> str | None:
    """Returns what to say of a network that does no better than guessing, None if it does.

    Args:
      record: Of the epoch.
      guessing: The loss of guessing.
      recipe: The run's, for the advice.
    """
    if record["step"] < _STALL_STEPS or record["training_loss"] < _STALL_SHARE * guessing:
        return None
    advice = "a lower --learning-rate"
    if recipe.init != "stable":
        advice = f"--init stable, or {advice}"
    return (
        f"stalled: after {record['step']} updates the loss is {record['training_loss']:.3f}, "
        f"that of guessing ({guessing:.3f}). Try {advice}"
    )


def divergence(epoch: int, update: int, updates: int, recipe: Recipe) -> DivergedError:
    """Returns the error of a loss that is no number.

    Args:
      epoch: Counted from 1.
      update: In the epoch, counted from 1.
      updates: In an epoch.
      recipe: The run's.
    """
    return DivergedError(
        f"the loss is not a number any more (epoch {epoch}, update {update} of {updates}): "
        f"try a --learning-rate below {recipe.learning_rate:g}, or --init stable; "
        "the last checkpoint is kept"
    )
