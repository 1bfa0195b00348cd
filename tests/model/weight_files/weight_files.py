"""Weight files of small networks: BVLC's .npy and .onnx, and PyTorch's names."""

import io
import pickle
import struct
import zipfile

import h5py
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from alexnet_tf.model.networks import build_model
from alexnet_tf.network_settings import Convolution
from alexnet_tf.recipes import get_recipe

CLASSES = 7
NAMES = [f"class {i}" for i in range(CLASSES)]


def small(name):
    """BVLC's or torchvision's network with few channels and the original order of layers."""
    recipe = get_recipe(name)
    filters = {"caffe": (16, 16, 12, 12, 8), "torchvision": (6, 8, 10, 6, 6)}[name]
    convolutions = tuple(
        Convolution(m, c.kernel_size, c.strides, c.padding, c.groups, c.then)
        for m, c in zip(filters, recipe.network.convolutions, strict=True)
    )
    network = recipe.network.replace(
        convolutions=convolutions, hidden_units=(24, 20), input_size=99 if name == "caffe" else 98
    )
    return recipe.replace(network=network)


def layer_shapes(recipe, classes=CLASSES):
    """(layer, shape with outputs first) of every kernel, from a model of that network."""
    for layer in build_model(recipe, classes=classes).layers:
        if layer.name.startswith(("conv", "fc")):
            shape = layer.kernel.shape
            turned = (3, 2, 0, 1) if len(shape) == 4 else (1, 0)
            yield layer.name, tuple(int(shape[i]) for i in turned)


def weights_of(recipe, name_of, classes=CLASSES):
    """Random arrays by the names of a file: kernels outputs first, as Caffe and PyTorch do."""
    random = np.random.default_rng(0)
    arrays = {}
    for layer, shape in layer_shapes(recipe, classes):
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
    nodes, last = [], "data_0"

    def add(kind, *more, **attributes):
        nonlocal last
        output = f"{kind}_{len(nodes)}"
        nodes.append(helper.make_node(kind, [last, *more], [output], **attributes))
        last = output

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
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, [None, CLASSES])],
        [
            *(numpy_helper.from_array(array, name) for name, array in arrays.items()),
            # The model zoo's file has such a constant too, which is no weight.
            numpy_helper.from_array(np.array([1, 9216]), "OC2_DUMMY_1"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


def caffe_layers(arrays):
    """The dictionary of the .npy file: kernels in Keras' layout, channels last."""
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


TORCH_NAMES = {
    **{f"conv{i}": f"features.{n}" for i, n in enumerate((0, 3, 6, 8, 10), 1)},
    **{f"fc{i}": f"classifier.{n}" for i, n in ((6, 1), (7, 4), (8, 6))},
}


def torch_name(layer, number):
    return f"{TORCH_NAMES[layer]}.{('weight', 'bias')[number]}"


def write_pth(path, arrays, pickled=None):
    """Writes what torch.save writes of a state dict: pickle opcodes, and a file per storage."""
    out = io.BytesIO()

    def text(content):
        out.write(b"X" + struct.pack("<I", len(content)) + content.encode())

    def numbers(values):
        out.write(b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t")

    types = {"float32": "Float", "float64": "Double", "float16": "Half", "int64": "Long"}
    out.write(b"\x80\x02ccollections\nOrderedDict\n)R(")
    for key, (name, array) in enumerate(arrays.items()):
        text(name)
        out.write(b"ctorch._utils\n_rebuild_tensor_v2\n((")
        text("storage")
        out.write(f"ctorch\n{types[array.dtype.name]}Storage\n".encode())
        text(str(key))
        text("cpu")
        out.write(b"J" + struct.pack("<i", array.size) + b"tQJ\0\0\0\0")
        numbers(array.shape)
        numbers(step // array.itemsize for step in array.strides)
        out.write(b"\x89ccollections\nOrderedDict\n)RtR")
    out.write(b"u}")
    text("_metadata")
    out.write(b"}sb.")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", out.getvalue() if pickled is None else pickled)
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{key}", array.tobytes())
    return path


def varint(number):
    """A number in protobuf's variable-length encoding."""
    content = b""
    while number > 127:
        content, number = content + bytes([number % 128 + 128]), number // 128
    return content + bytes([number])


def field(number, content):
    """A protobuf field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(array, has_shape=True):
    """Caffe's BlobProto, with `shape` or with the older num, channels, height and width."""
    if has_shape:
        shape = field(7, field(1, b"".join(varint(side) for side in array.shape)))
    else:
        sides = (1,) * (4 - array.ndim) + array.shape
        shape = b"".join(varint(n << 3) + varint(side) for n, side in enumerate(sides, 1))
    return shape + field(5 if array.dtype == "float32" else 8, array.tobytes())


CAFFE_LAYERS = ("data", "conv1", "relu1", "norm1", "pool1", "conv2", "norm2", "pool2")


def write_caffemodel(path, arrays, version="V1", layers=CAFFE_LAYERS):
    """Writes Caffe's NetParameter with the layers' names and arrays, in either layer format."""
    name_field, blobs_field, layer_field = (4, 6, 2) if version == "V1" else (1, 7, 100)
    others = [f"{kind}{n}" for n in (3, 4, 5) for kind in ("conv", "relu")]
    content = field(1, b"AlexNet")
    for layer in (*layers, *others, "pool5", "fc6", "drop6", "fc7", "fc8", "prob"):
        message = field(name_field, layer.encode())
        for number in (0, 1):
            array = arrays.get(caffe_name(layer, number))
            if array is not None:
                message += field(blobs_field, blob(array, has_shape=version != "V1"))
        content += field(layer_field, message)
    path.write_bytes(content)
    return path


def write_keras_h5(path, layers, group=None):
    """Writes {name: [kernel, bias]} as `save_weights` of Keras 2 did, or as `save` in a group."""
    with h5py.File(path, "w") as file:
        top = file if group is None else file.create_group(group)
        top.attrs["layer_names"] = [b"input_1", *(name.encode() for name in layers)]
        top.create_group("input_1").attrs["weight_names"] = np.array([], dtype="S1")
        for name, arrays in layers.items():
            names = [f"{name}/{part}:0" for part in ("kernel", "bias")]
            top.create_group(name).attrs["weight_names"] = [each.encode() for each in names]
            for each, array in zip(names, arrays, strict=True):
                top[name][each] = array
    return path
