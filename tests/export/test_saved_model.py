"""The SavedModel: alone in a fresh process, its size, its versions, its warm-up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import from_model, open_classifier
from alexnet_tf.evaluation.predict import predict
from alexnet_tf.export.saved_model import next_version, write_saved_model
from alexnet_tf.export.warmup import write_warmup
from alexnet_tf.model.networks import build_model
from tests.export.conftest import NAMES, small_network

SIGNATURES = {
    "serving_default",
    "ten_crop",
    "features",
    "predict_images",
    "predict_images_uint8",
}
# What a server without this package does; XLA off, as in TF Serving.
ALONE = """
import json, sys
import numpy as np, tensorflow as tf
folder, images = sys.argv[1:]
loaded = tf.saved_model.load(folder)
jpegs = [bytes.fromhex(text) for text in json.load(open(images))]
answers = {}
for name, function in loaded.signatures.items():
    (key, spec), = function.structured_input_signature[1].items()
    if key == "image_bytes":
        given = tf.constant(jpegs)
    else:
        given = tf.cast(tf.reshape(tf.range(2 * 32 * 32 * 3) % 256, (2, 32, 32, 3)), spec.dtype)
    answers[name] = {
        k: [[c.decode() for c in row] for row in v.numpy()] if v.dtype == tf.string
        else v.numpy().tolist()
        for k, v in function(**{key: given}).items()
    }
foreign = [m for m in sys.modules if m.split(".")[0] in ("alexnet_tf", "keras")]
print(json.dumps({"answers": answers, "foreign": foreign}))
"""


@pytest.fixture(scope="module")
def folder(model, squares, tmp_path_factory):
    base = tmp_path_factory.mktemp("serving") / "flowers"
    return write_saved_model(
        model, base, finish=lambda path: write_warmup(path, "flowers", squares[:2], 32)
    )


@pytest.fixture(scope="module")
def alone(folder, jpegs, tmp_path_factory):
    """What a process without the package says."""
    work = tmp_path_factory.mktemp("alone")
    (work / "images.json").write_text(json.dumps([content.hex() for content in jpegs]))
    environment = {**os.environ, "TF_XLA_FLAGS": "--tf_xla_auto_jit=-1"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(folder), str(work / "images.json")],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_needs_neither_this_package_nor_keras(alone):
    assert alone["answers"].keys() == SIGNATURES
    assert [name for name in alone["foreign"] if name.startswith("alexnet_tf")] == []


@pytest.mark.parametrize(("signature", "ten"), [("serving_default", False), ("ten_crop", True)])
def test_encoded_images_get_the_keras_models_answers(alone, model, jpegs, signature, ten):
    named = [(str(i), content) for i, content in enumerate(jpegs)]
    expected = list(predict(from_model(model, "m"), named, ten_crops=ten))
    got = alone["answers"][signature]
    np.testing.assert_allclose(
        got["probabilities"], [[g.probability for g in p.top] for p in expected], atol=1e-5
    )
    assert got["classes"] == [[g.name for g in p.top] for p in expected]
    assert np.shape(got["all_probabilities"]) == (len(jpegs), len(NAMES))
    np.testing.assert_allclose(np.sum(got["all_probabilities"], axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("signature", ["predict_images", "predict_images_uint8"])
def test_pixels_get_the_keras_models_answers(alone, model, signature):
    images = (np.arange(2 * 32 * 32 * 3) % 256).reshape(2, 32, 32, 3).astype("float32")
    np.testing.assert_allclose(
        alone["answers"][signature]["all_probabilities"], model(images), atol=1e-5
    )


def test_features_are_the_last_hidden_layer(alone, model, jpegs, folder):

    got = np.array(alone["answers"]["features"]["features"])
    assert got.shape == (len(jpegs), 40) and got.min() == 0  # after the activation
    # The classifier on them, halved as dropout does at test, is the network.
    kernel, bias = model.get_layer("fc5").get_weights()
    answers = tf.nn.softmax(got * 0.5 @ kernel + bias)
    np.testing.assert_allclose(
        answers, alone["answers"]["serving_default"]["all_probabilities"], atol=1e-5
    )


def test_saved_model_cli_shows_and_runs_it(folder, tmp_path):
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


def test_every_warm_up_record_replays(folder):
    from tensorflow_serving.apis import prediction_log_pb2

    loaded = tf.saved_model.load(folder)
    replayed = []
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(path)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        function = loaded.signatures[request.model_spec.signature_name]
        given = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        answer = function(**{key: tf.constant(value) for key, value in given.items()})
        assert all(value.shape[0] == 2 for value in answer.values())
        assert request.model_spec.name == "flowers"
        replayed.append(request.model_spec.signature_name)
    assert sorted(replayed) == sorted(SIGNATURES)


def test_it_carries_class_names_and_preprocessing(folder):
    classifier = open_classifier(folder)
    assert classifier.class_names == NAMES
    assert classifier.preprocessing.resize_pixels == 36
    assert (folder / "assets" / "class_names.txt").read_text(encoding="utf-8").split("\n")[5] == (
        NAMES[5]
    )


def test_no_operation_is_foreign_or_xlas(folder):
    graph = tf.saved_model.load(folder).signatures["ten_crop"].graph
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    used = {node.op for node in nodes} - {f.signature.name for f in definition.library.function}
    assert {"Conv2D", "DecodeImage", "ScaleAndTranslate"} <= used
    assert not [op for op in used if "Xla" in op or "PyFunc" in op]
    attributed = [*nodes, *definition.library.function]
    assert not [node for node in attributed if node.attr["_XlaMustCompile"].b]


def test_every_weight_is_stored_once(tmp_path):
    network = small_network(hidden_units=(1500, 1000))
    model = build_model(network, classes=4, resize_pixels=36)
    folder = write_saved_model(model, tmp_path / "large")
    weights = sum(weight.numpy().nbytes for weight in model.weights)
    stored = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert weights > 8e6
    assert weights <= stored < 1.1 * weights


def test_versions_count_up_and_none_is_overwritten(model, tmp_path):
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


def test_what_fails_on_the_way_leaves_nothing(model, tmp_path):
    def fail(folder):
        assert (folder / "saved_model.pb").is_file()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_saved_model(model, tmp_path / "m", finish=fail)
    assert list((tmp_path / "m").iterdir()) == []


def test_of_two_exports_at_once_the_later_takes_the_next_number(model, tmp_path):
    base = tmp_path / "m"

    def another_was_quicker(folder):
        (base / "1").mkdir()
        (base / "1" / "saved_model.pb").write_bytes(b"theirs")

    assert write_saved_model(model, base, finish=another_was_quicker) == base / "2"
    assert (base / "1" / "saved_model.pb").read_bytes() == b"theirs"


def test_a_saved_model_of_others_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))
    with pytest.raises(InputError, match="export"):
        open_classifier(tmp_path)
    (Path(tmp_path) / "1" / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(InputError, match="1"):
        open_classifier(tmp_path)
