"""Decode image files as viewers show them, with one routine for every command. No TensorFlow.

`decode_image` turns photos upright by their EXIF orientation, puts transparent pixels on white and
returns 8-bit RGB. `is_plain` finds the files of which TensorFlow's faster decoder gives the same
pixels (see `images.decode_content`). `prepare` takes the same steps and also keeps what is left
of damaged files (see `repair`).
"""

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
# The only limit on an image's size, for every command: 256 MiB of 32-bit pixels.
MAX_PIXELS = 2**26
# Increase it when files are decoded to other pixels: cached results then become invalid.
DECODING_VERSION = 2

# What Pillow's readers raise for damaged files: they have no common base class.
DECODER_ERRORS = (
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

_EXIF_ORIENTATION = 0x0112
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_APP1, _START_OF_SCAN = 0xE1, 0xDA
_START_OF_FRAME = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
# PNG chunks that change no pixel; others may hold transparency, an orientation or a large text.
_PLAIN_CHUNKS = (b"IDAT", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"tIME", b"bKGD", b"sBIT")

# Not `warnings.catch_warnings`: several threads decode files.
for _module in (r"PIL\.", r"alexnet_tf\.data\."):
    warnings.filterwarnings("ignore", category=UserWarning, module=_module)
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, module=_module)


class UnusableImageError(ValueError):
    """An image cannot be decoded; the message is the reason, in a few words."""


def decode_image(content: bytes) -> np.ndarray:
    """Decodes an image file: upright, on white, 8-bit RGB, the first frame of several.

    Args:
      content: The bytes of a JPEG, PNG, WebP, BMP or GIF file.

    Returns:
      uint8 [height, width, 3].

    Raises:
      UnusableImageError: The file is damaged, in another format, or has too many pixels.
    """
    image = open_image(content)
    try:
        image.load()
        return np.asarray(to_upright_rgb(image, content)[0])
    except DECODER_ERRORS as error:
        raise UnusableImageError(f"damaged: {short_message(error)}") from None


def reason_not_decoded(content: bytes) -> str:
    """Returns why a file cannot be decoded, in a few words."""
    try:
        decode_image(content)
    except UnusableImageError as error:
        return str(error)
    return "damaged"


def open_image(content: bytes) -> Image.Image:
    """Reads an image file's header, and returns Pillow's image, not loaded.

    Raises:
      UnusableImageError: The file is empty, damaged, in another format, or has too many pixels.
    """
    if not content:
        raise UnusableImageError("empty file")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.UnidentifiedImageError:
        raise UnusableImageError("not a JPEG, PNG, WebP, BMP or GIF image") from None
    except Image.DecompressionBombError:
        raise UnusableImageError(_too_many_pixels()) from None
    except DECODER_ERRORS as error:
        raise UnusableImageError(f"damaged: {short_message(error)}") from None
    _check_size(*image.size)
    return image


def to_upright_rgb(image: Image.Image, content: bytes) -> tuple[Image.Image, list[tuple[str, str]]]:
    """Converts a loaded image to what a viewer shows.

    Args:
      image: Loaded by Pillow.
      content: The file's bytes: Pillow reports some 16-bit PNG files as 8-bit ones.

    Returns:
      The image in 8-bit RGB, upright and on white, and pairs of what was special about it and what
      was done: ("CMYK", "made RGB").
    """
    changes = []
    orientation = exif_orientation(image)
    if orientation in range(2, 9):
        changes.append((f"turned by EXIF (orientation {orientation})", "turned upright"))
        image = ImageOps.exif_transpose(image)
    is_16_bit = content[:8] == _PNG and content[24:25] == b"\x10"
    if image.mode.startswith("I"):
        levels = np.clip(np.asarray(image, np.int64), 0, 65535)
        image = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
        is_16_bit = True
    if is_16_bit:
        changes.append(("16 bits a channel", "made 8 bits"))
    if image.mode == "CMYK":
        changes.append(("CMYK", "made RGB"))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            changes.append(("transparent", "put on white"))
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB"), changes


def exif_orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 to 8; 1 if there is none or it cannot be read."""
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except DECODER_ERRORS:
        return 1
    return value if value in range(1, 9) else 1


def is_plain(content: bytes) -> bool:
    """Returns whether TensorFlow decodes a file to the same pixels as `decode_image`.

    Only the structure is read: a few microseconds for a JPEG without EXIF. Plain are upright 8-bit
    JPEG and PNG files in RGB or gray, without transparency.

    Raises:
      UnusableImageError: The image has too many pixels, or no pixels.
    """
    if content.startswith(_JPEG):
        return _is_plain_jpeg(content)
    return content.startswith(_PNG) and _is_plain_png(content)


def _is_plain_jpeg(content: bytes) -> bool:
    at, is_rgb_or_gray, has_metadata = 2, False, False
    while at + 10 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == _START_OF_SCAN:
            upright = not has_metadata or exif_orientation(open_image(content)) == 1
            return is_rgb_or_gray and upright
        if marker == _APP1:  # EXIF or XMP
            has_metadata = True
        elif marker in _START_OF_FRAME:
            bits, height, width, channels = struct.unpack_from(">BHHB", content, at + 4)
            _check_size(width, height)
            is_rgb_or_gray = bits == 8 and channels in (1, 3)
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return False


def _is_plain_png(content: bytes) -> bool:
    at = len(_PNG)
    while at + 12 <= len(content):
        length, kind = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        if kind == b"IHDR" and length == 13:
            width, height, bits, color = struct.unpack_from(">IIBB", content, at + 8)
            _check_size(width, height)
            if bits != 8 or color not in (0, 2):  # gray, RGB
                return False
        elif kind not in _PLAIN_CHUNKS:
            return kind == b"IEND"
        at += 12 + length
    return False


def _check_size(width: int, height: int) -> None:
    """Raises UnusableImageError if an image has too many pixels, or none."""
    if width * height > MAX_PIXELS:
        raise UnusableImageError(f"{width} x {height}: {_too_many_pixels()}")
    if width < 1 or height < 1:
        raise UnusableImageError(f"{width} x {height}: no pixels")


def _too_many_pixels() -> str:
    return f"more than {MAX_PIXELS // 10**6} million pixels"


def short_message(error: BaseException) -> str:
    """Returns an error's message in one line of at most 80 characters."""
    return " ".join(str(error).split())[:80] or type(error).__name__


def resized_side(side: Any, shorter: Any, pixels: int) -> Any:
    """Returns the length of a side once the shorter side is resized to `pixels`.

    side * pixels / shorter, rounded to the nearest whole number. Every resize uses this formula.
    `side` is an int, or an int64 tensor of any shape.
    """
    return (2 * side * pixels + shorter) // (2 * shorter)
