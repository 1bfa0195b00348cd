"""Time pieces of work that take turns, and notice other load on the machine."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence

import tensorflow as tf

_SHORTEST_SECONDS = 0.05  # of a timed interval: in shorter ones the clock's resolution counts


@dataclasses.dataclass(eq=False)
class Work:
    """A repeatable piece of work.

    Attributes:
      name: Shown while it is measured.
      run: Does the work once, and waits until it is done.
      flop: Floating-point operations of one call; a multiply-add is two. 0: not counted.
      precision: Of the arithmetic.
      batch_size: Images of one call; 0: no images.
      kernels: "native" or "xla" in training, else "".
      calls: Calls per timed interval.
      seconds: Mean seconds of one call in each interval.
    """

    name: str
    run: Callable[[], object]
    flop: int = 0
    precision: str = "float32"
    batch_size: int = 0
    kernels: str = ""
    calls: int = 1
    seconds: list[float] = dataclasses.field(default_factory=list)

    def warm_up(self) -> None:
        """Calls it twice: the first call compiles. Then chooses the calls per interval."""
        self.run()
        started = time.perf_counter()
        self.run()
        seconds = time.perf_counter() - started
        self.calls = max(1, round(_SHORTEST_SECONDS / max(seconds, 1e-6)))

    def measure(self) -> None:
        """Times one interval."""
        started = time.perf_counter()
        for _ in range(self.calls):
            self.run()
        self.seconds.append((time.perf_counter() - started) / self.calls)

    @property
    def median_seconds(self) -> float:
        """Median seconds of a call."""
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """FLOP/s of the fastest interval."""
        return self.flop / min(self.seconds)


def measure_in_turns(
    works: Sequence[Work], rounds: int, on_work: Callable[[str], None] = lambda _: None
) -> None:
    """Measures works that take turns, so that slow moments of the machine affect all of them.

    Args:
      works: What to measure. Their `seconds` get one value per round.
      rounds: Turns of each work.
      on_work: Called with the name before each warm-up and each turn.
    """
    for work in works:
        on_work(work.name)
        work.warm_up()
    for _ in range(rounds):
        for work in works:
            on_work(work.name)
            work.measure()


class OtherLoad:
    """Measures how much of the processor other programs use, from its creation on."""

    def __init__(self) -> None:
        self._started = self._readings()

    def fraction(self) -> float:
        """Returns the fraction of the processor's time that other programs used.

        On a virtual machine the time that its host gave to other machines counts too.
        """
        total, busy, own = (
            now - before for now, before in zip(self._readings(), self._started, strict=True)
        )
        return min(max((busy - own) / total, 0.0), 1.0) if total > 0 else 0.0

    @staticmethod
    def _readings() -> tuple[float, float, float]:
        """Returns seconds of all cores: in total, busy, and of this process."""
        import psutil

        times = psutil.cpu_times()._asdict()
        idle = times["idle"] + times.get("iowait", 0.0)
        guests = times.get("guest", 0.0) + times.get("guest_nice", 0.0)  # counted in user and nice
        total = sum(times.values()) - guests
        # User and system time of this process and of its children, such as those that convert.
        return total, total - idle, sum(psutil.Process().cpu_times()[:4])


def wait_for(values: object) -> None:
    """Waits until tensors are computed: functions on a device return before they are done."""
    for value in tf.nest.flatten(values):
        if hasattr(value, "numpy"):
            tf.reshape(value, [-1])[:1].numpy()
