"""Damaged and hostile files, and files of other networks, are rejected without running code."""

import os
import pickle
import tracemalloc

import numpy as np
import onnx
import pytest
import safetensors.numpy

from alexnet_tf.errors import InputError
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.weight_files.import_weights import import_weights
from alexnet_tf.model.weight_files.npy_file import read_npy
from tests.model.weight_files.weight_files import (
    CLASSES,
    NAMES,
    caffe_graph,
    caffe_layers,
    npy_of,
    python2_pickle,
    small,
    write_caffemodel,
    write_keras_h5,
    write_npy,
    write_pth,
)


def changed(arrays, name, change):
    return {**arrays, name: change(arrays[name])}


CORRUPTIONS = [
    (lambda a: {k: v for k, v in a.items() if k != "conv4_b_0"}, "conv4_b_0"),
    (lambda a: changed(a, "conv3_w_0", lambda w: w.transpose(2, 3, 1, 0).copy()), "conv3_w_0"),
    (lambda a: changed(a, "fc6_w_0", lambda w: w.T.copy()), "fc6_w_0"),
    (lambda a: changed(a, "fc7_w_0", lambda w: w.astype("int32")), "fc7_w_0.*int32"),
    (lambda a: changed(a, "fc8_b_0", lambda w: w[:1]), "fc8_b_0"),
    (
        lambda a: changed(a, "conv1_w_0", lambda w: np.where(w > 0, w, np.nan)),
        "conv1_w_0.*infinite",
    ),
]


@pytest.mark.parametrize(("corrupt", "message"), CORRUPTIONS)
def test_corrupt_onnx_file_is_rejected(caffe_arrays, tmp_path, corrupt, message):
    onnx.save(caffe_graph(corrupt(caffe_arrays)), tmp_path / "m.onnx")
    with pytest.raises(InputError, match=rf"m\.onnx: .*{message}"):
        import_weights(tmp_path / "m.onnx", recipe=small("caffe"), class_names=NAMES)


def test_onnx_dense_layer_stored_transposed_is_rejected(caffe_arrays, tmp_path):
    model = caffe_graph(caffe_arrays)
    (gemm,) = [node for node in model.graph.node if "fc7_w_0" in node.input]
    del gemm.attribute[:]
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(InputError, match="fc7_w_0"):
        import_weights(tmp_path / "m.onnx", recipe=small("caffe"))


def test_onnx_constant_of_unknown_type_is_rejected(caffe_arrays, tmp_path):
    model = caffe_graph(caffe_arrays)
    model.graph.initializer[0].data_type = 99
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"m\.onnx.*99"):
        import_weights(tmp_path / "m.onnx", recipe=small("caffe"))


def test_recipe_with_batch_normalization_is_rejected(tmp_path):
    for ending in ("onnx", "npy", "pth", "safetensors"):
        with pytest.raises(InputError, match=rf"m\.{ending}: .*cifar10-best"):
            import_weights(tmp_path / f"m.{ending}", recipe="cifar10-best")


def test_references_to_other_files_are_rejected(caffe_arrays, tmp_path):
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
    write_pth(folder / "m.pth", torch_arrays)
    write_caffemodel(folder / "m.caffemodel", caffe_arrays)
    write_keras_h5(folder / "m.h5", caffe_layers(caffe_arrays))
    torchvision = dict.fromkeys(("safetensors", "pth"), "torchvision")
    return torchvision | dict.fromkeys(("npy", "onnx", "weights.h5", "caffemodel", "h5"), "caffe")


