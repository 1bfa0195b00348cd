"""Where a run computes: devices, distribution strategy and precision."""

import contextlib
import dataclasses
import functools
import os
import platform
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf import __version__
from alexnet_tf.errors import InputError, choose
from alexnet_tf.train_options import KERNELS, PARALLELISMS, PRECISIONS, STRATEGIES
from alexnet_tf.training.cluster import Cluster, read_cluster
from alexnet_tf.training.precision import choose_precision, set_precision

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
      devices: Names of the devices, as this process numbers them; addresses of several workers.
      precision: "float32"; "bfloat16" (float32 weights and updates, bfloat16 layers); or "float16",
        likewise, with a scaled loss.
      worker: Index of this worker; worker 0 is the chief, which writes.
      workers: Number of processes that train together.
      on_gpus: Whether the devices are GPUs.
      kernels: "native": TensorFlow's own kernels, on GPUs cuDNN's; or "xla": the training step also
        has functions compiled by XLA.
    """

    strategy: tf.distribute.Strategy
    strategy_name: str
    devices: tuple[str, ...]
    precision: str
    worker: int = 0
    workers: int = 1
    on_gpus: bool = False
    kernels: str = "xla"

    @property
    def dtype_policy(self) -> str:
        """The Keras dtype policy of the network."""
        return "float32" if self.precision == "float32" else f"mixed_{self.precision}"

    @property
    def precision_note(self) -> str:
        """What to add to the precision when it is shown."""
        return "TF32 off" if self.on_gpus and self.precision == "float32" else ""

    @property
    def replicas(self) -> int:
        """Number of parts that a global batch is divided into."""
        return self.strategy.num_replicas_in_sync

    def sum_over_workers(self, values: list[float]) -> list[float]:
        """Returns the sums over all workers; every worker must call it, and waits for the others.

        Integers up to 2**53 are summed exactly.
        """
        if self.workers == 1:
            return values
        return list(self._sum(tf.constant(values, tf.float64)).numpy())

    @functools.cached_property
    def _sum(self) -> Callable[[tf.Tensor], tf.Tensor]:
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
    kernels: str = "auto",
    deterministic: bool = False,
) -> DeviceConfiguration:
    """Chooses devices, strategy and precision, and hides all other GPUs from this process.

    Args:
      strategy: One of `STRATEGIES`. "auto": several workers if TF_CONFIG is set, mirrored if there
        are several devices, else single.
      devices: GPUs by number ("0,1"), or a number of logical CPU devices ("cpu:2"); None: all
        GPUs, or else one CPU device.
      precision: One of `PRECISIONS`. "auto": half precision if the device is faster in it.
        float32 on GPUs turns TF32 off.
      parallelism: One of `PARALLELISMS`. "towers" needs exactly two devices.
      kernels: One of `KERNELS`. "auto": native on GPUs, xla on CPUs.
      deterministic: Whether results on GPUs must be the same each time (`set_precision`).

    Raises:
      InputError: A value is unknown, or a device does not exist.
    """
    choose(strategy, STRATEGIES, "--strategy")
    choose(precision, PRECISIONS, "--precision")
    choose(parallelism, PARALLELISMS, "--parallelism")
    choose(kernels, KERNELS, "--kernels")
    if parallelism == "towers":
        _check_towers(strategy, precision)
    elif strategy == "auto" and os.environ.get("TF_CONFIG"):
        strategy = "multiworker"
    cluster = read_cluster() if strategy == "multiworker" else None
    gpus, cpus = _named_devices(devices)
    if strategy == "single" and parallelism == "data":
        gpus, cpus = gpus[:1], 1
    elif cluster is not None:
        gpus = cluster.own_gpus(gpus)
    _confine(devices, gpus, cpus)
    kind, count = ("GPU", len(gpus)) if gpus else ("CPU", cpus)
    names = tuple(f"/{kind}:{number}" for number in range(count))
    resolved = choose_precision(precision, gpus)
    chosen = tf.distribute.get_strategy()
    if parallelism == "towers":
        strategy = "towers"
        if len(names) != 2:
            raise InputError(
                "--parallelism towers needs two devices: name two GPUs with --devices 0,1, or "
                f"create two logical CPU devices with --devices cpu:2 (found: {', '.join(names)})"
            )
        if resolved == "float16":  # chosen by "auto" on GPUs without bfloat16
            resolved = "float32"
    elif cluster is not None:
        chosen = _join(cluster, len(gpus), names)
        names = cluster.addresses
    else:
        if strategy == "auto":
            strategy = "mirrored" if len(names) > 1 else "single"
        if strategy == "mirrored":
            chosen = tf.distribute.MirroredStrategy(names)
    set_precision(resolved, bool(gpus), deterministic)
    return DeviceConfiguration(
        chosen,
        strategy,
        names,
        resolved,
        worker=cluster.worker if cluster else 0,
        workers=len(cluster.addresses) if cluster else 1,
        on_gpus=bool(gpus),
        kernels=("native" if gpus else "xla") if kernels == "auto" else kernels,
    )


def _check_towers(strategy: str, precision: str) -> None:
    """Raises InputError if a strategy divides the batch as well, or the loss is scaled."""
    if strategy not in ("auto", "single") or os.environ.get("TF_CONFIG"):
        raise InputError(
            "--parallelism towers divides the network between two devices of one machine: "
            "leave out --strategy and --workers (TF_CONFIG)"
        )
    if precision == "float16":
        raise InputError(
            "--parallelism towers does not support --precision float16: use bfloat16 or float32"
        )


def _join(cluster: Cluster, gpus: int, names: tuple[str, ...]) -> tf.distribute.Strategy:
    """Joins the cluster, with this process's devices.

    TensorFlow's coordination service detects workers that fail (`FAILED_WORKER_SECONDS`).
    `CommunicationOptions(timeout_seconds)` would too, but keeps a thread for every collective
    operation of that time: 8 per update were measured.
    """
    if not gpus and len(names) > 1:
        raise InputError("several workers use one CPU device each: leave out --devices")
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.worker,
        num_accelerators={"GPU": gpus},
        rpc_layer="grpc",
    )
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)


def _confine(devices: str | None, gpus: list[tf.config.PhysicalDevice], cpus: int) -> None:
    """Makes the chosen devices the only ones of this process; GPUs get memory as they need it."""
    try:
        tf.config.set_visible_devices(gpus, "GPU")
        if cpus > 1:
            _divide_cpu(cpus)
    except RuntimeError:
        if devices is not None:
            raise InputError(
                f"--devices {devices}: devices must be chosen before TensorFlow's first operation"
            ) from None
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # runs already, with memory as the caller set it
            tf.config.experimental.set_memory_growth(gpu, True)


def _named_devices(devices: str | None) -> tuple[list[tf.config.PhysicalDevice], int]:
    """Returns the GPUs that --devices names, or all; and the number of logical CPU devices."""
    if devices is None:
        return tf.config.get_visible_devices("GPU"), 1
    kind, _, count = devices.partition(":")
    try:
        if kind == "cpu":
            numbers, cpus = [], int(count)
        else:
            numbers, cpus = [int(number) for number in devices.split(",")], 1
    except ValueError:
        cpus = 0
    if cpus < 1:
        raise InputError(
            "--devices must be the numbers of GPUs, such as 0,1, or a number of logical CPU "
            f"devices, such as cpu:2. Received: {devices!r}"
        )
    if len(set(numbers)) < len(numbers):
        raise InputError(f"--devices {devices}: name each device once")
    present = tf.config.list_physical_devices("GPU")
    for number in numbers:
        if not 0 <= number < len(present):
            found = ", ".join(map(str, range(len(present)))) or "none"
            raise InputError(
                f"--devices {devices}: GPU {number} not found (found: {found}); for logical CPU "
                "devices: --devices cpu:2"
            )
    return [present[number] for number in numbers], cpus


def _divide_cpu(count: int) -> None:
    """Creates logical CPU devices; raises RuntimeError if TensorFlow runs already with others."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or []) != count:
        logical = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(cpu, logical)


def versions() -> dict[str, str]:
    """Returns the versions that a run records."""
    return {
        "alexnet_tf": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
