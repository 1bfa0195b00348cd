"""The example clients.

The servers here run the SavedModel behind the documented REST and gRPC interfaces of TF Serving.
"""

import base64
import concurrent.futures
import http.server
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from alexnet_tf.evaluation.classifiers import from_model
from alexnet_tf.evaluation.predict import predict
from alexnet_tf.export.saved_model import write_saved_model, write_warm_up

DEPLOY = Path(__file__).parents[2] / "deploy"


def script(name):
    """Imports a script of deploy/, which is not a package."""
    spec = importlib.util.spec_from_file_location(name, DEPLOY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


rest_client, grpc_client = script("rest_client"), script("grpc_client")


@pytest.fixture(scope="module")
def base(model, resized, tmp_path_factory):
    base = tmp_path_factory.mktemp("serving") / "alexnet"
    write_saved_model(model, base, finish=lambda f: write_warm_up(f, "alexnet", resized[:1], 32))
    return base


@pytest.fixture(scope="module")
def signatures(base):
    return tf.saved_model.load(base / "1").signatures


@pytest.fixture(scope="module")
def expected(model, jpegs):
    named = [(str(i), content) for i, content in enumerate(jpegs)]
    return [[top.name for top in each.top] for each in predict(from_model(model, "m"), named)]


def run_signature(signatures, name, inputs):
    """Runs a signature on arrays; checks their names, types and shapes."""
    function = signatures[name]
    specs = function.structured_input_signature[1]
    assert inputs.keys() == specs.keys()
    tensors = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
    assert all(specs[key].shape.is_compatible_with(t.shape) for key, t in tensors.items())
    return {key: value.numpy() for key, value in function(**tensors).items()}


def rest_response(signatures, body):
    """Returns the response to a `:predict` request in the columnar format of the REST API."""
    assert body.keys() <= {"signature_name", "inputs"}

    def value(item, key):
        if isinstance(item, dict):  # bytes are {"b64": ...}; the input's name must end in _bytes
            assert item.keys() == {"b64"} and key.endswith("_bytes")
            return base64.b64decode(item["b64"], validate=True)
        return item

    inputs = {key: [value(i, key) for i in items] for key, items in body["inputs"].items()}
    name = body.get("signature_name", "serving_default")
    outputs = run_signature(signatures, name, inputs)
    plain = {
        key: [[c.decode() for c in row] for row in v] if v.dtype == object else v.tolist()
        for key, v in outputs.items()
    }
    return {"outputs": plain if len(plain) > 1 else next(iter(plain.values()))}


@pytest.fixture(scope="module")
def rest_url(signatures):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/models/alexnet:predict":
                code, response = 404, {"error": f"Servable not found: {self.path}"}
            else:
                code, response = 200, rest_response(signatures, body)
            content = json.dumps(response).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def grpc_server(signatures):
    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802 (the protocol's name)
            if request.model_spec.name != "alexnet":
                context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found")
            inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
            outputs = run_signature(signatures, request.model_spec.signature_name, inputs)
            response = predict_pb2.PredictResponse()
            for key, value in outputs.items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
            return response

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def check_outputs(predict_with, names, expected, jpegs):
    """Checks the outputs of a client, given as a function of the signature."""
    assert names == ("serving_default", "ten_crop", "features")
    center, ten, features = map(predict_with, names)
    classes = [
        [name.decode() if isinstance(name, bytes) else name for name in row]
        for row in center["classes"]
    ]
    assert classes == expected
    assert np.shape(center["probabilities"]) == (len(jpegs), 5)
    assert np.abs(np.subtract(ten["all_probabilities"], center["all_probabilities"])).max() > 1e-4
    assert np.shape(features["features"]) == (len(jpegs), 40)


def test_rest_client_gets_the_outputs_of_every_signature(rest_url, jpegs, expected):
    def predict_with(signature):
        return rest_client.predict(jpegs, url=rest_url, signature=signature)

    check_outputs(predict_with, rest_client.SIGNATURES, expected, jpegs)


def test_grpc_client_gets_the_outputs_of_every_signature(grpc_server, jpegs, expected):
    def predict_with(signature):
        return grpc_client.predict(jpegs, server=grpc_server, signature=signature)

    check_outputs(predict_with, grpc_client.SIGNATURES, expected, jpegs)


def test_grpc_request_contains_model_version_and_images(jpegs):
    request = grpc_client.predict_request(jpegs, model="flowers", version=3, signature="ten_crop")
    parsed = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    assert (parsed.model_spec.name, parsed.model_spec.version.value) == ("flowers", 3)
    assert parsed.model_spec.signature_name == "ten_crop"
    assert tf.make_ndarray(parsed.inputs["image_bytes"]).tolist() == jpegs


def test_error_of_the_server_is_in_the_message(rest_url, grpc_server, jpegs):
    with pytest.raises(RuntimeError, match="Servable not found: /v1/models/dogs/versions/4"):
        rest_client.predict(jpegs, url=rest_url, model="dogs", version=4)
    with pytest.raises(grpc.RpcError, match="Servable not found"):
        grpc_client.predict(jpegs, server=grpc_server, model="dogs")


def test_rest_client_reports_a_server_that_is_not_tf_serving():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.handle_request, daemon=True).start()
    with pytest.raises(RuntimeError, match="is not a REST port of TF Serving"):
        rest_client.predict([b""], url=f"http://127.0.0.1:{server.server_port}")
    server.server_close()


@pytest.mark.parametrize("name", ["rest_client", "grpc_client"])
def test_client_prints_the_top_classes_of_each_file(
    name, rest_url, grpc_server, jpegs, expected, tmp_path, monkeypatch, capsys
):
    clients = {"rest_client": rest_client, "grpc_client": grpc_client}
    (tmp_path / "a.jpg").write_bytes(jpegs[0])
    server = ["--url", rest_url] if name == "rest_client" else ["--server", grpc_server]
    monkeypatch.setattr(sys, "argv", [name, *server, str(tmp_path / "a.jpg")])
    clients[name].main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("a.jpg")
    assert [line[2:32].strip() for line in lines[1:]] == expected[0]
    monkeypatch.setattr(sys, "argv", [name, str(tmp_path / "missing.jpg")])
    with pytest.raises(SystemExit, match=r"missing\.jpg"):
        clients[name].main()


@pytest.mark.parametrize("name", ["rest_client", "grpc_client"])
def test_client_prints_no_log_lines(name, rest_url, grpc_server, jpegs, tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpegs[0])
    address = ["--url", rest_url] if name == "rest_client" else ["--server", grpc_server]
    command = [sys.executable, str(DEPLOY / f"{name}.py"), *address]
    unset = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    done = subprocess.run(
        [*command, str(tmp_path / "a.jpg")], capture_output=True, text=True, env=unset
    )
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 6)
    done = subprocess.run([*command, "missing.jpg"], capture_output=True, text=True, env=unset)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "missing.jpg" in done.stderr


