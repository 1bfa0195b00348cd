"""What every reader of foreign files gives: named arrays that are looked at before they are read.

A file says what shape and type its arrays have; only after all of that was checked is memory taken
for their numbers.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from alexnet_tf.errors import InputError

# Several times the 244 MB of AlexNet's weights: larger files are something else.
MOST_BYTES = 2**30


@dataclasses.dataclass(frozen=True)
class Entry:
    """One array in a file.

    Attributes:
      shape: As the file says.
      dtype: "float32", or whatever else the file says.
      read: Gives the numbers: an array of that shape and type.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


Entries = dict[str, Entry]


def check_size(path: Path) -> None:
    """Checks that a file is there and not larger than any AlexNet.

    Raises:
      InputError: It is not.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InputError(f"{path}: {size:,} bytes are more than any AlexNet's weights take")


def refused(path: Path, reason: object) -> InputError:
    """Returns the error for a file that is damaged or has something else in it."""
    text = next(iter(str(reason).strip().splitlines()), type(reason).__name__)
    return InputError(f"{path}: cannot be read as weights: {text[:300]}")
