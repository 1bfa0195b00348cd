"""The SavedModel: loaded without the package, its predictions, size, versions and warm-up."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from alexnet_tf.data.images import resize_and_crop
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import from_model, open_classifier
from alexnet_tf.evaluation.predict import predict
from alexnet_tf.export.saved_model import next_version, write_saved_model, write_warm_up
from alexnet_tf.model.networks import build_model
from tests.export.conftest import NAMES, small_network

SIGNATURES = {
    "serving_default",
    "ten_crop",
    "features",
    "predict_images",
    "predict_images_uint8",
}
MAX_GRAPH_BYTES = 600_000
# A program without this package; XLA off, as in TF Serving.
PROGRAM = """
import json, sys
import numpy as np, tensorflow as tf
folder, images = sys.argv[1:]
loaded = tf.saved_model.load(folder)
jpegs = [bytes.fromhex(text) for text in json.load(open(images))]
outputs = {}
for name, function in loaded.signatures.items():
    (key, spec), = function.structured_input_signature[1].items()
    if key == "image_bytes":
        given = tf.constant(jpegs)
    else:
        given = tf.cast(tf.reshape(tf.range(2 * 32 * 32 * 3) % 256, (2, 32, 32, 3)), spec.dtype)
    outputs[name] = {
        k: [[c.decode() for c in row] for row in v.numpy()] if v.dtype == tf.string
        else v.numpy().tolist()
        for k, v in function(**{key: given}).items()
    }
foreign = [m for m in sys.modules if m.split(".")[0] in ("alexnet_tf", "keras")]
print(json.dumps({"outputs": outputs, "foreign": foreign}))
"""


@pytest.fixture(scope="module")
def folder(model, resized, tmp_path_factory):
    base = tmp_path_factory.mktemp("serving") / "flowers"
    return write_saved_model(
        model, base, finish=lambda path: write_warm_up(path, "flowers", resized[:2], 32)
    )


@pytest.fixture(scope="module")
def standalone(folder, jpegs, tmp_path_factory):
    """Outputs and imported modules of a process without the package."""
    work = tmp_path_factory.mktemp("standalone")
    (work / "images.json").write_text(json.dumps([content.hex() for content in jpegs]))
    environment = {**os.environ, "TF_XLA_FLAGS": "--tf_xla_auto_jit=-1"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, str(folder), str(work / "images.json")],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_saved_model_needs_neither_this_package_nor_keras(standalone):
    assert standalone["outputs"].keys() == SIGNATURES
    assert [name for name in standalone["foreign"] if name.startswith("alexnet_tf")] == []


def pillow_png(content):
    file = io.BytesIO()
    Image.open(io.BytesIO(content)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(("signature", "ten"), [("serving_default", False), ("ten_crop", True)])
def test_encoded_images_give_the_keras_models_predictions(standalone, model, jpegs, signature, ten):
    named = [(str(i), pillow_png(content)) for i, content in enumerate(jpegs)]
    expected = list(predict(from_model(model, "m"), named, ten_crop=ten))
    got = standalone["outputs"][signature]
    np.testing.assert_allclose(
        got["probabilities"], [[g.probability for g in p.top] for p in expected], atol=1e-5
    )
    assert got["classes"] == [[g.name for g in p.top] for p in expected]
    assert np.shape(got["all_probabilities"]) == (len(jpegs), len(NAMES))
    np.testing.assert_allclose(np.sum(got["all_probabilities"], axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("signature", ["predict_images", "predict_images_uint8"])
def test_crops_give_the_keras_models_predictions(standalone, model, signature):
    images = (np.arange(2 * 32 * 32 * 3) % 256).reshape(2, 32, 32, 3).astype("float32")
    np.testing.assert_allclose(
        standalone["outputs"][signature]["all_probabilities"], model(images), atol=1e-5
    )


def test_features_are_the_last_hidden_layer(standalone, model, jpegs):
    got = np.array(standalone["outputs"]["features"]["features"])
    assert got.shape == (len(jpegs), 40) and got.min() == 0  # after the activation
    # Dropout halves the features at test time. The last layer makes the predictions of them.
    kernel, bias = model.get_layer("fc5").get_weights()
    probabilities = tf.nn.softmax(got * 0.5 @ kernel + bias)
    np.testing.assert_allclose(
        probabilities, standalone["outputs"]["serving_default"]["all_probabilities"], atol=1e-5
    )


@pytest.fixture(scope="module")
def signatures(folder):
    return tf.saved_model.load(folder).signatures


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_request_of_zero_images_gives_zero_rows(signatures, name):
    function = signatures[name]
    ((key, spec),) = function.structured_input_signature[1].items()
    outputs = function(**{key: tf.zeros((0, *spec.shape[1:]), spec.dtype)})
    columns = {"classes": 5, "probabilities": 5, "all_probabilities": 6, "features": 40}
    assert {k: tuple(v.shape) for k, v in outputs.items()} == {k: (0, columns[k]) for k in outputs}


@pytest.mark.parametrize("count", [1, 6, 7, 13])
def test_ten_crop_in_parts_gives_the_mean_over_all_crops(signatures, model, resized, count):
    files = [tf.io.encode_png(image).numpy() for image in resized[:count]]
    output = signatures["ten_crop"](image_bytes=tf.constant(files))
    corners = [(y, x) for y in (0, 4) for x in (0, 4)]
    crops = np.stack([resized[:count, y : y + 32, x : x + 32] for y, x in [*corners, (2, 2)]])
    crops = np.concatenate([crops, crops[:, :, :, ::-1]]).astype(np.float32)
    expected = np.mean([model(crop) for crop in crops], axis=0)
    np.testing.assert_allclose(output["all_probabilities"], expected, atol=1e-6)


def pillow_resized(content, size):
    """Decodes with Pillow, upright and on white; resizes with `resize_and_crop`."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    rgb = np.asarray(Image.alpha_composite(white, image).convert("RGB"))
    return resize_and_crop(tf.constant(rgb), size).numpy()


