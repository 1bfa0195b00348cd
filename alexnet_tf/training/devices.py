"""What a run computes on: precision, devices and distribution strategy."""

import dataclasses
import json
import os
from pathlib import Path

import keras
import tensorflow as tf

from alexnet_tf.errors import InputError, choose

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
_HALF_PRECISIONS = ("bfloat16", "float16")
WORKER_TIMEOUT_SECONDS = 120  # how long workers wait for one that does not answer
STRATEGIES = ("auto", "single", "mirrored", "multiworker")
PARALLELISMS = ("data", "towers")
# What a collective operation raises when a worker does not answer.
FAILED_WORKER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.InternalError,
    tf.errors.CancelledError,
)


@dataclasses.dataclass(frozen=True)
class DeviceConfiguration:
    """Where and how a run computes.

    Attributes:
      strategy: The tf.distribute strategy; TensorFlow's default one for a single device.
      strategy_name: "single", "mirrored", "multiworker", or "towers": half the network on each of
        two devices.
      devices: Names for the screen.
      precision: "float32"; "bfloat16" (float32 weights and updates, bfloat16 layers); or "float16",
        likewise, with a scaled loss.
      worker: Which of the workers this process is, from 0; worker 0 is the chief, which writes.
      workers: Processes that train together.
    """

    strategy: tf.distribute.Strategy
    strategy_name: str
    devices: tuple[str, ...]
    precision: str
    worker: int = 0
    workers: int = 1

    @property
    def dtype_policy(self) -> str:
        """The Keras policy of the network that is trained."""
        return f"mixed_{self.precision}" if self.precision in _HALF_PRECISIONS else "float32"

    @property
    def replicas(self) -> int:
        """Parts that a global batch is cut into."""
        return self.strategy.num_replicas_in_sync

    def sum_over_workers(self, values: list[float]) -> list[float]:
        """Returns the sums over all workers; every worker must call it, and waits for the others.

        Args:
          values: This worker's; whole numbers up to 2**53 are summed exactly.
        """
        if self.workers == 1:
            return values

        @tf.function
        def reduce(mine: tf.Tensor) -> tf.Tensor:
            # Each replica of a worker gives an equal part, so that the parts add up to the whole.
            parts = self.strategy.run(lambda: mine * self.workers / self.replicas)
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None)

        return list(reduce(tf.constant(values, tf.float64)).numpy())


def configure_devices(
    strategy: str = "auto",
    devices: str | None = None,
    precision: str = "auto",
    parallelism: str = "data",
) -> DeviceConfiguration:
    """Chooses devices, strategy and precision.

    Args:
      strategy: One of `STRATEGIES`. "auto": several workers if TF_CONFIG is set, mirrored if there
        are several devices, else single.
      devices: GPUs by number ("0,1"). Without GPUs, how many logical CPU devices to make ("2").
      precision: One of `PRECISIONS`. "auto": bfloat16 where the device computes in it.
      parallelism: One of `PARALLELISMS`. "towers" needs exactly two devices.

    Raises:
      InputError: An unknown value, or a device that is not there.
    """
    choose(strategy, STRATEGIES, "--strategy")
    choose(precision, PRECISIONS, "--precision")
    if choose(parallelism, PARALLELISMS, "--parallelism") == "towers":
        return _towers(strategy, devices, precision)
    if strategy == "auto" and os.environ.get("TF_CONFIG"):
        strategy = "multiworker"
    if strategy == "multiworker":
        return _multiworker(precision)
    names = _device_names(devices)
    if strategy == "auto":
        strategy = "mirrored" if len(names) > 1 else "single"
    if strategy == "mirrored":
        chosen = tf.distribute.MirroredStrategy(names)
    else:
        names = names[:1]
        first = names[0].endswith(":0")
        default = tf.distribute.get_strategy()
        chosen = default if first else tf.distribute.OneDeviceStrategy(names[0])
    return DeviceConfiguration(chosen, strategy, tuple(names), _precision(precision))


