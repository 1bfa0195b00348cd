"""A folder of files that data sets in the wild have: made here, with what must become of each."""

import functools
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

USED, SKIPPED = "used", "skipped"


def photo(width=60, height=40, mode="RGB", seed=0):
    """A smooth picture with some grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 6, 3), np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    grain = rng.integers(0, 20, (height, width, 3), np.uint8)
    return Image.fromarray(np.asarray(image) // 2 + grain).convert(mode)


def encoded(image, kind="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(photo(seed=orientation), exif=exif)


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color, rows):
    """A PNG written by hand: Pillow writes no 16 bit color."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def deep_color():
    rows = np.random.default_rng(1).integers(0, 65536, (10, 30), np.uint16).astype(">u2")
    return png(10, 10, 16, 2, b"".join(b"\0" + row.tobytes() for row in rows))


def frames(kind):
    first, *rest = (photo(seed=seed) for seed in range(3))
    return encoded(first, kind, save_all=True, append_images=rest)


def with_alpha(mode, kind="PNG"):
    image = photo(seed=7).convert(mode)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return encoded(image, kind)


def jpeg_of_size(width, height):
    """A small JPEG whose header promises more pixels than anyone has memory for."""
    content = bytearray(encoded(photo()))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def gif_bomb():
    content = bytearray(encoded(photo(), "GIF"))
    content[6:10] = struct.pack("<HH", 65535, 65535)
    return bytes(content)


def text_bomb():
    """A PNG whose comment decompresses to 80 MB."""
    plain = encoded(photo(seed=9), "PNG")
    comment = b"Comment\0\0" + zlib.compress(b"a" * 80_000_000)
    return plain[:33] + png_chunk(b"zTXt", comment) + plain[33:]


def broken(content, at, value=b"\xff\x00garbage\xff"):
    return content[:at] + value + content[at + len(value) :]


