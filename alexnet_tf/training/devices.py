"""Where a run computes: devices, distribution strategy and precision."""

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from alexnet_tf.errors import InputError, choose
from alexnet_tf.train_options import PARALLELISMS, PRECISIONS, STRATEGIES
from alexnet_tf.training.cluster import Cluster, read_cluster

# Errors of a collective operation when a worker does not respond.
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
      devices: Names of the devices.
      precision: "float32"; "bfloat16" (float32 weights and updates, bfloat16 layers); or "float16",
        likewise, with a scaled loss.
      worker: Index of this worker; worker 0 is the chief, which writes.
      workers: Number of processes that train together.
    """

    strategy: tf.distribute.Strategy
    strategy_name: str
    devices: tuple[str, ...]
    precision: str
    worker: int = 0
    workers: int = 1

    @property
    def dtype_policy(self) -> str:
        """The Keras dtype policy of the network."""
        return "float32" if self.precision == "float32" else f"mixed_{self.precision}"

    @property
    def replicas(self) -> int:
        """Number of parts that a global batch is divided into."""
        return self.strategy.num_replicas_in_sync

    def sum_over_workers(self, values: list[float]) -> list[float]:
        """Returns the sums over all workers; every worker must call it, and waits for the others.

        Args:
          values: This worker's values; integers up to 2**53 are summed exactly.
        """
        if self.workers == 1:
            return values

        return list(self._sum(tf.constant(values, tf.float64)).numpy())

    @functools.cached_property
    def _sum(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """The compiled sum, traced once for each number of values."""

        @tf.function
        def reduce(own: tf.Tensor) -> tf.Tensor:
            # Each replica of a worker contributes an equal part of the worker's value.
            parts = self.strategy.run(lambda: own * self.workers / self.replicas)
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None)

        return reduce


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
      devices: GPUs by number ("0,1"). Without GPUs, the number of logical CPU devices ("2").
      precision: One of `PRECISIONS`. "auto": half precision if the device is faster in it.
      parallelism: One of `PARALLELISMS`. "towers" needs exactly two devices.

    Raises:
      InputError: A value is unknown, or a device does not exist.
    """
    choose(strategy, STRATEGIES, "--strategy")
    choose(precision, PRECISIONS, "--precision")
    if choose(parallelism, PARALLELISMS, "--parallelism") == "towers":
        return _towers(strategy, devices, precision)
    if strategy == "auto" and os.environ.get("TF_CONFIG"):
        strategy = "multiworker"
    if strategy == "multiworker":
        return _multiworker(read_cluster(), precision)
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
    """Chooses two devices, one for each tower.

    Raises:
      InputError: There are not exactly two, or a strategy divides the batch as well.
    """
    if strategy not in ("auto", "single") or os.environ.get("TF_CONFIG"):
        raise InputError(
            "--parallelism towers divides the network between two devices of one machine: "
            "leave out --strategy and --workers (TF_CONFIG)"
        )
    if precision == "float16":
        raise InputError(
            "--parallelism towers does not support --precision float16: use bfloat16 or float32"
        )
    names = _device_names(devices)
    if len(names) != 2:
        raise InputError(
            "--parallelism towers needs two devices: name two GPUs with --devices 0,1, or without "
            f"GPUs create two logical CPU devices with --devices 2 (found: {', '.join(names)})"
        )
    resolved = _precision(precision)
    if resolved == "float16":  # chosen by "auto" on GPUs without bfloat16
        resolved = "float32"
    return DeviceConfiguration(tf.distribute.get_strategy(), "towers", tuple(names), resolved)


def _multiworker(cluster: Cluster, precision: str) -> DeviceConfiguration:
    """Joins the cluster.

    TensorFlow's coordination service detects workers that fail (`FAILED_WORKER_SECONDS`).
    `CommunicationOptions(timeout_seconds)` would too, but keeps a thread for every collective
    operation of that time: 8 per update were measured.
    """
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.worker,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )
    return DeviceConfiguration(
        tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver),
        "multiworker",
        cluster.addresses,
        _precision(precision),
        worker=cluster.worker,
        workers=len(cluster.addresses),
    )


def _device_names(devices: str | None) -> list[str]:
    """Returns the chosen devices; without a choice all GPUs, or the CPU.

    Raises:
      InputError: The text is not numbers, or a device does not exist.
    """
    gpus = tf.config.list_physical_devices("GPU")
    try:
        numbers = None if devices is None else [int(d) for d in devices.split(",")]
    except ValueError:
        raise InputError(f"--devices must be numbers such as 0,1. Received: {devices!r}") from None
    if numbers is not None and len(set(numbers)) < len(numbers):
        raise InputError(f"--devices {devices}: name each device once")
    if gpus:
        present = list(range(len(gpus)))
        for number in numbers or []:
            if number not in present:
                found = ", ".join(map(str, present))
                raise InputError(f"--devices: GPU {number} does not exist (found: {found})")
        return [f"/GPU:{number}" for number in numbers or present]
    count = 1
    if numbers is not None:
        count = numbers[0] if len(numbers) == 1 else len(numbers)
    if count < 1:
        raise InputError(f"--devices must be at least 1. Received: {devices!r}")
    if count > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * count
        current = tf.config.get_logical_device_configuration(cpu) or []
        if len(current) != count:
            try:
                tf.config.set_logical_device_configuration(cpu, logical)
            except RuntimeError:
                raise InputError(
                    f"--devices {devices}: logical CPU devices must be created before TensorFlow's "
                    "first operation"
                ) from None
    return [f"/CPU:{number}" for number in range(count)]


def _precision(given: str) -> str:
    """Resolves "auto": half precision only if the device is faster in it."""
    if given != "auto":
        return given
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        capability = details.get("compute_capability", (0, 0))
        if capability >= (8, 0):
            return "bfloat16"
        return "float16" if capability >= (7, 0) else "float32"  # 7.0: the first tensor cores
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
