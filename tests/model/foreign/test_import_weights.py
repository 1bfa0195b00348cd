"""Weights from elsewhere: synthetic files of every format, each against an independent forward."""

import json

import keras
import numpy as np
import pytest
import safetensors.numpy
from onnx.reference import ReferenceEvaluator

from alexnet_tf import imagenet
from alexnet_tf.cli import main
from alexnet_tf.model.foreign.import_weights import CAFFE_MEAN, import_weights
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import load_model
from tests.model.foreign.weight_files import (
    CLASSES,
    NAMES,
    caffe_graph,
    caffe_layers,
    npy_of,
    python2_pickle,
    small,
    write_npy,
)


@pytest.fixture(scope="module")
def rgb():
    """float32 [2, n, n, 3], 0..255, of both networks' sizes when cut."""
    return np.random.default_rng(1).uniform(0, 255, (2, 99, 99, 3)).astype("float32")


def test_an_onnx_file_gives_caffes_answers_on_rgb(onnx_file, rgb):
    model = import_weights(onnx_file, recipe=small("caffe"), class_names=NAMES)
    bgr = rgb[..., ::-1] - np.array(CAFFE_MEAN[::-1], np.float32)
    evaluator = ReferenceEvaluator(str(onnx_file))
    # The evaluator's LRN takes the number of images for the number of maps: 16, then.
    many = np.tile(bgr.transpose(0, 3, 1, 2), (8, 1, 1, 1))
    expected = evaluator.run(None, {"data_0": many})[0][:2]
    assert 0.01 < expected.max() < 0.99
    np.testing.assert_allclose(model(rgb), expected, atol=1e-5)


@pytest.mark.parametrize("protocol", [2, 4])
def test_the_npy_dictionary_is_the_same_model(caffe_arrays, onnx_file, tmp_path, protocol):
    path = write_npy(tmp_path / "bvlc_alexnet.npy", caffe_layers(caffe_arrays), protocol)
    ours = import_weights(path, recipe=small("caffe"), class_names=NAMES).get_weights()
    theirs = import_weights(onnx_file, recipe=small("caffe"), class_names=NAMES).get_weights()
    for ours_one, theirs_one in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(ours_one, theirs_one)


def test_a_dictionary_pickled_by_python_2_is_read(caffe_arrays, tmp_path):
    layers = caffe_layers(caffe_arrays)
    (tmp_path / "m.npy").write_bytes(npy_of(python2_pickle(layers)))
    model = import_weights(tmp_path / "m.npy", recipe=small("caffe"), class_names=NAMES)
    np.testing.assert_array_equal(model.get_layer("conv4").kernel.numpy(), layers["conv4"][0])
    np.testing.assert_array_equal(model.get_layer("fc8").bias.numpy(), layers["fc8"][1])