@functools.cache
def files() -> dict[str, tuple[bytes, str, str]]:
    """Returns by name: content, what becomes of it, and words of what the report says of it."""
    jpeg, big = encoded(photo()), encoded(photo(400, 300, seed=3), quality=95)
    flat = encoded(photo(seed=4), "PNG")
    large = encoded(photo(300, 200, seed=5), "PNG")
    gray16 = Image.fromarray(np.arange(65536, dtype=np.uint16).reshape(256, 256))
    palette = photo(seed=6).quantize(16)
    return {
        "plain.jpg": (jpeg, USED, ""),
        "progressive.jpg": (encoded(photo(seed=11), progressive=True), USED, ""),
        "gray.jpg": (encoded(photo(mode="L")), USED, ""),
        "cmyk.jpg": (encoded(photo(mode="CMYK")), USED, "CMYK"),
        **{f"exif{n}.jpg": (turned(n), USED, "EXIF" if n > 1 else "") for n in range(1, 9)},
        "exif99.jpg": (turned(99), USED, ""),
        "exif broken.jpg": (
            encoded(photo(), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40),
            USED,
            "",
        ),
        "cut at 90%.jpg": (big[: len(big) * 9 // 10], USED, "cut off"),
        "cut at 20%.jpg": (big[: len(big) // 5], SKIPPED, "cut off"),
        "cut in header.jpg": (big[:100], SKIPPED, "damaged"),
        "cut.png": (large[: len(large) * 4 // 5], USED, "cut off"),
        "cut.webp": (encoded(photo(300, 200), "WEBP")[:900], SKIPPED, "damaged"),
        "cut.gif": (encoded(photo(300, 200), "GIF")[:-4000], USED, "cut off"),
        "cut.bmp": (encoded(photo(300, 200), "BMP")[:-9000], USED, "cut off"),
        "garbage inside.jpg": (broken(big, len(big) // 2), USED, ""),
        "garbage inside.png": (broken(large, len(large) // 8), USED, "damaged"),
        "wrong checksum.png": (broken(flat, 17, b"\x00\x00\x00\x50"), SKIPPED, ""),
        "empty.jpg": (b"", SKIPPED, "empty"),
        "one byte.jpg": (b"\xff", SKIPPED, "not a JPEG"),
        "zeros.jpg": (bytes(5000), SKIPPED, "not a JPEG"),
        "noise.jpg": (np.random.default_rng(0).bytes(5000), SKIPPED, "not a JPEG"),
        "page.jpg": (b"<html><body>404 Not Found</body></html>", SKIPPED, "not a JPEG"),
        "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", SKIPPED, "not a JPEG"),
        "notes.txt": (b"these are notes", SKIPPED, "not a JPEG"),
        "archive.jpg": (b"PK\x03\x04" + bytes(100), SKIPPED, "not a JPEG"),
        "scan.tiff": (encoded(photo(), "TIFF"), SKIPPED, "not a JPEG"),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", SKIPPED, "not a JPEG"),
        "is a png.jpg": (flat, USED, "PNG by its content"),
        "is a jpeg.png": (jpeg, USED, "JPEG by its content"),
        "is a webp.jpg": (encoded(photo(), "WEBP"), USED, "WEBP by its content"),
        "is a gif.jpeg": (encoded(photo(), "GIF"), USED, "GIF by its content"),
        "no ending": (jpeg, USED, "JPEG by its content"),
        "CAPITALS.JPG": (jpeg, USED, ""),
        "palette.png": (encoded(palette, "PNG"), USED, ""),
        "palette see-through.png": (encoded(palette, "PNG", transparency=3), USED, "transparent"),
        "alpha.png": (with_alpha("RGB"), USED, "transparent"),
        "gray alpha.png": (with_alpha("L"), USED, "transparent"),
        "opaque.png": (encoded(photo(mode="RGBA"), "PNG"), USED, ""),
        "alpha.webp": (with_alpha("RGB", "WEBP"), USED, "transparent"),
        "16 bit gray.png": (encoded(gray16, "PNG"), USED, "16 bits"),
        "16 bit color.png": (deep_color(), USED, "16 bits"),
        "1 bit.png": (encoded(photo(mode="1"), "PNG"), USED, ""),
        "plain.webp": (encoded(photo(), "WEBP"), USED, ""),
        "plain.bmp": (encoded(photo(), "BMP"), USED, ""),
        "plain.gif": (encoded(photo(), "GIF"), USED, ""),
        "moving.gif": (frames("GIF"), USED, "several frames"),
        "moving.webp": (frames("WEBP"), USED, "several frames"),
        "moving.png": (frames("PNG"), USED, "several frames"),
        "one pixel.png": (encoded(photo(1, 1), "PNG"), USED, ""),
        "one column.png": (encoded(photo(1, 5000), "PNG"), USED, ""),
        "one row.jpg": (encoded(photo(9000, 1)), USED, ""),
        "bomb.jpg": (jpeg_of_size(65000, 65000), SKIPPED, "million pixels"),
        "bomb.png": (png(60000, 60000, 8, 2, b""), SKIPPED, "million pixels"),
        "bomb.gif": (gif_bomb(), SKIPPED, "million pixels"),
        "text bomb.png": (text_bomb(), SKIPPED, "damaged"),
        "no pixels.png": (png(0, 10, 8, 2, b""), SKIPPED, ""),
        "no data.png": (png(10, 10, 8, 2, b""), SKIPPED, ""),
        "名前 ü.jpg": (jpeg, USED, ""),
        "quote'\"\n,new line.jpg": (jpeg, USED, ""),
        "$(touch x) & ;.jpg": (jpeg, USED, ""),
        "deep/er/still/nested.jpg": (jpeg, USED, ""),
        ".hidden.jpg": (jpeg, SKIPPED, "hidden"),
    }


def special(folder: Path) -> dict[str, tuple[Callable[[], None], str]]:
    """Returns by name what is no file with bytes: what makes it, and words of the report."""
    return {
        "link to nothing.jpg": (
            lambda: (folder / "link to nothing.jpg").symlink_to("gone.jpg"),
            "link to nothing",
        ),
        "link to itself.jpg": (
            lambda: (folder / "link to itself.jpg").symlink_to("link to itself.jpg"),
            "",
        ),
        "loop": (lambda: (folder / "loop").symlink_to(folder), "listed already"),
        "pipe.jpg": (lambda: os.mkfifo(folder / "pipe.jpg"), "not a regular file"),
        "huge.jpg": (
            lambda: os.truncate(os.open(folder / "huge.jpg", os.O_CREAT | os.O_RDWR), 2**33),
            "larger than",
        ),
    }
