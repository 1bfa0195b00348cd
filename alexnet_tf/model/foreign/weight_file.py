"""Named arrays of a weight file, whose shapes and types are known before they are read.

Only after these were checked is memory allocated for the numbers.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from alexnet_tf.errors import InputError
from alexnet_tf.files import check_local_path

# Several times the 244 MB of AlexNet's weights, since text and float64 take more.
MOST_BYTES = 2**30


@dataclasses.dataclass(frozen=True)
class Entry:
    """One array in a file.

    Attributes:
      shape: The shape that the file claims.
      dtype: The type that the file claims: "float32".
      read: Returns the array.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


Entries = dict[str, Entry]


def check_size(path: Path) -> None:
    """Checks that a file exists and is not larger than any AlexNet.

    Raises:
      InputError: It does not, or is.
    """
    check_local_path(path)
    if not path.is_file():
        raise InputError(f"{path}: file not found")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InputError(f"{path}: {size:,} bytes are more than the weights of any AlexNet")


def refused(path: Path, reason: object) -> InputError:
    """Returns the error for a file that is damaged or holds something else."""
    text = next(iter(str(reason).strip().splitlines()), type(reason).__name__)
    return InputError(f"{path}: cannot be read as weights: {text[:300]}")
