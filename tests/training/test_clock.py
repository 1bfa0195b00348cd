"""The speed of an epoch, by a clock that the test sets."""

import types

import pytest

from alexnet_tf.training import clock as module
from alexnet_tf.training.clock import StepClock


@pytest.fixture
def now(monkeypatch):
    """A list of the one time that it is."""
    now = [0.0]
    monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_the_first_call_does_not_count_for_speed_unless_it_is_the_only_one(now):
    clock = StepClock()
    now[0] = 10
    clock.tick(1, 16)
    assert (clock.seconds, clock.seconds_per_step, clock.images_per_second) == (10, 10, 1.6)
    assert clock.steps_in(1e6) == 1
    now[0] = 11
    clock.tick(4, 80)
    assert (clock.seconds, clock.seconds_per_step, clock.images_per_second) == (11, 0.25, 64)
    assert [clock.steps_in(seconds) for seconds in (0.1, 0.5, 1e6)] == [1, 2, 50]


def test_images_of_before_a_stop_do_not_count(now):
    clock = StepClock(examples=32)
    now[0] = 10
    clock.tick(1, 48)
    assert clock.images_per_second == 1.6
