"""Decode, repair, resize and crop an image file for `prepare`. No TensorFlow.

Files are decoded as everywhere (see `data.decode`), except that files that are cut off or damaged
inside are used as far as they can be decoded, unless most of the image is missing.
"""

import warnings
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile

from alexnet_tf.data.decode import (
    DECODER_ERRORS,
    UnusableImageError,
    exif_orientation,
    open_image,
    resized_side,
    short_message,
    to_upright_rgb,
)

_MAX_MISSING = 0.5  # fraction of an image's rows
_FORMATS_BY_EXTENSION = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **{".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF"},
}


class Repaired(NamedTuple):
    """A decoded, resized and cropped image."""

    pixels: np.ndarray  # uint8 [size, size, 3], RGB
    size: tuple[int, int]  # width and height of the upright source image in pixels
    kind: str  # file format and color model in Pillow's names, such as "JPEG RGB"
    repairs: tuple[tuple[str, str], ...]  # what was wrong and what was done


def repair(content: bytes, name: str, size: int) -> Repaired:
    """Decodes an image, repairs it if possible, resizes it and crops the center (section 2).

    The shorter side is resized to `size` with Pillow's antialiased bilinear filter and the central
    square is kept. Only that square is computed. The extension of `name` is compared with the
    content, unless `name` is "".

    Raises:
      UnusableImageError: The image cannot be used.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the report lists what Pillow warns about
        opened = open_image(content)
        is_mpo = opened.format == "MPO"  # a JPEG followed by more images
        file_format = "JPEG" if is_mpo else str(opened.format)
        repairs = []
        if not is_mpo and _is_animated(opened):
            repairs.append(("several frames", "the first is used"))
        expected = _FORMATS_BY_EXTENSION.get(PurePath(name).suffix.lower())
        if name and expected != file_format:
            problem = f"{file_format} by its content, not by its name"
            repairs.append((problem, f"read as {file_format}"))
        image, missing = _load(content, size)
        if missing is not None:
            repairs.append((f"cut off or damaged: {missing:.0%} missing", "the rest is used"))
        try:
            is_transposed = exif_orientation(image) >= 5
            image, changes = to_upright_rgb(image, content)
            square = _resize_and_crop(image, size)
        except DECODER_ERRORS as error:
            raise UnusableImageError(f"damaged: {short_message(error)}") from None
    size_shown = opened.size[::-1] if is_transposed else opened.size
    kind = f"{file_format} {opened.mode}"
    return Repaired(np.asarray(square), size_shown, kind, (*repairs, *changes))


def _is_animated(image: Image.Image) -> bool:
    """Returns whether there are several frames; False if that cannot be read."""
    try:
        return bool(getattr(image, "is_animated", False))
    except DECODER_ERRORS:
        return False


def _load(content: bytes, size: int) -> tuple[Image.Image, float | None]:
    """Decodes an image as far as possible; returns also the fraction of rows missing, or None."""
    try:
        return _decoded(content, size), None
    except DECODER_ERRORS as error:
        reason = short_message(error)
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        image = _decoded(content, size)
        rows = np.asarray(image.convert("RGB"))
    except DECODER_ERRORS:
        raise UnusableImageError(f"damaged: {reason}") from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    missing = max(_uniform_rows(rows), _uniform_rows(rows[::-1])) / len(rows)
    if missing > _MAX_MISSING:
        raise UnusableImageError(f"cut off or damaged: {missing:.0%} missing")
    return image, missing


def _uniform_rows(rows: np.ndarray) -> int:
    """Returns the number of rows of one color at the end: rows that were not decoded.

    A BMP is stored from the bottom, so the caller counts at both ends.
    """
    different = np.flatnonzero((rows != rows[-1, -1]).any(axis=(1, 2)))
    return len(rows) - 1 - int(different[-1]) if len(different) else len(rows)


def _decoded(content: bytes, size: int) -> Image.Image:
    """Decodes the first frame; a large JPEG at a half, a quarter or an eighth of its size.

    libjpeg reduces to at least twice the target size, and Pillow's better filter does the rest.
    """
    image = open_image(content)
    image.draft(None, (2 * size, 2 * size))
    image.load()
    return image


def _resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """Resizes the shorter side to `size` and crops the central square."""
    old: tuple[int, int] = image.size
    new = [resized_side(side, min(old), size) for side in old]
    left, top = ((side - size) // 2 * before / side for side, before in zip(new, old, strict=True))
    width, height = (size * before / side for side, before in zip(new, old, strict=True))
    box = (left, top, min(left + width, old[0]), min(top + height, old[1]))
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)