def photos_in_all_orientations(resized):
    """JPEG files of 93 x 64 pixels with EXIF orientations 0 (invalid) to 8."""
    files = []
    for orientation, image in enumerate(resized[:9]):
        exif, file = Image.Exif(), io.BytesIO()
        exif[0x112] = orientation
        Image.fromarray(image).resize((93, 64)).save(file, "JPEG", quality=70, exif=exif)
        files.append(file.getvalue())
    return files


def test_predictions_agree_with_pillow_preprocessing(signatures, model, resized):
    files = photos_in_all_orientations(resized)
    for file_format in ("PNG", "WEBP"):
        file, image = io.BytesIO(), Image.fromarray(resized[9]).resize((64, 93))
        image.putalpha(image.convert("L"))
        image.save(file, file_format)
        files.append(file.getvalue())
    crops = np.stack([pillow_resized(file, 36)[2:34, 2:34] for file in files]).astype(np.float32)
    output = signatures["serving_default"](image_bytes=tf.constant(files))
    np.testing.assert_allclose(output["all_probabilities"][:9], model(crops)[:9], atol=1e-3)
    # Pillow and TensorFlow contain different versions of the WebP decoder.
    np.testing.assert_allclose(output["all_probabilities"][9:], model(crops)[9:], atol=1e-2)


def test_predict_reads_the_same_photos_as_the_served_graph(signatures, model, resized):
    files = photos_in_all_orientations(resized)
    named = [(str(i), content) for i, content in enumerate(files)]
    predicted = [p.top[0].name for p in predict(from_model(model, "m"), named)]
    output = signatures["serving_default"](image_bytes=tf.constant(files))
    assert [row[0].decode() for row in output["classes"].numpy()] == predicted


def test_oversized_image_is_rejected_by_every_signature_on_files(signatures, jpegs):
    position = jpegs[0].index(b"\xff\xc0") + 5
    bomb = jpegs[0][:position] + b"\xff\xdc\xff\xdc" + jpegs[0][position + 4 :]
    for name in ("serving_default", "ten_crop", "features"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="pixels"):
            signatures[name](image_bytes=tf.constant([jpegs[1], bomb]))


