"""Ctrl-C and SIGTERM: finish the step, save, and leave."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class StopRequest:
    """Whether someone asked the run to stop."""

    def __init__(self) -> None:
        self.asked = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Notes the first request; a second one interrupts at once."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Gives a request that SIGINT and SIGTERM set while the block runs.

    In a thread other than the main one signals stay as they are.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, request._on_signal) for number in numbers]
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
