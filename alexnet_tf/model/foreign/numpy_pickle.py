"""The `.npy` dictionary of BVLC AlexNet's weights, read without running anything in it.

The well-known file holds `{"conv1": [weights, biases], ...}` as a Python 2 pickle, and a pickle is
a program. This reader knows the few instructions that such a dictionary needs, and gives the
pickle stand-ins for the only four names that it may call; all else is refused.
"""

import io
import math
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_tf.errors import InputError
from alexnet_tf.model.foreign.weight_file import Entries, Entry, check_size, refused

_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUILDING = """
PROTO FRAME STOP MARK POP_MARK MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET GLOBAL STACK_GLOBAL
REDUCE BUILD EMPTY_DICT DICT SETITEM SETITEMS EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE
TUPLE1 TUPLE2 TUPLE3 NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 SHORT_BINSTRING BINSTRING
SHORT_BINUNICODE BINUNICODE SHORT_BINBYTES BINBYTES
"""
_INSTRUCTIONS = frozenset(_BUILDING.split())
# What a damaged pickle leads to, in the unpickler or in our stand-ins.
_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError),
    *(AttributeError, OverflowError, RecursionError),
)
# Of dtypes, as pickled: kind and size, and the byte order apart from it.
_FLOATS = {"f2": "float16", "f4": "float32", "f8": "float64"}


def read_npy(path: Path) -> Entries:
    """Returns the arrays of a pickled dictionary of lists, named "conv1/0", "conv1/1" ...

    Raises:
      InputError: The file is damaged, or is anything else.
    """
    check_size(path)
    content = path.read_bytes()
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = header(file)
    except (ValueError, KeyError, SyntaxError) as error:
        raise refused(path, error) from error
    if shape != () or not dtype.hasobject:
        raise refused(path, f"it holds an array {shape} of {dtype}, not a dictionary of layers")
    pickled = content[file.tell() :]
    _check_instructions(path, pickled)
    try:
        return _entries(path, _Reader(path, pickled).load())
    except InputError:
        raise
    except _DAMAGE as error:
        raise refused(path, error) from error


def _check_instructions(path: Path, pickled: bytes) -> None:
    """Reads the pickle as data and checks that it has only instructions that build arrays.

    Raises:
      InputError: It has others, memory places beyond its length, or ends too early.
    """
    try:
        for opcode, value, _ in pickletools.genops(io.BytesIO(pickled)):
            argument: Any = value
            if opcode.name not in _INSTRUCTIONS:
                raise refused(path, f"its pickle has the instruction {opcode.name}")
            if opcode.name == "LONG_BINPUT" and argument > len(pickled):
                raise refused(path, "its pickle is damaged")
            if opcode.name == "GLOBAL":
                _stand_in(path, *argument.split(" ", 1))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise refused(path, error) from error


class _Dtype:
    """Stands in for numpy.dtype: keeps what it was called with."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = name if isinstance(name, str) else ""
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    """Stands in for numpy.ndarray: keeps the shape, type and bytes it is given."""

    shape: tuple[int, ...] = ()
    dtype = ""
    order = "<"
    fortran = False
    data: Any = b""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, self.fortran, self.data = state
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
            raise TypeError("an array without shape or type")
        self.shape = tuple(int(side) for side in shape)
        self.dtype, self.order = _FLOATS.get(dtype.name, dtype.name or "?"), dtype.order

    def read(self) -> np.ndarray:
        """Returns the numbers; the caller has checked shape and type.

        Raises:
          ValueError: The bytes are not as many as the shape needs.
        """
        data = self.data.encode("latin1") if isinstance(self.data, str) else bytes(self.data)
        dtype = np.dtype(self.dtype).newbyteorder(">" if self.order == ">" else "<")
        if len(data) != math.prod(self.shape) * dtype.itemsize:
            raise ValueError("an array has more or fewer bytes than its shape needs")
        array = np.frombuffer(data, dtype).astype(self.dtype)
        return array.reshape(self.shape, order="F" if self.fortran else "C")


def _new_array(*_: Any) -> _Array:
    """Stands in for numpy's `_reconstruct`, which would take memory for any shape it is given."""
    return _Array()


def _latin1(text: str, _: str) -> bytes:
    """Stands in for `codecs.encode`, by which Python 3 puts bytes into the pickles of Python 2."""
    return text.encode("latin1")


def _stand_in(path: Path, module: str, name: str) -> Any:
    """Returns what a pickle gets for a name.

    Raises:
      InputError: It is none that a dictionary of arrays needs; the message has it.
    """
    known: dict[tuple[str, str], Any] = {
        ("numpy", "dtype"): _Dtype,
        ("numpy", "ndarray"): _Array,
        ("_codecs", "encode"): _latin1,
    }
    known |= {(place, "_reconstruct"): _new_array for place in _MODULES}
    if (module, name) not in known:
        raise refused(path, f"its pickle wants to call {module}.{name}, which no weights need")
    return known[module, name]


class _Reader(pickle.Unpickler):
    """An unpickler that knows stand-ins only."""

    def __init__(self, path: Path, pickled: bytes) -> None:
        super().__init__(io.BytesIO(pickled), encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        return _stand_in(self._path, module, name)


def _entries(path: Path, found: Any) -> Entries:
    """Returns the arrays of {layer: [weights, biases]}."""
    if isinstance(found, _Array):  # the file is an array with one object in it
        (found,) = found.data if isinstance(found.data, list) else (None,)
    if not isinstance(found, dict):
        raise refused(path, "it holds no dictionary of layers")
    entries: Entries = {}
    for layer, arrays in found.items():
        if not isinstance(layer, str) or not isinstance(arrays, list | tuple):
            raise refused(path, f"the layer {str(layer)[:40]!r} is no list of arrays")
        for number, array in enumerate(arrays):
            if not isinstance(array, _Array):
                raise refused(path, f"{layer} holds something else than arrays")
            entries[f"{layer}/{number}"] = Entry(array.shape, array.dtype, array.read)
    return entries
