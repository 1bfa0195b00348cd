"""Classify image files with TF Serving over gRPC. Needs tensorflow-serving-api.

python grpc_client.py photo.jpg other.png
python grpc_client.py --signature ten_crop --server 127.0.0.1:8500 photo.jpg
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import numpy as np


@contextlib.contextmanager
def _discard_stderr() -> Iterator[None]:
    """Discards what is written to file descriptor 2, by C++ code too, while the block runs."""
    sys.stderr.flush()
    original = os.dup(2)
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for what TensorFlow logs after its import
with _discard_stderr():  # which logs before it reads its log level
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

SIGNATURES = ("serving_default", "ten_crop", "features")
MAX_MESSAGE_BYTES = 64 * 2**20  # gRPC's default is 4 MiB


def predict_request(
    images: Sequence[bytes],
    *,
    model: str = "alexnet",
    version: int | None = None,
    signature: str = "serving_default",
) -> predict_pb2.PredictRequest:
    """Returns a request for JPEG, PNG, WebP, GIF or BMP files; at most max_batch_size."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    if version is not None:
        message.model_spec.version.value = version
    message.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(list(images), tf.string))
    return message


def predict(
    images: Sequence[bytes],
    *,
    server: str = "127.0.0.1:8500",
    model: str = "alexnet",
    version: int | None = None,
    signature: str = "serving_default",
    timeout_seconds: float = 30,
) -> dict[str, np.ndarray]:
    """Sends images and returns the server's outputs by name, one row per image.

    Raises:
      grpc.RpcError: The server cannot be reached, or returned an error.
    """
    message = predict_request(images, model=model, version=version, signature=signature)
    limits = [("grpc.max_send_message_length", MAX_MESSAGE_BYTES)]
    limits.append(("grpc.max_receive_message_length", MAX_MESSAGE_BYTES))
    with grpc.insecure_channel(server, options=limits) as channel:
        service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = service.Predict(message, timeout=timeout_seconds)
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def main() -> None:
    """Classifies the files of the command line and prints the top 5 classes of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--server", default="127.0.0.1:8500")
    parser.add_argument("--model", default="alexnet")
    parser.add_argument("--version", type=int)
    parser.add_argument("--signature", default="serving_default", choices=SIGNATURES)
    options = parser.parse_args()
    try:
        outputs = predict(
            [Path(name).read_bytes() for name in options.images],
            server=options.server,
            model=options.model,
            version=options.version,
            signature=options.signature,
        )
    except OSError as error:
        sys.exit(f"Error: {error}")
    except grpc.RpcError as error:
        sys.exit(f"Error: {error.code().name}: {error.details()}")
    for row, name in enumerate(options.images):
        print(name)
        if "features" in outputs:
            print(" ", outputs["features"][row].tolist())
            continue
        for label, probability in zip(
            outputs["classes"][row], outputs["probabilities"][row], strict=True
        ):
            print(f"  {label.decode():30} {probability:7.2%}")


if __name__ == "__main__":
    main()
