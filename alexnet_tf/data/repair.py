"""From a file's bytes to the square of RGB pixels that training reads. Pillow and NumPy alone.

What TensorFlow's decoders would refuse or read wrongly is put right here, once: color models,
orientation, transparency, 16 bits, cut-off files.
"""

import dataclasses
import io
import struct
import warnings
import zlib
from pathlib import PurePath

import numpy as np
from PIL import Image, ImageFile

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
MAX_PIXELS = 2**26  # a decompressed image is at most 256 MiB
_MOST_MISSING = 0.5  # of a cut-off image's rows
_ENDINGS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
}
_EXIF_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's readers raise for damaged files: there is no common class.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class UnusableError(Exception):
    """An image cannot be used; the message says why, in a few words."""


@dataclasses.dataclass(frozen=True)
class Repaired:
    """An image as training reads it.

    Attributes:
      pixels: uint8 [size, size, 3], RGB.
      width: Of the file's image, as it is meant to be seen, in pixels.
      height: Likewise.
      mode: Pillow's name of its color model: "RGB", "L", "CMYK" ...
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
    """Decodes an image, puts right what is wrong, and cuts its square (section 2).

    The shorter side is rescaled to `size` with Pillow's antialiased bilinear filter and the central
    square is kept. Only that square is computed.

    Args:
      content: The file's bytes.
      name: The file's name; its ending is compared with what the file is. "" if it
        has none.
      size: Side of the square in pixels.

    Returns:
      The image.

    Raises:
      UnusableError: It cannot be used.
    """
    if not content:
        raise UnusableError("empty file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow warns of is told in the report
        opened = _open(content)
        mode, kind = opened.mode, "JPEG" if opened.format == "MPO" else str(opened.format)
        width, height = opened.size
        orientation = _orientation(opened)
        repairs = []
        if opened.format != "MPO" and _is_animated(opened):
            repairs.append(("several frames", "the first is kept"))
        expected = _ENDINGS.get(PurePath(name).suffix.lower())
        if name and expected != kind:
            repairs.append((f"{kind} by its content, not by its name", "read as what it is"))
        image, missing = _load(content, size)
        if missing is not None:
            repairs.append((f"cut off or damaged: {missing:.0%} missing", "what is there is kept"))
        try:
            image = _to_rgb(image, content, repairs)
            square = _square(image, size)
        except _DECODER_ERRORS as error:
            raise UnusableError(f"damaged: {_words(error)}") from None
    if orientation in _TURNS:
        square = square.transpose(_TURNS[orientation])
        repairs.append((f"turned by EXIF (orientation {orientation})", "turned upright"))
        if orientation >= 5:
            width, height = height, width
    return Repaired(np.asarray(square), width, height, mode, kind, tuple(repairs))


def upright(content: bytes) -> bytes:
    """Returns an image's file turned as its EXIF says and put on white, as `repair` does.

    What needs neither, or cannot be read here, comes back as it is.

    Args:
      content: The file's bytes.

    Returns:
      The same bytes, or those of a PNG file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = _open(content)
            turn = _TURNS.get(_orientation(image))
            if turn is None and not _may_be_transparent(image):
                return content
            image = _to_rgb(image, content, [])
        except (UnusableError, *_DECODER_ERRORS):
            return content
        image = image if turn is None else image.transpose(turn)
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=0)
        return file.getvalue()


def _open(content: bytes) -> Image.Image:
    """Opens an image without decoding it, and refuses what would decompress to too much."""
    # Pillow raises beyond twice its limit, wherever in its readers a size is met.
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
    too_many = f"more than {MAX_PIXELS // 10**6} million pixels"
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.UnidentifiedImageError:
        raise UnusableError("no JPEG, PNG, WebP, BMP or GIF image") from None
    except Image.DecompressionBombError:
        raise UnusableError(too_many) from None
    except _DECODER_ERRORS as error:
        raise UnusableError(f"damaged: {_words(error)}") from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnusableError(f"{width} x {height}: {too_many}")
    if width < 1 or height < 1:
        raise UnusableError(f"{width} x {height}: no pixels")
    return image


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 if there is none or it cannot be read."""
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except _DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) else 1


def _is_animated(image: Image.Image) -> bool:
    """Returns whether there are more frames; no, if that cannot be told."""
    try:
        return bool(getattr(image, "is_animated", False))
    except _DECODER_ERRORS:
        return False


def _load(content: bytes, size: int) -> tuple[Image.Image, float | None]:
    """Decodes an image, as far as it goes.

    Returns:
      The image; None if it is whole, else the share of its rows that is missing.
    """
    try:
        return _decoded(content, size), None
    except _DECODER_ERRORS as error:
        why = _words(error)
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        image = _decoded(content, size)
        rows = np.asarray(image.convert("RGB"))
    except _DECODER_ERRORS:
        raise UnusableError(f"damaged: {why}") from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    missing = max(_empty_rows(rows), _empty_rows(rows[::-1])) / len(rows)
    if missing > _MOST_MISSING:
        raise UnusableError(f"cut off or damaged: {missing:.0%} missing")
    return image, missing


def _empty_rows(rows: np.ndarray) -> int:
    """Returns how many rows at the end have but one color: what was not decoded stays as it was.

    A BMP is stored from the bottom, so both ends are looked at.
    """
    different = np.flatnonzero((rows != rows[-1, -1]).any(axis=(1, 2)))
    return len(rows) - 1 - int(different[-1]) if len(different) else len(rows)


def _decoded(content: bytes, size: int) -> Image.Image:
    """Decodes the first frame; a large JPEG at a half, a quarter or an eighth of its scale.

    libjpeg's own reduction stops at twice the size wanted: the rest is left to the better filter.
    """
    image = _open(content)
    image.draft(None, (2 * size, 2 * size))
    image.load()
    return image


def _to_rgb(image: Image.Image, content: bytes, repairs: list[tuple[str, str]]) -> Image.Image:
    """Returns the image in RGB, 8 bits, without transparency; adds to `repairs` what it did."""
    deep_png = content[:8] == b"\x89PNG\r\n\x1a\n" and content[24:25] == b"\x10"
    if image.mode.startswith("I"):
        levels = np.clip(np.asarray(image, np.int64), 0, 65535)
        image = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
        deep_png = True
    if deep_png:
        repairs.append(("16 bits a channel", "made 8 bits"))
    if image.mode == "CMYK":
        repairs.append(("CMYK", "made RGB"))
    if _may_be_transparent(image):
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            repairs.append(("transparent", "put on white"))
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _may_be_transparent(image: Image.Image) -> bool:
    """Returns whether an image has an alpha channel, or a transparent color."""
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _square(image: Image.Image, size: int) -> Image.Image:
    """Rescales the shorter side to `size` and keeps the central square."""
    old: tuple[int, int] = image.size
    shorter = min(old)
    new = [max((2 * side * size + shorter) // (2 * shorter), size) for side in old]
    left, top = ((side - size) // 2 * before / side for side, before in zip(new, old, strict=True))
    width, height = (size * before / side for side, before in zip(new, old, strict=True))
    box = (left, top, min(left + width, old[0]), min(top + height, old[1]))
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)


def _words(error: BaseException) -> str:
    """Returns an error's message in one short line."""
    return " ".join(str(error).split())[:80] or type(error).__name__