def test_truncated_and_mislabeled_files_are_rejected(caffe_arrays, torch_arrays, tmp_path):
    formats = write_all(tmp_path, caffe_arrays, torch_arrays)
    for ending, recipe in formats.items():
        path = tmp_path / f"m.{ending}"
        content = path.read_bytes()
        for damaged in (content[: len(content) // 2], content[:20], b"", b"something else" * 99):
            path.write_bytes(damaged)
            with pytest.raises(InputError, match=rf"m\.{ending}"):
                import_weights(path, recipe=small(recipe), class_names=NAMES)


def test_unexpected_arrays_are_rejected(torch_arrays, tmp_path):
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


@pytest.mark.parametrize("protocol", range(6))
def test_malicious_npy_is_rejected_and_runs_nothing(caffe_arrays, tmp_path, protocol):
    mark = tmp_path / "ran"
    layers = {**caffe_layers(caffe_arrays), "conv1": [Malicious(mark), Malicious(mark)]}
    path = write_npy(tmp_path / "m.npy", layers, protocol)
    with pytest.raises(InputError, match=r"m\.npy.*mkdir"):
        import_weights(path, recipe=small("caffe"))
    assert not mark.exists()


def global_(module, name):
    return f"c{module}\n{name}\n".encode()


HOSTILE = {
    "os.system": global_("os", "system") + b"(S'touch ran'\ntR.",
    "the module os by INST": b"(S'touch ran'\nios\nsystem\n.",
    "builtins by OBJ": b"(" + global_("builtins", "eval") + b"S'1'\no.",
    "a protocol 4 name": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.",
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__class__\x93.",
    "a stand-in's own module": global_("alexnet_tf.model.weight_files.npy_file", "io") + b".",
    "another function of numpy": global_("numpy", "load") + b"(S'/etc/passwd'\ntR.",
    "a decompressing codec": global_("_codecs", "encode") + b"(S'x'\nS'zip'\ntR.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent ID": b"Pfile\n.",
    "bytes of the size 2**40": b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b".",
    "a bytearray of the size 2**40": b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".",
    "a memo index of 2**31": b"\x80\x02}r\xff\xff\xff\x7f.",
    "a memo index of 10**12 as text": b"}p1000000000000\n.",
    "a frame of 2**40": b"\x80\x04\x95" + (2**40).to_bytes(8, "little") + b"}.",
    "an out-of-band buffer": b"\x80\x05\x97.",
    "a new state of a stand-in class": global_("numpy", "ndarray") + b"(N}S'read'\nI1\nstb.",
    "an array instead of the dictionary": global_("numpy", "ndarray") + b")R.",
    "no end": b"}",
    "an unknown instruction": b"\xff.",
    "an empty stack": b".",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickle_is_rejected(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.npy").write_bytes(npy_of(HOSTILE[name]))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"m\.npy: cannot be read as weights"):
        read_npy(tmp_path / "m.npy")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["m.npy"]


def test_hostile_pickle_does_not_change_the_reader(caffe_arrays, tmp_path):
    for target in (b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"c_codecs\nencode\n"):
        for state in (b"}S'__setstate__'\nNs", b"(N}S'__setstate__'\nNst", b"(N}S'__code__'\nNst"):
            (tmp_path / "bad.npy").write_bytes(npy_of(target + state + b"b."))
            with pytest.raises(InputError):
                read_npy(tmp_path / "bad.npy")
    layers = caffe_layers(caffe_arrays)
    for protocol in (0, 2, 5):
        entries = read_npy(write_npy(tmp_path / "good.npy", layers, protocol))
        np.testing.assert_array_equal(entries["conv1/0"].read(), layers["conv1"][0])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("m.npz", "numpy.save"),
        ("m.pkl", "numpy.save"),
        ("m.pickle", "numpy.save"),
        ("m.bin", ".pth"),
        ("m.txt", ".safetensors"),
    ],
)
def test_unsupported_formats_are_rejected_with_the_conversion(name, words, tmp_path):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=rf"{name}.*{words}"):
        import_weights(tmp_path / name)


def test_renamed_archive_or_pickle_is_rejected_with_the_conversion(tmp_path):
    np.savez(tmp_path / "m.npz", conv1=np.zeros(3))
    (tmp_path / "m.npz").rename(tmp_path / "npz.npy")
    with pytest.raises(InputError, match=r"an \.npz archive.*numpy\.save"):
        import_weights(tmp_path / "npz.npy")
    for protocol in range(6):
        content = pickle.dumps({"conv1": [np.zeros(3), np.zeros(3)]}, protocol)
        (tmp_path / "pickle.npy").write_bytes(content)
        with pytest.raises(InputError, match=r"a plain pickle.*numpy\.save"):
            import_weights(tmp_path / "pickle.npy")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"weights": np.zeros(3), "scale": np.zeros(3)}, "scale"),
        ([np.zeros(3), "text"], "conv1 does not contain arrays"),
        ("text", "conv1 is neither"),
        (None, "conv1 is neither"),
    ],
)
def test_npy_layers_of_another_form_are_rejected(arrays, message, tmp_path):
    path = write_npy(tmp_path / "m.npy", {"conv1": arrays})
    with pytest.raises(InputError, match=message):
        read_npy(path)
    with pytest.raises(InputError, match="not named by text"):
        read_npy(write_npy(tmp_path / "m.npy", {1: [np.zeros(3)]}))


def test_malicious_pth_is_rejected_and_runs_nothing(tmp_path):
    mark = tmp_path / "ran"
    write_pth(tmp_path / "m.pth", {}, pickled=pickle.dumps({"x": Malicious(mark)}))
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Malicious(mark)))
    for name in ("m.pth", "old.pth"):
        with pytest.raises(InputError, match=name):
            import_weights(tmp_path / name)
    assert not mark.exists()


def test_declared_sizes_allocate_no_memory(caffe_arrays, tmp_path):
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


def test_keras_weights_with_links_are_rejected(tmp_path):
    import h5py

    build_model(small("caffe"), classes=CLASSES).save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5", "a") as file:
        variables = file["layers/dense/vars"]
        del variables["1"]
        variables["1"] = h5py.ExternalLink("/etc/passwd", "/x")
    with pytest.raises(InputError, match="is a link"):
        import_weights(tmp_path / "m.weights.h5", recipe=small("caffe"))
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file["layers/dense"] = np.zeros(3)
    with pytest.raises(InputError, match=r"m\.weights\.h5"):
        import_weights(tmp_path / "m.weights.h5", recipe=small("caffe"))
