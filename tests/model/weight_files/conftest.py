import onnx
import pytest

from tests.model.weight_files.weight_files import (
    caffe_graph,
    caffe_name,
    small,
    torch_name,
    weights_of,
)


@pytest.fixture(scope="module")
def caffe_arrays():
    return weights_of(small("caffe"), caffe_name)


@pytest.fixture(scope="module")
def onnx_file(caffe_arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "bvlcalexnet.onnx"
    onnx.save(caffe_graph(caffe_arrays), path)
    return path


@pytest.fixture(scope="module")
def torch_arrays():
    arrays = weights_of(small("torchvision"), torch_name)
    arrays["features.0.weight"] *= 50  # torchvision's input is of size 1
    return arrays
