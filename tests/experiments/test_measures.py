import math

import pytest
from run_records import epoch_record

from alexnet_tf.experiments.measures import METRICS, Run, epochs_until


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
def test_epochs_until_an_error_is_reached_lie_on_a_straight_line(errors, epochs):
    assert epochs_until(errors, 0.25) == (None if epochs is None else pytest.approx(epochs))


def history(**values):
    """Two epochs' records with these values."""
    return [epoch_record(**{name: value[i] for name, value in values.items()}) for i in range(2)]


def test_the_last_epoch_counts_and_a_diverged_run_has_no_number():
    records = history(validation_top1_error=[0.1, 0.3], training_loss=[1.0, 2.0])
    assert METRICS["test_error"].measure(Run(records, 10)) == 0.3
    assert METRICS["training_loss"].measure(Run(records, 10)) == 2.0
    assert METRICS["test_error"].measure(Run(records, 10, diverged=True)) is None
    assert METRICS["test_error"].measure(Run([], 10)) is None


def test_stuck_is_within_two_percent_of_guessing_or_diverged():
    measure = METRICS["stuck"].measure
    assert measure(Run(history(training_loss=[9, 0.985 * math.log(10)]), 10)) == 1
    assert measure(Run(history(training_loss=[9, 0.975 * math.log(10)]), 10)) == 0
    assert measure(Run(history(training_loss=[9, 0.1]), 10, diverged=True)) == 1


def test_only_metrics_of_the_training_set_may_choose():
    chosen = {name for name, metric in METRICS.items() if metric.of_training}
    assert chosen == {"training_error", "training_loss", "epochs_to_training_error", "stuck"}


def test_the_published_error_must_be_beaten():
    records = history(epoch=[1, 2], validation_top1_error=[0.2239, 0.2238])
    assert METRICS["epochs_to_published"].measure(Run(records, 10)) == 2
