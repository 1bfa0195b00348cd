"""How many processor cores there are for us. No TensorFlow."""

import os


def available_cores() -> int:
    """Returns how many cores this process may use, which `taskset` or a container may limit."""
    # Linux alone knows: elsewhere, all of the machine's.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
