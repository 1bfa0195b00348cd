"""Common parts of the readers of weight files: arrays not read yet, checks, a restricted unpickler.

Memory is allocated only after shapes and types were checked.
"""

import dataclasses
import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_tf.errors import InputError
from alexnet_tf.files import check_local_path

# Several times the 244 MB of AlexNet's weights, since float64 and text take more.
MAX_BYTES = 2**30

# What damaged pickles raise, in the unpickler or in what it calls.
PICKLE_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError),
    *(AttributeError, OverflowError, RecursionError, MemoryError, NotImplementedError),
)


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


class RestrictedUnpickler(pickle.Unpickler):
    """The standard unpickler, limited to allowed names: a pickle is a program.

    Args:
      pickled: The pickle. The sizes in it are compared with its length before the unpickler
        allocates memory for them.
      allowed: Stand-ins for the classes and functions that a pickle may call, by (module, name).
    """

    def __init__(self, pickled: bytes, allowed: Mapping[tuple[str, str], Any]) -> None:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name in ("PUT", "LONG_BINPUT") and (argument or 0) > len(pickled):
                raise pickle.UnpicklingError("it claims more memory than it has bytes")
        super().__init__(io.BytesIO(pickled), encoding="latin1")
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        """Returns the stand-in for a name; other names are errors."""
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it calls {module}.{name}, which weights do not need")
        return self._allowed[module, name]