def torch_model(torch, arrays):
    """Torchvision's alexnet, written down anew, with few maps."""
    nn = torch.nn
    shape = {name: array.shape for name, array in arrays.items()}

    def conv(name, stride=1, padding=0):
        out, into, size, _ = shape[f"{name}.weight"]
        return nn.Conv2d(into, out, size, stride, padding)

    def linear(name):
        return nn.Linear(*shape[f"{name}.weight"][::-1])

    model = nn.Module()
    model.features = nn.Sequential(
        *(conv("features.0", 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(conv("features.3", padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(conv("features.6", padding=1), nn.ReLU()),
        *(conv("features.8", padding=1), nn.ReLU()),
        *(conv("features.10", padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )
    model.classifier = nn.Sequential(
        *(nn.Dropout(), linear("classifier.1"), nn.ReLU()),
        *(nn.Dropout(), linear("classifier.4"), nn.ReLU(), linear("classifier.6")),
    )
    model.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
    return model.eval()


def test_a_pth_file_gives_torchvisions_answers(torch_arrays, rgb, tmp_path):
    torch = pytest.importorskip("torch")
    theirs = torch_model(torch, torch_arrays)
    torch.save(theirs.state_dict(), tmp_path / "alexnet.pth")
    model = import_weights(tmp_path / "alexnet.pth", recipe=small("torchvision"), class_names=NAMES)
    image = torch.tensor(rgb[:, :98, :98].transpose(0, 3, 1, 2)) / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    with torch.no_grad():
        features = theirs.features((image - mean) / std).flatten(1)
        expected = theirs.classifier(features).softmax(1).numpy()
    assert 0.01 < expected.max() < 0.999
    np.testing.assert_allclose(model(rgb[:, :98, :98]), expected, atol=1e-5)


def test_safetensors_land_where_pytorch_has_them(torch_arrays, tmp_path):
    safetensors.numpy.save_file(torch_arrays, tmp_path / "alexnet.safetensors")
    model = import_weights(
        tmp_path / "alexnet.safetensors", recipe=small("torchvision"), class_names=NAMES
    )
    conv2 = torch_arrays["features.3.weight"]
    np.testing.assert_array_equal(
        model.get_layer("conv2").kernel.numpy()[1, 2, 3], conv2[:, 3, 1, 2]
    )
    fc6 = torch_arrays["classifier.1.weight"]
    maps = conv2.shape  # of conv5: 6 maps of 2 x 2 are flattened map by map there, here last
    side = round((fc6.shape[1] / 6) ** 0.5)
    y, x, channel = 1, 0, 4
    np.testing.assert_array_equal(
        model.get_layer("fc6").kernel.numpy()[(y * side + x) * 6 + channel],
        fc6[:, (channel * side + y) * side + x],
    )
    assert side == 2 and len(maps) == 4


def test_keras_weights_bring_their_mean(tmp_path):
    recipe = small("caffe")
    mean = np.random.default_rng(0).uniform(90, 130, (99, 99, 3))
    model = build_model(recipe, classes=CLASSES, seed=5, mean=mean)
    model.save_weights(tmp_path / "m.weights.h5")
    again = import_weights(tmp_path / "m.weights.h5", recipe=recipe)
    image = np.full((1, 99, 99, 3), 100, np.float32)
    np.testing.assert_array_equal(again(image), model(image))
    np.testing.assert_allclose(again.get_layer("mean").mean, mean, rtol=1e-6)


def ran(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(["import-weights", *map(str, arguments)])
    return (left.value.code, *capsys.readouterr())


def test_the_command_writes_a_model_that_works_as_any_other(
    onnx_file, tmp_path, capsys, monkeypatch
):
    import alexnet_tf.model.foreign.import_weights as module

    monkeypatch.setattr(module, "get_recipe", small)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("\n".join(NAMES), encoding="utf-8-sig")  # as Excel does
    code, out, err = ran([onnx_file, "--labels", "names.txt"], capsys)
    assert (code, err) == (0, "")
    assert f"{CLASSES} classes" in out
    model = load_model("bvlcalexnet.keras")
    assert isinstance(model, keras.Model) and model.layers[-1].class_names == NAMES
    code, _, err = ran([onnx_file, "--labels", "names.txt", "--out", "m.h5"], capsys)
    assert code == 2 and "--out" in err
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    code, _, err = ran([onnx_file, "--labels", "names.txt"], capsys)
    assert code == 2 and "2 class names for 7" in err
    (tmp_path / "names.txt").write_text("one\none\n")
    assert ran([onnx_file, "--labels", "names.txt"], capsys)[0] == 2
    assert ran(["missing.npy"], capsys)[0] == 2
    (tmp_path / "weights.bin").write_bytes(b"")
    assert ".safetensors" in ran(["weights.bin"], capsys)[2]


def test_a_thousand_classes_are_imagenets(torch_arrays, tmp_path):
    arrays = {
        **torch_arrays,
        "classifier.6.weight": np.zeros((1000, 20), "float32"),
        "classifier.6.bias": np.zeros(1000, "float32"),
    }
    safetensors.numpy.save_file(arrays, tmp_path / "m.safetensors")
    model = import_weights(tmp_path / "m.safetensors", recipe=small("torchvision"))
    assert tuple(model.layers[-1].class_names) == imagenet.class_names()
    assert json.dumps(model.layers[-1].class_names[:1]) == '["tench"]'


def test_of_an_onnx_file_only_the_constants_are_asked_for(caffe_arrays, tmp_path):
    graph = caffe_graph(caffe_arrays)
    (gemm,) = [node for node in graph.graph.node if "fc7_w_0" in node.input]
    del gemm.input[1:]
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    model = import_weights(tmp_path / "m.onnx", recipe=small("caffe"))
    np.testing.assert_array_equal(model.get_layer("fc7").kernel, caffe_arrays["fc7_w_0"].T)
