"""Evaluating the network between epochs, by all workers together."""

import math
from typing import Any

import keras
import numpy as np

from alexnet_tf.data.examples import Examples
from alexnet_tf.evaluation.evaluate import Progress, evaluate_examples
from alexnet_tf.evaluation.metrics import Errors
from alexnet_tf.training.devices import DeviceConfiguration

_CHECKED_IMAGES = 32


def validate(
    model: keras.Model,
    examples: Examples,
    devices: DeviceConfiguration,
    on_progress: Progress | None = None,
) -> Errors:
    """Evaluates the model on center crops, each worker on a part of the examples.

    Every worker must call it, and gets the same result.

    Args:
      model: The network.
      examples: All validation examples.
      devices: Which part of them this worker evaluates.
      on_progress: Called after each batch with the examples done and this worker's number of them.
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


def validation_fields(errors: Errors | None) -> dict[str, Any]:
    """Returns the validation fields of an `EpochRecord`; None for each without validation."""
    names = ("loss", "top1_error", "top5_error", "top1_errors", "examples")
    return {f"validation_{n}": None if errors is None else getattr(errors, n) for n in names}


def has_finite_predictions(
    model: keras.Model, examples: Examples, devices: DeviceConfiguration
) -> bool:
    """Returns whether the loss of a few examples is finite: finite weights can be too large."""
    few = np.arange(min(_CHECKED_IMAGES, len(examples)))
    return math.isfinite(validate(model, examples.subset(few), devices).loss)
