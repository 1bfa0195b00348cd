"""PyTorch's files, written by hand as torch.save writes them; torch is not needed."""

import pickle
import zipfile

import numpy as np
import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.model.weight_files.torch_file import read_torch
from tests.model.weight_files.weight_files import write_pth

ARRAYS = {
    "matrix": np.arange(12, dtype="float32").reshape(3, 4),
    "transposed": np.arange(12, dtype="float32").reshape(3, 4).T,
    "half": np.array([1.5, -2], "float16"),
    "double": np.array([[0.1]], "float64"),
    "count": np.array(7, "int64"),
    "empty": np.zeros((0, 3), "float32"),
}


def test_read_torch_returns_every_tensor_in_its_shape_and_type(tmp_path):
    # The storage of a transposed tensor is that of the original: bytes in memory order.
    stored = {name: array for name, array in ARRAYS.items() if name != "transposed"}
    entries = read_torch(write_pth(tmp_path / "m.pth", stored))
    assert entries.keys() == stored.keys()
    for name, array in stored.items():
        assert (entries[name].shape, entries[name].dtype) == (array.shape, array.dtype.name)
        np.testing.assert_array_equal(entries[name].read(), array, strict=True)


def test_read_torch_applies_strides(tmp_path):
    class Transposed(np.ndarray):
        """Claims the strides of the transposed array, and has the bytes of the original."""

        def tobytes(self, *_):
            return np.asarray(self).T.tobytes()

    view = ARRAYS["transposed"].view(Transposed)
    (entry,) = read_torch(write_pth(tmp_path / "m.pth", {"t": view})).values()
    np.testing.assert_array_equal(entry.read(), ARRAYS["transposed"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.replace(b"J\x0c\0\0\0t", b"J\x0d\0\0\0t"), "incomplete"),
        (
            lambda content: content.replace(b"(J\x03\0\0\0", b"(J\x04\0\0\0"),
            "larger than its storage",
        ),
        (lambda content: content.replace(b"(J\x03\0\0\0", b"(J\xff\xff\xff\xff"), "negative"),
        (lambda content: content.replace(b"FloatStorage", b"ByteStorage"), "ByteStorage"),
        (lambda content: content.replace(b"storage", b"storags"), "not to a storage"),
        (lambda _: pickle.dumps({"a": 1}), "not a state dict"),
        (lambda _: pickle.dumps([1]), "not a state dict"),
        (lambda _: b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
    ],
)
def test_read_torch_rejects_damaged_and_other_content(change, message, tmp_path):
    path = write_pth(tmp_path / "m.pth", {"a": ARRAYS["matrix"]})
    with zipfile.ZipFile(path) as archive:
        pickled = archive.read("archive/data.pkl")
    changed = change(pickled)
    assert changed != pickled
    write_pth(path, {"a": ARRAYS["matrix"]}, pickled=changed)
    with pytest.raises(InputError, match=message):
        read_torch(path)


def test_read_torch_names_the_conversion_of_the_old_format(tmp_path):
    (tmp_path / "old.pth").write_bytes(pickle.dumps(119547037146038801333356))
    with pytest.raises(InputError, match=r"old\.pth.*torch\.save\(torch\.load"):
        read_torch(tmp_path / "old.pth")


def test_reading_a_hostile_file_leaves_later_reads_correct(tmp_path):
    good = write_pth(tmp_path / "good.pth", {"a": ARRAYS["matrix"]})
    targets = (b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n")
    for target in (*targets, b"ccollections\nOrderedDict\n"):
        for state in (b"}S'__setstate__'\nNs", b"(N}S'__code__'\nNst", b"(N}S'dtype'\nNst"):
            write_pth(tmp_path / "bad.pth", {}, pickled=target + state + b"b.")
            with pytest.raises(InputError):
                read_torch(tmp_path / "bad.pth")
    np.testing.assert_array_equal(read_torch(good)["a"].read(), ARRAYS["matrix"])
