"""Turn an image file into the square that `prepare` writes. Pillow and NumPy, without TensorFlow.

Files are decoded as everywhere (see `decode`). Those that are cut off or damaged inside keep what
is left of them, unless most of it is missing.
"""

import dataclasses
import warnings
from pathlib import PurePath

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
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
}


@dataclasses.dataclass(frozen=True)
class Repaired:
    """A decoded, resized and cropped image.

    Attributes:
      pixels: uint8 [size, size, 3], RGB.
      width: Width in pixels of the whole image, upright.
      height: Height in pixels of the whole image, upright.
      mode: Pillow's name of the file's color model: "RGB", "L", "CMYK" ...
      format: "JPEG", "PNG" ...
      repairs: Pairs of what was wrong and what was done.
    """

    pixels: np.ndarray
    width: int
    height: int
    mode: str
    format: str
    repairs: tuple[tuple[str, str], ...]


def repair(content: bytes, name: str, size: int) -> Repaired:
    """Decode an image, repair what can be repaired, resize it and crop the center (section 2).

    The shorter side is resized to `size` with Pillow's antialiased bilinear filter and the central
    square is kept. Only that square is computed.

    Args:
      content: The file's bytes.
      name: The file's name, whose extension is compared with the content; "" if it has none.
      size: Side of the square in pixels.

    Returns:
      The image.

    Raises:
      UnusableImageError: The image cannot be used.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the report lists what Pillow warns about
        opened = open_image(content)
        mode, kind = opened.mode, "JPEG" if opened.format == "MPO" else str(opened.format)
        width, height = opened.size
        repairs = []
        if opened.format != "MPO" and _is_animated(opened):
            repairs.append(("several frames", "the first is kept"))
        expected = _FORMATS_BY_EXTENSION.get(PurePath(name).suffix.lower())
        if name and expected != kind:
            repairs.append((f"{kind} by its content, not by its name", "read as what it is"))
        image, missing = _load(content, size)
        if missing is not None:
            repairs.append((f"cut off or damaged: {missing:.0%} missing", "what is there is kept"))
        try:
            is_transposed = exif_orientation(image) >= 5
            image, changes = to_upright_rgb(image, content)
            square = _resize_and_crop(image, size)
        except DECODER_ERRORS as error:
            raise UnusableImageError(f"damaged: {short_message(error)}") from None
    if is_transposed:
        width, height = height, width
    repairs += changes
    return Repaired(np.asarray(square), width, height, mode, kind, tuple(repairs))


def _is_animated(image: Image.Image) -> bool:
    """Return whether there are more frames; False if that cannot be read."""
    try:
        return bool(getattr(image, "is_animated", False))
    except DECODER_ERRORS:
        return False


def _load(content: bytes, size: int) -> tuple[Image.Image, float | None]:
    """Decode an image as far as possible.

    Returns:
      The image; None if it is complete, else the fraction of its rows that is missing.
    """
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
    """Return how many rows at the end have one color: rows that were not decoded.

    A BMP is stored from the bottom, so the caller looks at both ends.
    """
    different = np.flatnonzero((rows != rows[-1, -1]).any(axis=(1, 2)))
    return len(rows) - 1 - int(different[-1]) if len(different) else len(rows)


def _decoded(content: bytes, size: int) -> Image.Image:
    """Decode the first frame; a large JPEG at a half, a quarter or an eighth of its size.

    libjpeg's own reduction stops at twice the wanted size and leaves the rest to the better filter.
    """
    image = open_image(content)
    image.draft(None, (2 * size, 2 * size))
    image.load()
    return image


def _resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """Resize the shorter side to `size` and crop the central square."""
    old: tuple[int, int] = image.size
    new = [resized_side(side, min(old), size) for side in old]
    left, top = ((side - size) // 2 * before / side for side, before in zip(new, old, strict=True))
    width, height = (size * before / side for side, before in zip(new, old, strict=True))
    box = (left, top, min(left + width, old[0]), min(top + height, old[1]))
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)
