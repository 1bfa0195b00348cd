"""Classify image files with TF Serving over REST. Needs the standard library only.

python rest_client.py photo.jpg other.png
python rest_client.py --signature ten_crop --url http://127.0.0.1:8501 photo.jpg
"""

import argparse
import base64
import http.client
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIGNATURES = ("serving_default", "ten_crop", "features")


def request_body(images: Sequence[bytes], signature: str = "serving_default") -> dict[str, Any]:
    """Returns the JSON body of a request: each file as {"b64": ...}.

    Args:
      images: JPEG, PNG, WebP, GIF or BMP files; at most the server's max_batch_size.
      signature: One of `SIGNATURES`.
    """
    encoded = [{"b64": base64.b64encode(image).decode("ascii")} for image in images]
    return {"signature_name": signature, "inputs": {"image_bytes": encoded}}


def predict(
    images: Sequence[bytes],
    *,
    url: str = "http://127.0.0.1:8501",
    model: str = "alexnet",
    version: int | None = None,
    signature: str = "serving_default",
    timeout_seconds: float = 30,
) -> dict[str, Any]:
    """Sends images and returns the server's outputs by name, one row per image.

    Raises:
      RuntimeError: The server returned an error, which the message contains, or is not TF Serving.
      OSError: The server cannot be reached.
    """
    version_path = f"/versions/{version}" if version is not None else ""
    request = urllib.request.Request(
        f"{url}/v1/models/{model}{version_path}:predict",
        json.dumps(request_body(images, signature)).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds) as response:
            outputs = json.load(response)["outputs"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(
            f"the server returned: {error.read().decode(errors='replace')}"
        ) from None
    except (http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise RuntimeError(f"{url} is not a REST port of TF Serving: {error!r}") from None
    # TF Serving omits the name of a signature's only output.
    return outputs if isinstance(outputs, dict) else {"features": outputs}


def main() -> None:
    """Classifies the files of the command line and prints the top 5 classes of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--url", default="http://127.0.0.1:8501")
    parser.add_argument("--model", default="alexnet")
    parser.add_argument("--version", type=int)
    parser.add_argument("--signature", default="serving_default", choices=SIGNATURES)
    options = parser.parse_args()
    try:
        outputs = predict(
            [Path(name).read_bytes() for name in options.images],
            url=options.url,
            model=options.model,
            version=options.version,
            signature=options.signature,
        )
    except (RuntimeError, OSError) as error:
        sys.exit(f"Error: {error}")
    for row, name in enumerate(options.images):
        print(name)
        if "features" in outputs:
            print(" ", outputs["features"][row])
            continue
        for label, probability in zip(
            outputs["classes"][row], outputs["probabilities"][row], strict=True
        ):
            print(f"  {label:30} {probability:7.2%}")


if __name__ == "__main__":
    main()