def test_saved_model_cli_shows_and_runs_signatures(folder, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 32, 32, 3), np.float32))
    tool = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
    shown = subprocess.run(
        [*tool, "show", "--dir", folder, "--all"], capture_output=True, text=True
    )
    assert all(f"signature_def['{name}']" in shown.stdout for name in SIGNATURES), shown.stderr
    ran = subprocess.run(
        [
            *(*tool, "run", "--dir", folder, "--tag_set", "serve"),
            *("--signature_def", "predict_images", "--inputs", f"images={tmp_path / 'x.npy'}"),
            *("--outdir", tmp_path),
        ],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert np.load(tmp_path / "all_probabilities.npy").shape == (3, len(NAMES))


def test_every_warm_up_request_runs(folder):
    from tensorflow_serving.apis import prediction_log_pb2

    loaded = tf.saved_model.load(folder)
    signatures = []
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(path)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        function = loaded.signatures[request.model_spec.signature_name]
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        outputs = function(**{key: tf.constant(value) for key, value in inputs.items()})
        assert all(value.shape[0] == 2 for value in outputs.values())
        assert request.model_spec.name == "flowers"
        signatures.append(request.model_spec.signature_name)
    assert sorted(signatures) == sorted(SIGNATURES)


def test_saved_model_contains_class_names_and_preprocessing(folder):
    classifier = open_classifier(folder)
    assert classifier.class_names == NAMES
    assert classifier.preprocessing.resize_pixels == 36
    assert (folder / "assets" / "class_names.txt").read_text(encoding="utf-8").split("\n")[5] == (
        NAMES[5]
    )


def test_graph_has_neither_python_nor_xla_operations(folder):
    graph = tf.saved_model.load(folder).signatures["ten_crop"].graph
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    used = {node.op for node in nodes} - {f.signature.name for f in definition.library.function}
    assert {"Conv2D", "DecodeImage", "ScaleAndTranslate"} <= used
    assert not [op for op in used if "Xla" in op or "PyFunc" in op]
    attributed = [*nodes, *definition.library.function]
    assert not [node for node in attributed if node.attr["_XlaMustCompile"].b]


def test_every_weight_is_stored_once_beside_a_small_graph(tmp_path):
    model = build_model(small_network(hidden_units=(1000, 800)), classes=4, resize_pixels=36)
    folder = write_saved_model(model, tmp_path / "large")
    weights = sum(weight.numpy().nbytes for weight in model.weights)
    stored = sum(file.stat().st_size for file in (folder / "variables").iterdir())
    assert weights > 4e6
    assert weights <= stored < weights + 100_000
    # The graph has no weights: its size depends on the operations alone, mainly those that decode.
    assert (folder / "saved_model.pb").stat().st_size < MAX_GRAPH_BYTES


def test_version_numbers_increase_and_none_is_overwritten(model, tmp_path):
    base = tmp_path / "m"
    for name in ("2", "10", "notes", "0x7"):
        (base / name).mkdir(parents=True)
    (base / "2" / "mine").write_text("mine")
    assert next_version(base) == 11
    with pytest.raises(InputError, match="--version 2"):
        write_saved_model(model, base, 2)
    with pytest.raises(InputError, match="--version"):
        write_saved_model(model, base, 0)
    assert write_saved_model(model, base) == base / "11"
    assert sorted(p.name for p in base.iterdir()) == ["0x7", "10", "11", "2", "notes"]


def test_failed_export_leaves_no_files(model, tmp_path):
    def fail(folder):
        assert (folder / "saved_model.pb").is_file()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_saved_model(model, tmp_path / "m", finish=fail)
    assert list((tmp_path / "m").iterdir()) == []


def test_simultaneous_export_takes_the_next_version(model, tmp_path):
    base = tmp_path / "m"

    def write_first_version(folder):
        (base / "1").mkdir()
        (base / "1" / "saved_model.pb").write_bytes(b"theirs")

    assert write_saved_model(model, base, finish=write_first_version) == base / "2"
    assert (base / "1" / "saved_model.pb").read_bytes() == b"theirs"


def test_saved_model_of_another_program_is_rejected(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))
    with pytest.raises(InputError, match="export"):
        open_classifier(tmp_path)
    (Path(tmp_path) / "1" / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(InputError, match="1"):
        open_classifier(tmp_path)
