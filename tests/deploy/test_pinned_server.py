"""The exported graph in the TensorFlow version of the TF Serving image that deploy/ pins.

The test installs that version (about 300 MB to download) into a temporary environment, so that it
runs only on request: `PINNED_SERVER=1 python -m pytest -m pinned_server`.
"""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from alexnet_tf.evaluation.classifiers import from_model
from alexnet_tf.evaluation.predict import predict
from alexnet_tf.export.saved_model import write_saved_model

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose.yaml"
# A program without this package. Prints the outputs of the signatures on files, for all files of
# the folder and for none.
PROGRAM = """
import json, pathlib, sys
import tensorflow as tf
signatures = tf.saved_model.load(sys.argv[1]).signatures
files = [path.read_bytes() for path in sorted(pathlib.Path(sys.argv[2]).iterdir())]
outputs = {}
for name in ("serving_default", "ten_crop", "features"):
    outputs[name] = []
    for contents in (files, []):
        tensors = signatures[name](image_bytes=tf.constant(contents, tf.string))
        outputs[name].append({
            key: [[item.decode() for item in row] for row in value.numpy()]
            if value.dtype == tf.string else value.numpy().tolist()
            for key, value in tensors.items()
        })
print(json.dumps({"version": tf.__version__, "outputs": outputs}))
"""


def pinned_version():
    """Returns the version of the TF Serving image, which is that of its TensorFlow."""
    image = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["serving"]["image"]
    return re.fullmatch(r"tensorflow/serving:(\d+\.\d+\.\d+)", image)[1]


def test_all_manifests_pin_the_same_server():
    text = (COMPOSE.parent / "kubernetes.yaml").read_text(encoding="utf-8")
    assert re.findall(r"tensorflow/serving:(\S+)", text) == [pinned_version()]


@pytest.fixture(scope="module")
def pinned_python(tmp_path_factory):
    """The interpreter of an environment with the pinned TensorFlow alone."""
    folder = tmp_path_factory.mktemp("pinned")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    package = f"tensorflow-cpu=={pinned_version()}"
    subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
    return python


def encode(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


@pytest.mark.pinned_server
@pytest.mark.skipif(
    not os.environ.get("PINNED_SERVER"), reason="set PINNED_SERVER=1: it downloads TensorFlow"
)
def test_graph_runs_in_the_pinned_tensorflow(pinned_python, model, resized, tmp_path):
    photos = [Image.fromarray(image).resize((93, 64)) for image in resized[:4]]
    exif = Image.Exif()
    exif[0x112] = 6
    photos[1].putalpha(photos[1].convert("L"))
    contents = [
        encode(photos[0], "JPEG", exif=exif),
        encode(photos[1], "PNG"),
        encode(photos[2], "WEBP", lossless=True),
        encode(photos[3], "PNG"),
    ]
    images = tmp_path / "images"
    images.mkdir()
    for number, content in enumerate(contents):
        (images / str(number)).write_bytes(content)
    folder = write_saved_model(model, tmp_path / "alexnet")
    done = subprocess.run(
        [pinned_python, "-I", "-c", PROGRAM, folder, images], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["version"] == pinned_version()
    named = [(str(number), content) for number, content in enumerate(contents)]
    for signature, ten_crop in (("serving_default", False), ("ten_crop", True)):
        found, empty = results["outputs"][signature]
        expected = list(predict(from_model(model, "m"), named, ten_crop=ten_crop))
        assert found["classes"] == [[top.name for top in each.top] for each in expected]
        np.testing.assert_allclose(
            found["probabilities"],
            [[top.probability for top in each.top] for each in expected],
            atol=1e-4,
        )
        assert all(value == [] for value in empty.values())
    found, empty = results["outputs"]["features"]
    assert np.shape(found["features"]) == (len(contents), 40)
    assert empty["features"] == []
