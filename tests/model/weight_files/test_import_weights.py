"""Synthetic weight files of every format, each against an independent forward pass."""

import json
from collections import OrderedDict

import keras
import numpy as np
import pytest
import safetensors.numpy
from command_line import run_command
from onnx.reference import ReferenceEvaluator

from alexnet_tf import imagenet
from alexnet_tf.errors import InputError
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import load_model
from alexnet_tf.model.weight_files.import_weights import CAFFE_MEAN, import_weights
from alexnet_tf.model.weight_files.npy_file import read_npy
from tests.model.weight_files.weight_files import (
    CLASSES,
    NAMES,
    caffe_graph,
    caffe_layers,
    npy_of,
    python2_pickle,
    small,
    write_npy,
    write_pth,
)


@pytest.fixture(scope="module")
def rgb():
    """float32 [2, n, n, 3], 0..255, of both networks' sizes when cut."""
    return np.random.default_rng(1).uniform(0, 255, (2, 99, 99, 3)).astype("float32")


def test_onnx_file_predicts_like_caffe_on_rgb(onnx_file, rgb):
    model = import_weights(onnx_file, recipe=small("caffe"), class_names=NAMES)
    bgr = rgb[..., ::-1] - np.array(CAFFE_MEAN[::-1], np.float32)
    evaluator = ReferenceEvaluator(str(onnx_file))
    # The evaluator's LRN uses the number of images as the number of channels, which is 16.
    many = np.tile(bgr.transpose(0, 3, 1, 2), (8, 1, 1, 1))
    expected = evaluator.run(None, {"data_0": many})[0][:2]
    assert 0.01 < expected.max() < 0.99
    np.testing.assert_allclose(model(rgb), expected, atol=1e-5)


def forms(layers):
    """The forms in which people keep {layer: weights and biases}."""
    return {
        "lists": layers,
        "tuples": {name: tuple(arrays) for name, arrays in layers.items()},
        "bytes": {name.encode(): arrays for name, arrays in layers.items()},
        "weights": {name: {"weights": w, "biases": b} for name, (w, b) in layers.items()},
        "W": {name: {"W": w, "b": b} for name, (w, b) in layers.items()},
        "bytes in bytes": {
            n.encode(): {b"weights": w, b"biases": b} for n, (w, b) in layers.items()
        },
        "ordered": OrderedDict(
            (n, OrderedDict(biases=b, weights=w)) for n, (w, b) in layers.items()
        ),
        "columns first": {n: [np.asfortranarray(w), b] for n, (w, b) in layers.items()},
        "big-endian": {n: [w.astype(">f4"), b.astype(">f4")] for n, (w, b) in layers.items()},
        "object arrays": {n: pair(w, b) for n, (w, b) in layers.items()},
    }


def pair(weights, biases):
    """An array of two arrays, as numpy.array makes of a list whose shapes differ."""
    array = np.empty(2, dtype=object)
    array[:] = [weights, biases]
    return array


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", forms({}))
def test_npy_forms_in_every_protocol_hold_the_same_arrays(caffe_arrays, tmp_path, form, protocol):
    layers = caffe_layers(caffe_arrays)
    entries = read_npy(write_npy(tmp_path / "m.npy", forms(layers)[form], protocol))
    assert entries.keys() == {f"{name}/{number}" for name in layers for number in (0, 1)}
    for name, arrays in layers.items():
        for number, array in enumerate(arrays):
            entry = entries[f"{name}/{number}"]
            assert (entry.shape, entry.dtype) == (array.shape, "float32")
            np.testing.assert_array_equal(entry.read(), array)


def test_npy_dictionary_gives_the_same_model_as_onnx(caffe_arrays, onnx_file, tmp_path):
    path = write_npy(tmp_path / "bvlc_alexnet.npy", caffe_layers(caffe_arrays))
    ours = import_weights(path, recipe=small("caffe"), class_names=NAMES).get_weights()
    theirs = import_weights(onnx_file, recipe=small("caffe"), class_names=NAMES).get_weights()
    for ours_one, theirs_one in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(ours_one, theirs_one)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
