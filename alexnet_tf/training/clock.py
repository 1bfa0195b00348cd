"""How fast an epoch goes."""

import time

_MOST_STEPS_PER_CALL = 50


class StepClock:
    """Times an epoch's calls; the first one, which may also compile, does not count for speed.

    Args:
      examples: Seen before, when a run goes on inside an epoch.
    """

    def __init__(self, examples: int = 0) -> None:
        self._started = self._first_done = self._now = time.monotonic()
        self._steps = self._first_steps = 0
        self._examples_before = self._first_examples = self._examples = examples

    def tick(self, steps: int, examples: int) -> None:
        """Notes a call of `steps` updates after which `examples` have been seen in the epoch."""
        self._now = time.monotonic()
        if not self._steps:
            self._first_done, self._first_steps = self._now, steps
            self._first_examples = examples
        self._steps += steps
        self._examples = examples

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._now - self._started

    @property
    def seconds_per_step(self) -> float:
        """Without the first call, if there were more."""
        if self._steps > self._first_steps:
            return (self._now - self._first_done) / (self._steps - self._first_steps)
        return self.seconds / max(self._steps, 1)

    @property
    def images_per_second(self) -> float:
        """Without the first call, if there were more."""
        if self._examples > self._first_examples:
            return (self._examples - self._first_examples) / (self._now - self._first_done)
        return (self._examples - self._examples_before) / max(self.seconds, 1e-9)

    def steps_in(self, seconds: float) -> int:
        """Returns how many steps a call of that length has: 1 until that is known."""
        if self._steps == self._first_steps:
            return 1
        return max(1, min(_MOST_STEPS_PER_CALL, int(seconds / self.seconds_per_step)))
