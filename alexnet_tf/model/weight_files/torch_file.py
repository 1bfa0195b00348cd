"""Read PyTorch's `.pth` files without PyTorch, and without running code in them.

`torch.save` writes a zip archive: `data.pkl` contains the names, types, shapes and strides,
`data/<key>` the numbers of each storage.
"""

import functools
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from alexnet_tf.model.weight_files.reading import (
    MAX_BYTES,
    PICKLE_DAMAGE,
    RestrictedUnpickler,
    StoredArray,
    StoredArrays,
    check_size,
    unreadable,
)

_LEGACY_REMEDY = (
    "it is not a zip archive, as torch.save writes since PyTorch 1.6: in PyTorch, "
    "torch.save(torch.load(path, weights_only=True), path) converts it"
)


class _StorageType(NamedTuple):
    """Stands in for `torch.FloatStorage` and its relatives.

    An `np.dtype` cannot: a pickle may change the state of whatever it names.
    """

    dtype: str


_STORAGE_TYPES = {
    "FloatStorage": _StorageType("float32"),
    "DoubleStorage": _StorageType("float64"),
    "HalfStorage": _StorageType("float16"),
    "BFloat16Storage": _StorageType("bfloat16"),
    "LongStorage": _StorageType("int64"),
}


class _Storage(NamedTuple):
    """The numbers of one or more tensors."""

    type: _StorageType
    key: str
    length: int

    @property
    def dtype(self) -> np.dtype:
        """The type of the numbers."""
        name = self.type.dtype
        return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


class _Tensor(NamedTuple):
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def last_index(self) -> int:
        """The highest index of the storage that is used; -1 for a tensor without numbers."""
        if 0 in self.shape:
            return -1
        steps = zip(self.shape, self.strides, strict=True)
        return self.offset + sum((side - 1) * stride for side, stride in steps)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    """Stands in for `torch._utils._rebuild_tensor_v2`."""
    if not isinstance(storage, _Storage) or len(shape) != len(strides):
        raise ValueError("a tensor has no storage, or other strides than sides")
    numbers = [int(number) for number in (offset, *shape, *strides)]
    if min(numbers) < 0:
        raise ValueError("a tensor has a negative side or stride")
    sides = tuple(numbers[1 : 1 + len(shape)])
    return _Tensor(storage, numbers[0], sides, tuple(numbers[1 + len(shape) :]))


class _StateDict(dict[str, Any]):
    """A state dict; its metadata, which a pickle sets as an attribute, is dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _StateDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    **{("torch", name): kind for name, kind in _STORAGE_TYPES.items()},
}


class _TorchUnpickler(RestrictedUnpickler):
    """Reads `data.pkl`."""

    def persistent_load(self, pid: Any) -> _Storage:
        """Returns the storage that a tensor refers to."""
        kind, storage_type, key, _, length = pid
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise ValueError(f"it refers to {str(pid)[:100]}, not to a storage")
        return _Storage(storage_type, str(key), int(length))


def read_torch(path: Path) -> StoredArrays:
    """Returns the tensors of a PyTorch state dict.

    Args:
      path: A file of `torch.save(model.state_dict(), path)`, by PyTorch 1.6 or later.

    Raises:
      InputError: The file is damaged, contains more than tensors, or is in the older format.
    """
    check_size(path)
    if not zipfile.is_zipfile(path):
        raise unreadable(path, _LEGACY_REMEDY)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member for member in archive.infolist()}
            unpacked = sum(member.file_size for member in members.values())
            if unpacked > MAX_BYTES:
                raise unreadable(path, f"it takes {unpacked:,} bytes uncompressed")
            (index,) = (name for name in members if name.rpartition("/")[2] == "data.pkl")
            folder = index.removesuffix("data.pkl")
            order = f"{folder}byteorder"
            if order in members and archive.read(order) != b"little":
                raise unreadable(path, "its numbers are big-endian")
            state = _TorchUnpickler(archive.read(index), _ALLOWED).load()
    except (zipfile.BadZipFile, OSError, *PICKLE_DAMAGE) as error:
        raise unreadable(path, error) from error
    if not isinstance(state, dict) or not all(isinstance(v, _Tensor) for v in state.values()):
        raise unreadable(path, "it is not a state dict: {name: tensor}")
    arrays: StoredArrays = {}
    for name, tensor in state.items():
        storage, label = tensor.storage, str(name)[:100]
        member = f"{folder}data/{storage.key}"
        expected_bytes = storage.length * storage.dtype.itemsize
        if member not in members or members[member].file_size != expected_bytes:
            raise unreadable(path, f"the numbers of {label} are missing or incomplete")
        if tensor.last_index >= storage.length:
            raise unreadable(path, f"{label} is larger than its storage")
        arrays[str(name)] = StoredArray(
            tensor.shape, storage.dtype.name, functools.partial(_numbers, path, member, tensor)
        )
    return arrays


def _numbers(path: Path, member: str, tensor: _Tensor) -> np.ndarray:
    """Returns a tensor's numbers, in C order."""
    dtype = tensor.storage.dtype
    with zipfile.ZipFile(path) as archive:
        storage = np.frombuffer(archive.read(member), dtype)
    view = np.lib.stride_tricks.as_strided(
        storage[tensor.offset :],
        tensor.shape,
        tuple(step * dtype.itemsize for step in tensor.strides),
        writeable=False,
    )
    return view.copy()
