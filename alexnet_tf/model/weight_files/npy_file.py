"""Read weights from a pickled `.npy` dictionary of layers, without running code in the file.

The pickle may call only stand-ins for what NumPy arrays need. They store shape, type and bytes, so
that shapes are checked before memory is allocated for the numbers.
"""

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_tf.model.weight_files.reading import (
    PICKLE_DAMAGE,
    RestrictedUnpickler,
    StoredArray,
    StoredArrays,
    check_size,
    unreadable,
)

NPZ_REMEDY = (
    "save its arrays as one dictionary, numpy.save('weights.npy', {'conv1': [weights, biases], "
    "...}, allow_pickle=True)"
)
PICKLE_REMEDY = (
    "if you trust it, save its dictionary {'conv1': [weights, biases], ...} with "
    "numpy.save('weights.npy', dictionary, allow_pickle=True)"
)
_FLOATS = {"f2": "float16", "f4": "float32", "f8": "float64"}
# Names of a layer's arrays in its dictionary, lower case.
_NUMBERS = {
    **dict.fromkeys(("weights", "weight", "w", "kernel"), 0),
    **dict.fromkeys(("biases", "bias", "b"), 1),
}
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(path: Path) -> StoredArrays:
    """Returns the arrays of a pickled dictionary of layers, named "conv1/0" (weights), "conv1/1".

    A layer is a list or tuple of weights and biases, or a dictionary {"weights", "biases"}.

    Raises:
      InputError: The file is damaged or contains something else.
    """
    check_size(path)
    content = path.read_bytes()
    file = io.BytesIO(content)
    try:
        shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError, SyntaxError) as error:
        raise unreadable(path, _container(content) or error) from error
    if shape != () or not dtype.hasobject:
        raise unreadable(
            path, f"it contains an array {shape} of {dtype}, not a dictionary of layers"
        )
    try:
        return dict(_stored_arrays(RestrictedUnpickler(content[file.tell() :], _ALLOWED).load()))
    except PICKLE_DAMAGE as error:
        raise unreadable(path, error) from error


def _container(content: bytes) -> str | None:
    """Returns how to convert a file of another format than its extension; None if unknown."""
    if content.startswith(b"PK"):
        return f"it is an .npz archive: {NPZ_REMEDY}"
    if content.startswith((b"\x80", b"(", b"}")):
        return f"it is a plain pickle: {PICKLE_REMEDY}"
    return None


class _Dtype:
    """Stands in for numpy.dtype; `name` is its kind and size ("f4"), `order` its byte order."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name, self.order = (name if isinstance(name, str) else "?"), "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    """Stands in for numpy.ndarray, and for the functions `_reconstruct` and `_frombuffer`."""

    def __init__(
        self, data: Any = b"", dtype: Any = None, shape: Any = (), order: Any = "C", *axes: Any
    ) -> None:
        if not isinstance(dtype, _Dtype):  # `_reconstruct`: `__setstate__` sets the content
            data, dtype, shape, order = b"", None, (), "C"
        elif axes and axes[0] is not None:
            raise ValueError("an array with permuted axes is not supported")
        self.data, self.shape, self.is_fortran = data, shape, order == "F"
        self.dtype, self.order = _type_of(dtype)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, self.is_fortran, self.data = state
        self.shape = tuple(int(side) for side in shape)
        self.dtype, self.order = _type_of(dtype)

    def read(self) -> np.ndarray:
        """Returns the array, or raises ValueError if its bytes do not fit its shape."""
        data = self.data.encode("latin1") if isinstance(self.data, str) else bytes(self.data)
        dtype = np.dtype(self.dtype).newbyteorder(">" if self.order == ">" else "<")
        if len(data) != math.prod(self.shape) * dtype.itemsize:
            raise ValueError("an array has more or fewer bytes than its shape needs")
        array = np.frombuffer(data, dtype).astype(self.dtype)
        return array.reshape(self.shape, order="F" if self.is_fortran else "C")


def _type_of(dtype: Any) -> tuple[str, Any]:
    """Returns a type's name and byte order."""
    return (_FLOATS.get(dtype.name, dtype.name), dtype.order) if dtype is not None else ("?", "<")


def _encode(text: str, encoding: str) -> bytes:
    """Stands in for `codecs.encode`, which pickles of protocols 0 to 2 build bytes with."""
    if encoding != "latin1":
        raise ValueError(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): dict,
    **{
        (f"{package}.{module}", name): _Array
        for package in ("numpy.core", "numpy._core")
        for module, name in (("multiarray", "_reconstruct"), ("numeric", "_frombuffer"))
    },
}


def _stored_arrays(content: Any) -> Iterator[tuple[str, StoredArray]]:
    """Yields the arrays of {layer: arrays}, or raises ValueError."""
    if isinstance(content, _Array):  # of the file, with one object in it
        (content,) = content.data if isinstance(content.data, list) else (None,)
    if not isinstance(content, dict):
        raise ValueError("it does not contain a dictionary of layers")
    for key, arrays in content.items():
        layer = _text(key)
        for number, array in _numbered(layer, arrays):
            if not isinstance(array, _Array) or isinstance(array.data, list):
                raise ValueError(f"{layer} does not contain arrays of numbers")
            yield f"{layer}/{number}", StoredArray(array.shape, array.dtype, array.read)


def _numbered(layer: str, arrays: Any) -> Iterator[tuple[int, Any]]:
    """Yields a layer's arrays with their numbers: 0 for the weights, 1 for the biases."""
    if isinstance(arrays, _Array) and isinstance(arrays.data, list):  # an array of two arrays
        arrays = arrays.data
    if isinstance(arrays, list | tuple):
        yield from enumerate(arrays)
        return
    if not isinstance(arrays, dict):
        raise ValueError(f"{layer} is neither a list nor a dictionary of weights and biases")
    for key, array in arrays.items():
        name = _text(key)
        if name.lower() not in _NUMBERS:
            raise ValueError(f"{layer} has {name!r}: expected 'weights' and 'biases'")
        yield _NUMBERS[name.lower()], array


def _text(key: Any) -> str:
    """Returns a name, which Python 2 may have pickled as bytes."""
    name = key.decode("latin1") if isinstance(key, bytes) else key
    if not isinstance(name, str):
        raise ValueError("its layers are not named by text")
    return name[:100]