def _towers(strategy: str, devices: str | None, precision: str) -> DeviceConfiguration:
    """Takes two devices, one for each tower.

    Raises:
      InputError: There are not exactly two, or a strategy divides the batch as well.
    """
    if strategy not in ("auto", "single") or os.environ.get("TF_CONFIG"):
        raise InputError(
            "--parallelism towers divides the network between two devices of one machine: "
            "leave out --strategy and --workers (TF_CONFIG)"
        )
    if precision == "float16":
        raise InputError("--parallelism towers does not go with --precision float16: take bfloat16")
    names = _device_names(devices)
    if len(names) != 2:
        raise InputError(
            "--parallelism towers needs two devices: name two GPUs by --devices 0,1, or without "
            f"GPUs make two logical CPU devices by --devices 2. Here: {', '.join(names)}"
        )
    resolved = _precision(precision)
    if resolved == "float16":  # what "auto" takes on GPUs that have no bfloat16
        resolved = "float32"
    return DeviceConfiguration(tf.distribute.get_strategy(), "towers", tuple(names), resolved)


def _multiworker(precision: str) -> DeviceConfiguration:
    """Joins the cluster that TF_CONFIG describes.

    Raises:
      InputError: TF_CONFIG is missing, is not what TensorFlow takes, or has more than workers.
    """
    example = (
        '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    try:
        config = json.loads(os.environ.get("TF_CONFIG") or "")
        addresses, index = config["cluster"]["worker"], int(config["task"]["index"])
        addresses[index]
        jobs = {*config["cluster"], config["task"].get("type", "worker")}
    except (AttributeError, ValueError, KeyError, TypeError, IndexError):
        raise InputError(f"several workers need TF_CONFIG, such as {example}") from None
    # TensorFlow counts a "chief" before the workers, and two processes would then be worker 0.
    if jobs != {"worker"}:
        others = ", ".join(sorted(map(str, jobs - {"worker"})))
        raise InputError(
            f'TF_CONFIG may have the job "worker" alone, of which the first is the chief, such as '
            f"{example}; it has {others} too"
        )
    options = tf.distribute.experimental.CommunicationOptions(
        timeout_seconds=WORKER_TIMEOUT_SECONDS
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    return DeviceConfiguration(
        strategy,
        "multiworker",
        tuple(addresses),
        _precision(precision),
        worker=index,
        workers=len(addresses),
    )


def _device_names(devices: str | None) -> list[str]:
    """Returns the devices asked for, all GPUs if there are any, else the processor."""
    gpus = tf.config.list_physical_devices("GPU")
    try:
        numbers = None if devices is None else [int(d) for d in devices.split(",")]
    except ValueError:
        raise InputError(f"--devices takes numbers such as 0,1. Received: {devices!r}") from None
    if numbers is not None and len(set(numbers)) < len(numbers):
        raise InputError(f"--devices {devices}: each device can be named once")
    if gpus:
        present = list(range(len(gpus)))
        for number in numbers or []:
            if number not in present:
                raise InputError(f"--devices {devices}: there is no GPU {number}, only {present}")
        return [f"/GPU:{number}" for number in numbers or present]
    count = 1
    if numbers is not None:
        count = numbers[0] if len(numbers) == 1 else len(numbers)
    if count < 1:
        raise InputError(f"--devices needs at least one device. Received: {devices!r}")
    if count > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * count
        current = tf.config.get_logical_device_configuration(cpu) or []
        if len(current) != count:
            try:
                tf.config.set_logical_device_configuration(cpu, logical)
            except RuntimeError:
                raise InputError(
                    f"--devices {devices}: the processor can be made several devices only before "
                    "TensorFlow's first operation"
                ) from None
    return [f"/CPU:{number}" for number in range(count)]


def _precision(asked: str) -> str:
    """Resolves "auto": half precision only where it is faster."""
    if asked != "auto":
        return asked
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        capability = details.get("compute_capability", (0, 0))
        if capability >= (8, 0):
            return "bfloat16"
        return "float16" if capability >= (7, 0) else "float32"  # 7.0: the first matrix units
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "float32"
    has_bfloat16 = "avx512_bf16" in flags or "amx_bf16" in flags
    return "bfloat16" if has_bfloat16 else "float32"


def versions() -> dict[str, str]:
    """Returns the versions that a run records."""
    import platform

    import numpy as np

    from alexnet_tf import __version__

    return {
        "alexnet_tf": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