@pytest.mark.parametrize("kind", ["npy", "onnx", "safetensors", "pth"])
def test_other_floats_are_converted_and_reported(kind, dtype, caffe_arrays, torch_arrays, tmp_path):
    path, lines = tmp_path / f"m.{kind}", []
    caffe = {name: array.astype(dtype) for name, array in caffe_arrays.items()}
    torchs = {name: array.astype(dtype) for name, array in torch_arrays.items()}
    if kind == "npy":
        layers = caffe_layers(caffe_arrays)
        layers["conv2"][0] = layers["conv2"][0].astype(dtype)
        write_npy(path, layers)
    elif kind == "onnx":
        path.write_bytes(caffe_graph(caffe).SerializeToString())
    elif kind == "safetensors":
        safetensors.numpy.save_file(torchs, path)
    else:
        write_pth(path, torchs)
    recipe = small("caffe" if kind in ("npy", "onnx") else "torchvision")
    model = import_weights(path, recipe=recipe, class_names=NAMES, on_message=lines.append)
    (line,) = lines
    assert f"converted from {dtype} to float32" in line and str(path) in line
    assert ("conv2/0" in line and "conv1" not in line) or kind != "npy"
    name = {"npy": "conv2_w_0", "onnx": "conv2_w_0"}.get(kind, "features.3.weight")
    original = (caffe_arrays | torch_arrays)[name].astype(dtype).astype("float32")
    kernel = model.get_layer("conv2").kernel.numpy()
    np.testing.assert_array_equal(kernel, original.transpose(2, 3, 1, 0))


def test_float64_beyond_float32_is_rejected(caffe_arrays, tmp_path):
    layers = caffe_layers(caffe_arrays)
    layers["fc7"][1] = layers["fc7"][1].astype("float64") + 1e300
    with pytest.raises(InputError, match="fc7/1 has NaN or infinite"):
        import_weights(write_npy(tmp_path / "m.npy", layers), recipe=small("caffe"))


@pytest.mark.parametrize("kind", ["npy", "weights.h5", "onnx"])
def test_fc6_order_reorders_the_flattened_inputs(kind, caffe_arrays, tmp_path):
    layers, path = caffe_layers(caffe_arrays), tmp_path / f"m.{kind}"
    hwc, recipe = layers["fc6"][0], small("caffe")
    side = round((len(hwc) / 8) ** 0.5)  # of conv5's 8 channels
    chw = hwc.reshape(side, side, 8, -1).transpose(2, 0, 1, 3).reshape(hwc.shape)
    stored, order = (chw, "chw") if kind != "onnx" else (hwc, "hwc")
    if kind == "npy":
        write_npy(path, {**layers, "fc6": [stored, layers["fc6"][1]]})
    elif kind == "onnx":
        arrays = {**caffe_arrays, "fc6_w_0": np.ascontiguousarray(stored.T)}
        path.write_bytes(caffe_graph(arrays).SerializeToString())
    else:
        model = build_model(recipe, classes=CLASSES)
        model.get_layer("fc6").kernel.assign(stored)
        model.save_weights(path)
    model = import_weights(path, recipe=recipe, class_names=NAMES, fc6_order=order)
    np.testing.assert_array_equal(model.get_layer("fc6").kernel, hwc)
    default = import_weights(path, recipe=recipe, class_names=NAMES)
    assert not np.array_equal(default.get_layer("fc6").kernel, hwc)


def test_unknown_fc6_order_is_rejected(tmp_path):
    with pytest.raises(InputError, match="--fc6-order 'cwh': choose one of chw, hwc"):
        import_weights(tmp_path / "m.npy", fc6_order="cwh")


def test_npy_pickled_by_python_2_is_read(caffe_arrays, tmp_path):
    layers = caffe_layers(caffe_arrays)
    (tmp_path / "m.npy").write_bytes(npy_of(python2_pickle(layers)))
    model = import_weights(tmp_path / "m.npy", recipe=small("caffe"), class_names=NAMES)
    np.testing.assert_array_equal(model.get_layer("conv4").kernel.numpy(), layers["conv4"][0])
    np.testing.assert_array_equal(model.get_layer("fc8").bias.numpy(), layers["fc8"][1])


def torch_model(torch, arrays):
    """Torchvision's alexnet with few channels."""
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


