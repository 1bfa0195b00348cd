"""The precision of a run: half precision, TF32, and determinism."""

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf


def choose_precision(given: str, gpus: Sequence[tf.config.PhysicalDevice]) -> str:
    """Returns the precision that "auto" means on these devices, or else the given one.

    "auto" is half precision if all of the devices are faster in it.

    Args:
      given: One of `PRECISIONS`.
      gpus: The GPUs that are used; none for the CPU.
    """
    if given != "auto":
        return given
    if gpus:
        details = map(tf.config.experimental.get_device_details, gpus)
        capability = min(found.get("compute_capability", (0, 0)) for found in details)
        if capability >= (8, 0):
            return "bfloat16"
        return "float16" if capability >= (7, 0) else "float32"  # 7.0: the first tensor cores
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "float32"
    has_bfloat16 = "avx512_bf16" in flags or "amx_bf16" in flags
    return "bfloat16" if has_bfloat16 else "float32"


def set_precision(precision: str, on_gpus: bool, deterministic: bool) -> None:
    """Turns off, for this process, what makes results on GPUs less exact or less repeatable.

    TF32 would round the inputs of convolutions and matrix products: float32 does without. Kernels
    that add up in an order that varies are replaced if the run is deterministic; TensorFlow raises
    an error where it has no replacement. On CPUs neither is needed: results are the same bit for
    bit without, and TensorFlow's option would change them.

    Args:
      precision: From `choose_precision`.
      on_gpus: Whether the devices are GPUs.
      deterministic: Whether the results must be the same, bit for bit, each time.
    """
    if on_gpus and precision == "float32":
        tf.config.experimental.enable_tensor_float_32_execution(False)
    if on_gpus and deterministic:
        tf.config.experimental.enable_op_determinism()
