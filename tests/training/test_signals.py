"""Ctrl-C and SIGTERM: the first asks, the second interrupts."""

import os
import signal

import pytest

from alexnet_tf.training.stopping import stop_on_signals


def test_the_first_signal_asks_and_the_second_interrupts_at_once():
    numbers = (signal.SIGINT, signal.SIGTERM)
    told = []
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(KeyboardInterrupt), stop_on_signals(lambda: told.append(1)) as stop:
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested and told == [1]
        os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in numbers] == before