def test_pth_file_predicts_like_torchvision(torch_arrays, rgb, tmp_path):
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


def test_safetensors_are_assigned_as_in_pytorch(torch_arrays, tmp_path):
    safetensors.numpy.save_file(torch_arrays, tmp_path / "alexnet.safetensors")
    model = import_weights(
        tmp_path / "alexnet.safetensors", recipe=small("torchvision"), class_names=NAMES
    )
    conv2 = torch_arrays["features.3.weight"]
    np.testing.assert_array_equal(
        model.get_layer("conv2").kernel.numpy()[1, 2, 3], conv2[:, 3, 1, 2]
    )
    fc6 = torch_arrays["classifier.1.weight"]
    # conv5 has 6 channels of 2 x 2, flattened channels first in PyTorch and channels last here.
    side = round((fc6.shape[1] / 6) ** 0.5)
    y, x, channel = 1, 0, 4
    np.testing.assert_array_equal(
        model.get_layer("fc6").kernel.numpy()[(y * side + x) * 6 + channel],
        fc6[:, (channel * side + y) * side + x],
    )
    assert side == 2


def test_keras_weights_contain_the_mean(tmp_path):
    recipe = small("caffe")
    mean = np.random.default_rng(0).uniform(90, 130, (99, 99, 3))
    model = build_model(recipe, classes=CLASSES, seed=5, mean=mean)
    model.save_weights(tmp_path / "m.weights.h5")
    again = import_weights(tmp_path / "m.weights.h5", recipe=recipe)
    image = np.full((1, 99, 99, 3), 100, np.float32)
    np.testing.assert_array_equal(again(image), model(image))
    np.testing.assert_allclose(again.get_layer("mean").mean, mean, rtol=1e-6)


def run(arguments, capsys):
    return run_command(["import-weights", *arguments], capsys)


def test_import_weights_command_writes_a_loadable_model(onnx_file, tmp_path, capsys, monkeypatch):
    import alexnet_tf.model.weight_files.import_weights as module

    monkeypatch.setattr(module, "get_recipe", small)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("\n".join(NAMES), encoding="utf-8-sig")  # as Excel does
    code, out, err = run([onnx_file, "--labels", "names.txt"], capsys)
    assert (code, err) == (0, "")
    assert f"{CLASSES} classes" in out
    model = load_model("bvlcalexnet.keras")
    assert isinstance(model, keras.Model) and model.layers[-1].class_names == NAMES
    code, _, err = run([onnx_file, "--labels", "names.txt", "--out", "m.h5"], capsys)
    assert code == 2 and "--out" in err
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    code, _, err = run([onnx_file, "--labels", "names.txt"], capsys)
    assert code == 2 and "2 class names for 7" in err
    (tmp_path / "names.txt").write_text("one\none\n")
    assert run([onnx_file, "--labels", "names.txt"], capsys)[0] == 2
    assert run(["missing.npy"], capsys)[0] == 2
    (tmp_path / "weights.dat").write_bytes(b"")
    assert ".safetensors" in run(["weights.dat"], capsys)[2]


def test_1000_classes_get_imagenet_names(torch_arrays, tmp_path):
    arrays = {
        **torch_arrays,
        "classifier.6.weight": np.zeros((1000, 20), "float32"),
        "classifier.6.bias": np.zeros(1000, "float32"),
    }
    safetensors.numpy.save_file(arrays, tmp_path / "m.safetensors")
    model = import_weights(tmp_path / "m.safetensors", recipe=small("torchvision"))
    assert tuple(model.layers[-1].class_names) == imagenet.class_names()
    assert json.dumps(model.layers[-1].class_names[:1]) == '["tench"]'


def test_onnx_graph_without_weight_inputs_is_read(caffe_arrays, tmp_path):
    graph = caffe_graph(caffe_arrays)
    (gemm,) = [node for node in graph.graph.node if "fc7_w_0" in node.input]
    del gemm.input[1:]
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    model = import_weights(tmp_path / "m.onnx", recipe=small("caffe"))
    np.testing.assert_array_equal(model.get_layer("fc7").kernel, caffe_arrays["fc7_w_0"].T)
