"""Ctrl-C and SIGTERM: finish the step, save, and exit."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class StoppedError(Exception):
    """The run was asked to stop, and its state is saved."""


class StopRequest:
    """Whether the run was asked to stop.

    Args:
      on_request: Called at the first signal, to tell the user at once.
    """

    def __init__(self, on_request: Callable[[], None] | None = None) -> None:
        self.requested = False
        self._on_request = on_request

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Records the first request; a second one interrupts at once."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if self._on_request is not None:
            self._on_request()


@contextlib.contextmanager
def stop_on_signals(on_request: Callable[[], None] | None = None) -> Iterator[StopRequest]:
    """Gives a request that SIGINT and SIGTERM set while the block runs.

    In a thread other than the main one, signals are left as they are.

    Args:
      on_request: Called at the first signal.

    Yields:
      The request.
    """
    request = StopRequest(on_request)
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
