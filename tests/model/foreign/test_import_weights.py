"""Weights from elsewhere: synthetic files of every format, each against an independent forward."""

import io
import json
import os
import pickle

import keras
import numpy as np
import onnx
import pytest
import safetensors.numpy
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from alexnet_tf import imagenet
from alexnet_tf.cli import main
from alexnet_tf.errors import InputError
from alexnet_tf.model.foreign.import_weights import CAFFE_MEAN, import_weights
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import load_model
from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import Convolution

CLASSES = 7
NAMES = [f"class {i}" for i in range(CLASSES)]


def small(name):
    """BVLC's or torchvision's network with few maps, its order of things untouched."""
    recipe = get_recipe(name)
    maps = {"caffe": (16, 16, 12, 12, 8), "torchvision": (6, 8, 10, 6, 6)}[name]
    convolutions = tuple(
        Convolution(m, c.kernel_size, c.strides, c.padding, c.groups, c.then)
        for m, c in zip(maps, recipe.network.convolutions, strict=True)
    )
    network = recipe.network.replace(
        convolutions=convolutions, hidden_units=(24, 20), input_size=99 if name == "caffe" else 98
    )
    return recipe.replace(network=network)


def layer_shapes(recipe):
    """(layer, shape with outputs first) of every kernel, from a model of that network."""
    for layer in build_model(recipe, classes=CLASSES).layers:
        if layer.name.startswith(("conv", "fc")):
            shape = layer.kernel.shape
            turned = (3, 2, 0, 1) if len(shape) == 4 else (1, 0)
            yield layer.name, tuple(int(shape[i]) for i in turned)


def weights_of(recipe, name_of):
    """Random arrays by the names of a file: kernels outputs first, as Caffe and PyTorch do."""
    random = np.random.default_rng(0)
    arrays = {}
    for layer, shape in layer_shapes(recipe):
        scale = np.sqrt(2 / np.prod(shape[1:]))
        arrays[name_of(layer, 0)] = random.normal(0, scale, shape).astype("float32")
        arrays[name_of(layer, 1)] = random.normal(0, 0.1, shape[:1]).astype("float32")
    # Pixels are of size 100, and not all classes shall be 0 or 1.
    first = name_of("conv1", 0)
    arrays[first] = arrays[first] / 50
    arrays[name_of("fc8", 0)] *= 0.3
    return arrays


def caffe_name(layer, number):
    return f"{layer}_{'wb'[number]}_0"


