"""Arrays in weight files. Memory is allocated only after shapes and types were checked."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from alexnet_tf.errors import InputError
from alexnet_tf.files import check_local_path

# Several times the 244 MB of AlexNet's weights, since float64 and text take more.
MAX_BYTES = 2**30


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array in a file, not read yet.

    Attributes:
      shape: The shape that the file declares.
      dtype: The type that the file declares, such as "float32".
      read: Returns the array.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


StoredArrays = dict[str, StoredArray]  # by name


def check_size(path: Path) -> None:
    """Raises InputError if a file does not exist or is larger than any AlexNet."""
    check_local_path(path)
    if not path.is_file():
        raise InputError(f"{path}: file not found")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputError(f"{path}: {size:,} bytes are more than the weights of any AlexNet")


def unreadable(path: Path, reason: object) -> InputError:
    """Returns the error for a file that is damaged or contains something else."""
    text = next(iter(str(reason).strip().splitlines()), type(reason).__name__)
    return InputError(f"{path}: cannot be read as weights: {text[:300]}")