def test_rest_client_needs_the_standard_library_only():
    code = f"import sys; sys.path.insert(0, {str(DEPLOY)!r}); import rest_client; print('ok')"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert done.stdout == "ok\n", done.stderr


SERVER = shutil.which("tensorflow_model_server")


@pytest.mark.slow
@pytest.mark.skipif(SERVER is None, reason="tensorflow_model_server not found on the PATH")
def test_tensorflow_model_server_gives_the_same_outputs(base, jpegs, expected):
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    server = subprocess.Popen(
        [
            SERVER,
            f"--port={ports[0]}",
            f"--rest_api_port={ports[1]}",
            "--model_name=alexnet",
            f"--model_base_path={base}",
            "--enable_batching=true",
            f"--batching_parameters_file={DEPLOY / 'batching.config'}",
        ]
    )
    try:
        url, deadline = f"http://127.0.0.1:{ports[1]}", time.monotonic() + 60
        while True:
            try:
                by_rest = rest_client.predict(jpegs, url=url)
                break
            except OSError:
                assert time.monotonic() < deadline and server.poll() is None
                time.sleep(0.5)
        assert by_rest["classes"] == expected
        by_grpc = grpc_client.predict(jpegs, server=f"127.0.0.1:{ports[0]}")
        np.testing.assert_allclose(
            by_grpc["all_probabilities"], by_rest["all_probabilities"], atol=1e-5
        )
    finally:
        server.kill()
        server.wait()
