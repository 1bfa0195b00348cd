"""TFLite and ONNX: predictions, builtin operations, metadata, labels."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from tensorflow.lite.tools import flatbuffer_utils

from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import Preprocessing, from_model, open_classifier
from alexnet_tf.evaluation.predict import predict
from alexnet_tf.export.onnx import to_onnx
from alexnet_tf.export.tflite import QUANTIZATIONS, to_tflite
from alexnet_tf.model.networks import build_model
from tests.export.conftest import NAMES, small_network

BOUNDS = {"none": 1e-4, "float16": 1e-3, "dynamic": 0.02, "int8": 0.02}


@pytest.fixture(scope="module")
def crops(resized):
    return resized[:, 2:34, 2:34].astype(np.float32)


@pytest.fixture(scope="module")
def converted(model, crops):
    return {kind: to_tflite(model, kind, crops) for kind in QUANTIZATIONS}


@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_tflite_gives_the_keras_models_predictions(model, crops, converted, kind, tmp_path):
    (tmp_path / "m.tflite").write_bytes(converted[kind])
    classifier = open_classifier(tmp_path / "m.tflite")
    expected = from_model(model, "m").probabilities(crops)
    got = classifier.probabilities(crops)
    assert np.abs(got - expected).max() < BOUNDS[kind]
    single = classifier.probabilities(crops[5:6])  # another batch in the same interpreter
    np.testing.assert_allclose(single[0], got[5], atol=0.02 if kind == "dynamic" else 1e-5)
    assert classifier.class_names == NAMES
    assert classifier.preprocessing.resize_pixels == 36


def test_quantized_files_are_smaller(converted):
    sizes = {kind: len(content) for kind, content in converted.items()}
    assert sizes["float16"] < 0.6 * sizes["none"]
    assert sizes["dynamic"] < 0.4 * sizes["none"]
    assert sizes["int8"] < 0.4 * sizes["none"]


@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_all_tflite_operations_are_builtin(converted, kind):
    model = flatbuffer_utils.convert_bytearray_to_object(converted[kind])
    assert [code.customCode for code in model.operatorCodes if code.customCode] == []


def test_int8_keeps_only_response_normalization_and_the_last_layer_in_float(converted):
    interpreter = Interpreter(model_content=converted["int8"])
    types = {detail["index"]: detail["dtype"] for detail in interpreter.get_tensor_details()}
    inputs = {
        name: [
            types[o["inputs"][0]] for o in interpreter._get_ops_details() if o["op_name"] == name
        ]
        for name in ("SQUARE", "RSQRT", "SOFTMAX", "CONV_2D", "FULLY_CONNECTED")
    }
    assert inputs["SQUARE"] == inputs["RSQRT"] == inputs["SOFTMAX"] == [np.float32]
    # Only the banded convolution of response normalization.
    assert inputs["CONV_2D"].count(np.float32) == 1 and np.int8 in inputs["CONV_2D"]
    assert inputs["FULLY_CONNECTED"] == [np.int8, np.int8, np.float32]


class Reader:
    """Reads a flatbuffer by slots, without generated code."""

    def __init__(self, data, position):
        self.table = flatbuffers.table.Table(data, position)

    def _position(self, slot):
        offset = self.table.Offset(4 + 2 * slot)
        assert offset, f"slot {slot} is empty"
        return self.table.Pos + offset

    def text(self, slot):
        return self.table.String(self._position(slot)).decode()

    def number(self, slot, flags=flatbuffers.number_types.Uint8Flags):
        return self.table.Get(flags, self._position(slot))

    def child(self, slot):
        return Reader(self.table.Bytes, self.table.Indirect(self._position(slot)))

    def items(self, slot):
        offset = self.table.Offset(4 + 2 * slot)
        start = self.table.Vector(offset)
        return [
            Reader(self.table.Bytes, self.table.Indirect(start + 4 * i))
            for i in range(self.table.VectorLen(offset))
        ]

    def floats(self, slot):
        offset = self.table.Offset(4 + 2 * slot)
        flags = flatbuffers.number_types.Float32Flags
        return self.table.GetVectorAsNumpy(flags, offset).tolist()


def test_tflite_metadata_names_input_range_and_label_file(converted, tmp_path):
    model = flatbuffer_utils.convert_bytearray_to_object(converted["none"])
    (entry,) = [m for m in model.metadata if m.name == b"TFLITE_METADATA"]
    data = bytes(model.buffers[entry.buffer].data)
    assert data[4:8] == b"M001"
    root = Reader(data, flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0))
    (graph,) = root.items(3)
    (image,) = graph.items(2)
    (probabilities,) = graph.items(3)
    assert (root.text(0), image.text(0), probabilities.text(0)) == (
        "AlexNet",
        "images",
        "probabilities",
    )
    content = image.child(3)
    assert content.number(0) == 2  # an image
    assert content.child(1).number(0) == 1  # RGB
    size = content.child(1).child(1)
    wide = flatbuffers.number_types.Uint32Flags
    assert (size.number(0, wide), size.number(1, wide)) == (32, 32)
    (unit,) = image.items(4)
    assert unit.number(0) == 1  # normalization by mean 0 and standard deviation 1
    assert (unit.child(1).floats(0), unit.child(1).floats(1)) == ([0.0], [1.0])
    assert all(word in image.text(1) for word in ("RGB", "antialiasing", "central 32x32", "0..255"))
    (steps,) = image.items(6)
    assert (steps.text(0), steps.number(2)) == ("preprocessing.json", 1)
    (labels,) = probabilities.items(6)
    assert (labels.text(0), labels.number(2)) == ("class_names.txt", 2)
    (tmp_path / "m.tflite").write_bytes(converted["none"])
    with zipfile.ZipFile(tmp_path / "m.tflite") as archive:
        assert archive.read("class_names.txt").decode().splitlines() == list(NAMES)


def test_tflite_conversion_is_deterministic(model, converted):
    assert to_tflite(model, "float16") == converted["float16"]


@pytest.mark.parametrize(
    ("kind", "images", "word"), [("int4", None, "int8"), ("int8", None, "--dataset")]
)
def test_invalid_quantization_is_rejected(model, kind, images, word):
    with pytest.raises(InputError, match=word):
        to_tflite(model, kind, images)


def test_onnx_gives_the_keras_models_predictions_with_few_transposes(model, crops, tmp_path):
    import onnx

    content = to_onnx(model)
    (tmp_path / "m.onnx").write_bytes(content)
    classifier = open_classifier(tmp_path / "m.onnx")
    expected = from_model(model, "m").probabilities(crops)
    np.testing.assert_allclose(classifier.probabilities(crops), expected, atol=1e-5)
    assert classifier.class_names == NAMES
    graph = onnx.load_from_string(content).graph
    # Input, output, and where channels are split into two groups; none around normalization.
    assert sum(node.op_type == "Transpose" for node in graph.node) <= 2 + 3
    (tmp_path / "m.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"m\.onnx"):
        open_classifier(tmp_path / "m.onnx")


def test_tflite_and_onnx_give_zero_rows_for_zero_images(model, converted, tmp_path):
    (tmp_path / "m.onnx").write_bytes(to_onnx(model))
    (tmp_path / "m.tflite").write_bytes(converted["none"])
    none = np.zeros((0, 32, 32, 3), np.float32)
    for name in ("m.onnx", "m.tflite"):
        classifier = open_classifier(tmp_path / name)
        assert classifier.probabilities(none).shape == (0, len(NAMES))
        assert classifier.probabilities(np.zeros((2, 32, 32, 3))).shape == (2, len(NAMES))
        assert classifier.probabilities(none).shape == (0, len(NAMES))


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "tflite.md"
# Makes imports of these packages fail.
IMPORT_GUARD = """
import sys
sys.modules.update(dict.fromkeys(("tensorflow", "keras", "alexnet_tf", "scipy", "cv2")))
"""


@pytest.mark.parametrize("channels", [3, 1])
def test_python_of_the_tflite_page_gives_the_predictions_of_predict(channels, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    roots = {
        name
        for line in re.findall(r"^(?:import|from) .*", code, re.M)
        for name in [line.split()[1].split(".")[0]]
    }
    assert roots - set(sys.stdlib_module_names) == {"numpy", "PIL", "ai_edge_litert"}
    network = small_network(channels=channels, mean=(110.0,) * channels)
    model = build_model(network, class_names=NAMES, resize_pixels=36, init="he", seed=2)
    path = tmp_path / "m.tflite"
    path.write_bytes(to_tflite(model))
    random = np.random.default_rng(0)
    for number, size in enumerate([(300, 211), (36, 36), (20, 33), (37, 400)]):
        coarse = Image.fromarray(random.integers(0, 256, (9, 9, 3), np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 1 + 5 * (number % 2)  # every second one is to be turned
        photo = tmp_path / f"{number}.jpg"
        coarse.resize(size, Image.Resampling.BICUBIC).save(photo, exif=exif)
        done = subprocess.run(
            [sys.executable, "-c", IMPORT_GUARD + code, str(path), str(photo)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        found = [line.split(" ", 1) for line in done.stdout.splitlines()]
        content = [(photo.name, photo.read_bytes())]
        (expected,) = predict(from_model(model, "m"), content)
        by_name = {top.name: top.probability for top in expected.top}
        assert len(found) == 5
        for probability, name in found:
            assert float(probability) == pytest.approx(by_name[name], abs=1e-3)


def test_tflite_page_explains_every_key_of_preprocessing_json(converted, tmp_path):
    (tmp_path / "m.tflite").write_bytes(converted["int8"])
    with zipfile.ZipFile(tmp_path / "m.tflite") as archive:
        steps = json.loads(archive.read("preprocessing.json"))
    documented = re.findall(r"^\| `([a-z_]+)` \| [^|]+ \| [^|]+ \|$", PAGE.read_text(), re.M)
    assert sorted(documented) == sorted(steps)
    assert (steps["channel_order"], steps["antialias"]) == ("RGB", True)


def test_preprocessing_of_earlier_files_is_read_and_other_steps_are_rejected():
    sizes = {"resize_pixels": 36, "input_pixels": 32, "channels": 3}
    found = Preprocessing.from_text(json.dumps(sizes))
    assert found == Preprocessing.from_text(found.to_text()) == Preprocessing(36, 32, 3)
    other = {**json.loads(found.to_text()), "antialias": False}
    for text in (json.dumps(other), "[]", json.dumps({**sizes, "channels": 0})):
        with pytest.raises(ValueError, match="preprocessing"):
            Preprocessing.from_text(text)
