"""Metrics of runs."""

import math

import pytest
from run_records import epoch_record

from alexnet_tf.experiments.definition import METRICS, FinishedRun, epochs_until


@pytest.mark.parametrize(
    ("errors", "epochs"),
    [
        ([0.5, 0.3, 0.2], 2.5),
        ([0.5, 0.25], 2.0),
        ([0.2, 0.1], 1.0),
        ([0.5, 0.4], None),
        ([], None),
        ([0.5, 0.2, 0.6, 0.1], 1 + 0.25 / 0.3),
    ],
)
def test_epochs_until_interpolates_linearly(errors, epochs):
    assert epochs_until(errors, 0.25) == (None if epochs is None else pytest.approx(epochs))


def history(**values):
    """Two epochs' records with these values."""
    return [epoch_record(**{name: value[i] for name, value in values.items()}) for i in range(2)]


def test_error_and_loss_are_of_the_last_epoch_and_missing_after_divergence():
    records = history(validation_top1_error=[0.1, 0.3], training_loss=[1.0, 2.0])
    assert METRICS["test_error"].measure(FinishedRun(records, 10)) == 0.3
    assert METRICS["training_loss"].measure(FinishedRun(records, 10)) == 2.0
    assert METRICS["test_error"].measure(FinishedRun(records, 10, diverged=True)) is None
    assert METRICS["test_error"].measure(FinishedRun([], 10)) is None


def test_plateau_is_within_two_percent_of_the_chance_level_loss_or_divergence():
    measure = METRICS["plateaued_at_chance_level"].measure
    assert measure(FinishedRun(history(training_loss=[9, 0.985 * math.log(10)]), 10)) == 1
    assert measure(FinishedRun(history(training_loss=[9, 0.975 * math.log(10)]), 10)) == 0
    assert measure(FinishedRun(history(training_loss=[9, 0.1]), 10, diverged=True)) == 1


def test_only_metrics_of_the_training_set_may_select():
    selecting = {name for name, metric in METRICS.items() if metric.uses_training_set_only}
    assert selecting == {
        "training_error",
        "training_loss",
        "epochs_to_training_error",
        "plateaued_at_chance_level",
    }


def test_published_accuracy_must_be_exceeded():
    records = history(epoch=[1, 2], validation_top1_error=[0.2239, 0.2238])
    assert METRICS["epochs_to_published_accuracy"].measure(FinishedRun(records, 10)) == 2