def caffe_graph(arrays):
    """BVLC AlexNet as an ONNX graph, with Caffe's LRN and its names: an independent forward."""
    nodes, place = [], "data_0"

    def add(kind, *more, **attributes):
        nonlocal place
        output = f"{kind}_{len(nodes)}"
        nodes.append(helper.make_node(kind, [place, *more], [output], **attributes))
        place = output

    geometry = {
        1: (11, 4, 0, 1),
        2: (5, 1, 2, 2),
        3: (3, 1, 1, 1),
        4: (3, 1, 1, 2),
        5: (3, 1, 1, 2),
    }
    for number, (size, stride, pad, groups) in geometry.items():
        add(
            "Conv",
            f"conv{number}_w_0",
            f"conv{number}_b_0",
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[pad] * 4,
            group=groups,
        )
        add("Relu")
        if number in (1, 2):
            add("LRN", size=5, alpha=1e-4, beta=0.75, bias=1.0)
        if number in (1, 2, 5):
            add("MaxPool", kernel_shape=[3, 3], strides=[2, 2])
    add("Flatten", axis=1)
    for number in (6, 7, 8):
        add("Gemm", f"fc{number}_w_0", f"fc{number}_b_0", transB=1)
        if number < 8:
            add("Relu")
    add("Softmax", axis=1)
    size = small("caffe").network.input_size
    graph = helper.make_graph(
        nodes,
        "bvlc_alexnet",
        [helper.make_tensor_value_info("data_0", TensorProto.FLOAT, [None, 3, size, size])],
        [helper.make_tensor_value_info(place, TensorProto.FLOAT, [None, CLASSES])],
        [
            *(numpy_helper.from_array(array, name) for name, array in arrays.items()),
            # The model zoo's file has such a constant too, which is no weight.
            numpy_helper.from_array(np.array([1, 9216]), "OC2_DUMMY_1"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


@pytest.fixture(scope="module")
def caffe_arrays():
    return weights_of(small("caffe"), caffe_name)


@pytest.fixture(scope="module")
def onnx_file(caffe_arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "bvlcalexnet.onnx"
    onnx.save(caffe_graph(caffe_arrays), path)
    return path


@pytest.fixture(scope="module")
def rgb():
    """float32 [2, n, n, 3], 0..255, of both networks' sizes when cut."""
    return np.random.default_rng(1).uniform(0, 255, (2, 99, 99, 3)).astype("float32")


def caffe_layers(arrays):
    """The dictionary of the .npy file: kernels as Keras has them, maps last."""
    layers = {}
    for layer, shape in layer_shapes(small("caffe")):
        kernel = arrays[caffe_name(layer, 0)]
        if layer == "fc6":
            side = round((shape[1] / 8) ** 0.5)
            kernel = kernel.reshape(-1, 8, side, side).transpose(2, 3, 1, 0).reshape(-1, shape[0])
        else:
            kernel = kernel.transpose(2, 3, 1, 0) if len(shape) == 4 else kernel.T
        layers[layer] = [np.ascontiguousarray(kernel), arrays[caffe_name(layer, 1)]]
    return layers


def write_npy(path, value, protocol=2):
    """What np.save did when the well-known file was made: a pickle of an array of one object."""
    with path.open("wb") as file:
        array = np.array(value, dtype=object)
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        pickle.dump(array, file, protocol=protocol)
    return path


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


def python2_pickle(value):
    """Such a dictionary's bytes as Python 2 wrote them: strings of bytes, protocol 2."""
    out = io.BytesIO()

    def put(*parts):
        for part in parts:
            out.write(part)

    def text(content):
        put(b"T", len(content).to_bytes(4, "little"), content)

    def number(n):
        put(b"J", n.to_bytes(4, "little", signed=True))

    def array(a):
        put(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(")
        number(0)
        put(b"t")
        text(b"b")
        put(b"tR(")
        number(1)
        put(b"(")
        for side in a.shape:
            number(side)
        put(b"tcnumpy\ndtype\n(")
        text(b"f4")
        number(0)
        number(1)
        put(b"tR(")
        number(3)
        text(b"<")
        put(b"NNN")
        number(-1)
        number(-1)
        number(0)
        put(b"tb\x89")
        text(np.ascontiguousarray(a).tobytes())
        put(b"tb")

    put(b"\x80\x02}(")
    for layer, arrays in value.items():
        text(layer.encode())
        put(b"](")
        for a in arrays:
            array(a)
        put(b"e")
    put(b"u.")
    return out.getvalue()


def npy_of(pickled):
    """An .npy file around a pickle."""
    file = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + pickled


def test_a_dictionary_pickled_by_python_2_is_read(caffe_arrays, tmp_path):
    layers = caffe_layers(caffe_arrays)
    (tmp_path / "m.npy").write_bytes(npy_of(python2_pickle(layers)))
    model = import_weights(tmp_path / "m.npy", recipe=small("caffe"), class_names=NAMES)
    np.testing.assert_array_equal(model.get_layer("conv4").kernel.numpy(), layers["conv4"][0])
    np.testing.assert_array_equal(model.get_layer("fc8").bias.numpy(), layers["fc8"][1])


TORCH_NAMES = {
    **{f"conv{i}": f"features.{n}" for i, n in enumerate((0, 3, 6, 8, 10), 1)},
    **{f"fc{i}": f"classifier.{n}" for i, n in ((6, 1), (7, 4), (8, 6))},
}


def torch_name(layer, number):
    return f"{TORCH_NAMES[layer]}.{('weight', 'bias')[number]}"


@pytest.fixture(scope="module")
def torch_arrays():
    arrays = weights_of(small("torchvision"), torch_name)
    arrays["features.0.weight"] *= 50  # torchvision's input is of size 1
    return arrays


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


def changed(arrays, name, change):
    return {**arrays, name: change(arrays[name])}


CORRUPTIONS = [
    (lambda a: {k: v for k, v in a.items() if k != "conv4_b_0"}, "conv4_b_0"),
    (lambda a: changed(a, "conv3_w_0", lambda w: w.transpose(2, 3, 1, 0).copy()), "conv3_w_0"),
    (lambda a: changed(a, "fc6_w_0", lambda w: w.T.copy()), "fc6_w_0"),
    (lambda a: changed(a, "fc7_w_0", lambda w: w.astype("float64")), "fc7_w_0.*float64"),
    (lambda a: changed(a, "fc8_b_0", lambda w: w[:1]), "fc8_b_0"),
    (lambda a: changed(a, "conv1_w_0", lambda w: np.where(w > 0, w, np.nan)), "conv1_w_0.*finite"),
]


@pytest.mark.parametrize(("corrupt", "message"), CORRUPTIONS)
def test_a_corrupt_onnx_file_is_refused_by_name(caffe_arrays, tmp_path, corrupt, message):
    onnx.save(caffe_graph(corrupt(caffe_arrays)), tmp_path / "m.onnx")
    with pytest.raises(InputError, match=rf"m\.onnx: .*{message}"):
        import_weights(tmp_path / "m.onnx", recipe=small("caffe"), class_names=NAMES)


def test_a_dense_layer_stored_the_other_way_round_is_refused(caffe_arrays, tmp_path):
    model = caffe_graph(caffe_arrays)
    (gemm,) = [node for node in model.graph.node if "fc7_w_0" in node.input]
    del gemm.attribute[:]
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(InputError, match="fc7_w_0"):
        import_weights(tmp_path / "m.onnx", recipe=small("caffe"))


@pytest.mark.parametrize("damage", ["type", "inputs"])
def test_an_onnx_graph_that_makes_no_sense_is_refused_by_name(damage, caffe_arrays, tmp_path):
    model = caffe_graph(caffe_arrays)
    if damage == "type":
        model.graph.initializer[0].data_type = 99
    else:
        (gemm,) = [node for node in model.graph.node if "fc7_w_0" in node.input]
        del gemm.input[1:]
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    if damage == "type":
        with pytest.raises(InputError, match=r"m\.onnx.*99"):
            import_weights(tmp_path / "m.onnx", recipe=small("caffe"))
    else:  # only the constants are asked for
        import_weights(tmp_path / "m.onnx", recipe=small("caffe"))


def test_a_network_with_batch_normalization_has_no_such_weights(tmp_path):
    for ending in ("onnx", "npy", "pth", "safetensors"):
        with pytest.raises(InputError, match=rf"m\.{ending}: .*cifar10-best"):
            import_weights(tmp_path / f"m.{ending}", recipe="cifar10-best")


def test_weights_in_other_files_are_not_followed(caffe_arrays, tmp_path):
    onnx.save(
        caffe_graph(caffe_arrays),
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="elsewhere",
        size_threshold=100,
    )
    with pytest.raises(InputError, match="another file"):
        import_weights(tmp_path / "m.onnx", recipe=small("caffe"))


def write_all(folder, caffe_arrays, torch_arrays):
    """A good file of every format by its ending, with the recipe it is read by."""
    write_npy(folder / "m.npy", caffe_layers(caffe_arrays))
    onnx.save(caffe_graph(caffe_arrays), folder / "m.onnx")
    safetensors.numpy.save_file(torch_arrays, folder / "m.safetensors")
    build_model(small("caffe"), classes=CLASSES).save_weights(folder / "m.weights.h5")
    return {"npy": "caffe", "onnx": "caffe", "safetensors": "torchvision", "weights.h5": "caffe"}


def test_truncated_and_foreign_files_are_refused_by_name(caffe_arrays, torch_arrays, tmp_path):
    formats = write_all(tmp_path, caffe_arrays, torch_arrays)
    for ending, recipe in {**formats, "pth": "torchvision"}.items():
        path = tmp_path / f"m.{ending}"
        if ending == "pth":
            torch = pytest.importorskip("torch")
            torch.save({k: torch.tensor(v) for k, v in torch_arrays.items()}, path)
        content = path.read_bytes()
        for damaged in (content[: len(content) // 2], content[:20], b"", b"something else" * 99):
            path.write_bytes(damaged)
            with pytest.raises(InputError, match=rf"m\.{ending}"):
                import_weights(path, recipe=small(recipe), class_names=NAMES)


def test_arrays_that_no_alexnet_has_are_refused(torch_arrays, tmp_path):
    more = {**torch_arrays, "features.12.weight": np.zeros(3, "float32")}
    safetensors.numpy.save_file(more, tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=r"features\.12\.weight"):
        import_weights(tmp_path / "m.safetensors", recipe=small("torchvision"))


class Malicious:
    """Runs a command when unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_npy_is_refused_and_nothing_is_run(caffe_arrays, tmp_path, protocol):
    mark = tmp_path / "ran"
    layers = {**caffe_layers(caffe_arrays), "conv1": [Malicious(mark), Malicious(mark)]}
    path = write_npy(tmp_path / "m.npy", layers, protocol)
    with pytest.raises(InputError, match=r"m\.npy.*(mkdir|instruction)"):
        import_weights(path, recipe=small("caffe"))
    assert not mark.exists()


def test_a_malicious_pth_is_refused_and_nothing_is_run(tmp_path):
    torch = pytest.importorskip("torch")
    mark = tmp_path / "ran"
    torch.save({"features.0.weight": Malicious(mark)}, tmp_path / "m.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Malicious(mark)))
    for name in ("m.pth", "old.pth"):
        with pytest.raises(InputError, match=name):
            import_weights(tmp_path / name)
    assert not mark.exists()


def test_sizes_that_a_file_only_claims_take_no_memory(caffe_arrays, tmp_path):
    layers = caffe_layers(caffe_arrays)
    pickled = python2_pickle(layers)
    shape = b"".join(b"J" + n.to_bytes(4, "little") for n in layers["conv1"][0].shape)
    huge = b"J" + (2**31 - 1).to_bytes(4, "little")
    assert pickled.count(b"(" + shape + b"t") == 1
    claimed = pickled.replace(b"(" + shape + b"t", b"(" + huge * 4 + b"t")
    (tmp_path / "m.npy").write_bytes(npy_of(claimed))
    with pytest.raises(InputError, match=r"conv1/0 is \(2147483647"):
        import_weights(tmp_path / "m.npy", recipe=small("caffe"))
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(InputError, match=r"large\.onnx"):
        import_weights(tmp_path / "large.onnx")


def test_a_weights_file_that_points_elsewhere_is_refused(tmp_path):
    import h5py

    build_model(small("caffe"), classes=CLASSES).save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5", "a") as file:
        variables = file["layers/dense/vars"]
        del variables["1"]
        variables["1"] = h5py.ExternalLink("/etc/passwd", "/x")
    with pytest.raises(InputError, match="another place"):
        import_weights(tmp_path / "m.weights.h5", recipe=small("caffe"))
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file["layers/dense"] = np.zeros(3)
    with pytest.raises(InputError, match=r"m\.weights\.h5"):
        import_weights(tmp_path / "m.weights.h5", recipe=small("caffe"))


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
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
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
