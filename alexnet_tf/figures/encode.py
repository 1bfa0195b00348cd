"""Pictures and images as data URIs, so that a page needs no other file."""

import base64
import io
import json
from typing import Any

import numpy as np
from PIL import Image

_SMALL_PIXELS = 64  # up to which every pixel is kept, and shown as one
_JPEG_QUALITY = 88


def data_uri(content: bytes, kind: str) -> str:
    """Returns a file's bytes as a data URI; the kind is "image/png" or the like."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def image_uri(pixels: np.ndarray) -> str:
    """Returns an image uint8 [h, w, c], RGB or gray, as a data URI: small ones without loss."""
    image = Image.fromarray(np.squeeze(pixels, axis=-1) if pixels.shape[-1] == 1 else pixels)
    buffer = io.BytesIO()
    if is_small(pixels):
        image.save(buffer, "PNG", optimize=True)
        return data_uri(buffer.getvalue(), "image/png")
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return data_uri(buffer.getvalue(), "image/jpeg")


def is_small(pixels: np.ndarray) -> bool:
    """Returns whether an image is to be enlarged with sharp pixels."""
    return max(pixels.shape[:2]) <= _SMALL_PIXELS


def json_for_script(values: Any) -> str:
    """Returns JSON that can stand in a script element: nothing in it can end that."""
    text = json.dumps(values, ensure_ascii=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
