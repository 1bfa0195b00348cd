"""Caffe's own files, encoded by hand after caffe.proto."""

import h5py
import numpy as np
import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.model.weight_files.caffemodel import read_caffemodel
from alexnet_tf.model.weight_files.import_weights import import_weights
from tests.model.weight_files.weight_files import (
    NAMES,
    blob,
    caffe_layers,
    field,
    small,
    write_caffemodel,
    write_keras_h5,
    write_npy,
)


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_caffemodel_gives_the_same_model_as_its_onnx_conversion(
    version, caffe_arrays, onnx_file, tmp_path
):
    path = write_caffemodel(tmp_path / "bvlc_alexnet.caffemodel", caffe_arrays, version)
    ours = import_weights(path, recipe=small("caffe"), class_names=NAMES).get_weights()
    theirs = import_weights(onnx_file, recipe=small("caffe"), class_names=NAMES).get_weights()
    for ours_one, theirs_one in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(ours_one, theirs_one)


def test_caffemodel_may_hold_double_precision(tmp_path):
    array = np.array([[0.1, 0.2, 0.3]])
    layer = field(1, b"fc6") + field(7, blob(array))
    (tmp_path / "m.caffemodel").write_bytes(field(100, layer))
    entry = read_caffemodel(tmp_path / "m.caffemodel")["fc6/0"]
    assert (entry.shape, entry.dtype) == ((1, 3), "float64")
    np.testing.assert_array_equal(entry.read(), array)


def layer_with_blob(content):
    """A network of one layer with one BlobProto."""
    return field(100, field(1, b"conv1") + field(7, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no layers with weights"),
        (b"not a protobuf message", "cannot be read"),
        (field(2, field(4, b"conv1")), "no layers with weights"),
        (
            field(
                100, field(1, b"conv1") + field(7, field(7, field(1, b"\x09")) + field(5, b"1234"))
            ),
            r"conv1/0 has 4 bytes for an array of shape \(9,\)",
        ),
        (
            layer_with_blob(field(7, field(1, b"\0")) + field(5, b"")),
            r"conv1/0 has 0 bytes",
        ),
    ],
)
def test_damaged_caffemodel_is_rejected(content, message, tmp_path):
    (tmp_path / "m.caffemodel").write_bytes(content)
    with pytest.raises(InputError, match=rf"m\.caffemodel.*{message}"):
        read_caffemodel(tmp_path / "m.caffemodel")


def test_caffenet_is_rejected(caffe_arrays, tmp_path):
    order = ("data", "conv1", "relu1", "pool1", "norm1", "conv2", "pool2", "norm2")
    path = write_caffemodel(tmp_path / "caffenet.caffemodel", caffe_arrays, layers=order)
    with pytest.raises(InputError, match="CaffeNet"):
        read_caffemodel(path)


@pytest.mark.parametrize("group", [None, "model_weights"])
def test_h5_of_keras_2_is_read_by_the_order_of_its_layers(group, caffe_arrays, tmp_path):
    layers = caffe_layers(caffe_arrays)
    names = ["conv2d", *(f"conv2d_{n}" for n in range(1, 5)), "dense", "dense_1", "dense_2"]
    renamed = dict(zip(names, layers.values(), strict=True))
    path = write_keras_h5(tmp_path / "m.h5", renamed, group)
    npy = write_npy(tmp_path / "m.npy", layers)
    ours = import_weights(path, recipe=small("caffe"), class_names=NAMES).get_weights()
    theirs = import_weights(npy, recipe=small("caffe"), class_names=NAMES).get_weights()
    assert len(ours) == len(theirs)
    for ours_one, theirs_one in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(ours_one, theirs_one)


def test_h5_with_other_shapes_is_rejected(caffe_arrays, tmp_path):
    layers = caffe_layers(caffe_arrays)
    layers["conv3"][0] = layers["conv3"][0][:, :, :, :5]
    path = write_keras_h5(tmp_path / "m.h5", layers)
    with pytest.raises(InputError, match=r"m\.h5: conv3/0 is"):
        import_weights(path, recipe=small("caffe"), class_names=NAMES)


def test_h5_with_a_link_to_another_file_is_rejected(tmp_path):
    path = write_keras_h5(tmp_path / "m.h5", {"conv1": [np.zeros((3, 3, 3, 8)), np.zeros(8)]})
    with h5py.File(path, "a") as file:
        del file["conv1"]["conv1"]["bias:0"]
        file["conv1"]["conv1"]["bias:0"] = h5py.ExternalLink("/etc/other.h5", "/secret")
    with pytest.raises(InputError, match="is a link"):
        import_weights(path, recipe=small("caffe"), class_names=NAMES)
