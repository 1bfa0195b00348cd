"""Judging the network between epochs, by all workers together."""

from typing import Any

import keras
import numpy as np

from alexnet_tf.data.examples import Examples
from alexnet_tf.evaluation.evaluate import evaluate_examples
from alexnet_tf.evaluation.report import Errors
from alexnet_tf.training.machine import Machine


def validate(model: keras.Model, examples: Examples, machine: Machine) -> Errors:
    """Judges the model on center crops, each worker on its share of the examples.

    Every worker must call it, and gets the same result: it decides on rates and the best epoch.
    """
    if machine.workers == 1:
        return evaluate_examples(model, examples).center_crop
    mine = np.arange(machine.worker, len(examples), machine.workers)
    share = Errors(0, 0, 0, 0.0)
    if len(mine):
        share = evaluate_examples(model, examples.subset(mine)).center_crop
    count, top1, top5, loss = machine.sum_over_workers(
        [share.examples, share.top1_errors, share.top5_errors, share.loss * share.examples]
    )
    return Errors(int(count), int(top1), int(top5), loss / count)


def validation_record(errors: Errors | None) -> dict[str, Any]:
    """Returns what an epoch's record says of validation; without any, None under each name."""
    names = ("loss", "top1_error", "top5_error", "top1_errors", "examples")
    return {f"validation_{n}": None if errors is None else getattr(errors, n) for n in names}
