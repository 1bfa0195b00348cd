"""Image decoding in the served graph, with Pillow as the reference."""

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from alexnet_tf.data.decode import MAX_PIXELS
from alexnet_tf.export.image_decoding import (
    checked_pixels,
    decode_and_resize,
    decode_upright,
    exif_orientation,
)

CONTENT = tf.TensorSpec((), tf.string)
decode = tf.function(lambda content: decode_upright(content, 3), input_signature=[CONTENT])
pixels = tf.function(checked_pixels, input_signature=[CONTENT])
orientation = tf.function(exif_orientation, input_signature=[CONTENT])


@pytest.fixture(scope="module")
def photo():
    """RGB, 45 wide and 30 high, with structure in every corner."""
    coarse = np.random.default_rng(3).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(coarse).resize((45, 30), Image.BICUBIC)


def encode(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def pillow_rgb(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}])
def test_jpeg_pixels_equal_pillow(photo, mode, options):
    content = encode(photo.convert(mode), "JPEG", **options)
    np.testing.assert_array_equal(decode(content), pillow_rgb(content))


def tiff(value, order, *, kind=3, count=1, entries_before=0):
    """EXIF data with one orientation entry, written by the TIFF 6.0 layout."""
    mark = {"<": b"II", ">": b"MM"}[order]
    directory = struct.pack(order + "H", entries_before + 1)
    for tag in range(entries_before):
        directory += struct.pack(order + "HHII", 0x100 + tag, 4, 1, 6)
    field = struct.pack(
        order + ("HH" if kind == 3 else "I"), *((value, 0) if kind == 3 else (value,))
    )
    directory += struct.pack(order + "HHI", 0x112, kind, count) + field + bytes(4)
    return mark + struct.pack(order + "HI", 42, 8) + directory


def with_exif(jpeg, data, *, before=b""):
    segment = b"Exif\0\0" + data
    return (
        jpeg[:2] + before + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]
    )


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"kind": 4},
        {"entries_before": 3},
    ],
    ids=["short", "long", "fourth_entry"],
)
def test_exif_orientation_is_applied_as_pillow_applies_it(photo, value, order, layout):
    content = with_exif(encode(photo, "JPEG"), tiff(value, order, **layout))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert upright.size == ((45, 30) if value < 5 else (30, 45))
    np.testing.assert_array_equal(decode(content), np.asarray(upright))


@pytest.mark.parametrize(
    "before",
    [
        b"\xff\xfe" + struct.pack(">H", 2 + 300) + bytes(300),
        b"\xff\xe1" + struct.pack(">H", 2 + 8) + b"http://x",
        b"\xff\xff\xff",
    ],
    ids=["comment", "other_app1", "fill_bytes"],
)
def test_exif_is_found_behind_other_segments(photo, before):
    content = with_exif(encode(photo, "JPEG"), tiff(6, ">"), before=before)
    assert Image.open(io.BytesIO(content)).getexif()[0x112] == 6
    assert orientation(content) == 6


@pytest.mark.parametrize(
    "data",
    [
        b"",
        tiff(0, "<"),
        tiff(9, "<"),
        tiff(6, "<", count=2),
        tiff(6, "<", kind=5),
        b"XX" + tiff(6, ">")[2:],
        tiff(6, ">")[:4] + b"\xff\xff\xff\xff" + tiff(6, ">")[8:],
        tiff(6, ">")[:8] + b"\xff\xff",
    ],
)
def test_invalid_exif_orientation_is_ignored(photo, data):
    content = with_exif(encode(photo, "JPEG"), data)
    assert orientation(content) == 1
    np.testing.assert_array_equal(decode(content), pillow_rgb(content))


def test_exif_orientation_reads_any_truncated_file(photo):
    content = with_exif(encode(photo, "JPEG"), tiff(6, "<", entries_before=2))
    values = [int(orientation(content[:size])) for size in range(120)]
    assert set(values) == {1, 6}
    assert values == sorted(values)


def transparent(photo, mode):
    image = photo.convert("L" if mode == "LA" else "RGB")
    alpha = np.arange(45 * 30, dtype=np.uint32).reshape(30, 45) * 7 % 256
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return image


@pytest.mark.parametrize(
    ("mode", "file_format", "options"),
    [
        ("RGBA", "PNG", {}),
        ("LA", "PNG", {}),
        ("RGBA", "WEBP", {"lossless": True}),
    ],
)
def test_transparent_images_are_put_on_white(photo, mode, file_format, options):
    content = encode(transparent(photo, mode), file_format, **options)
    rgba = Image.open(io.BytesIO(content)).convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    expected = np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    np.testing.assert_array_equal(decode(content), expected)


def test_blending_is_exact_for_every_color_and_alpha():
    color, alpha = np.meshgrid(np.arange(256), np.arange(256))
    rgba = np.stack([color, color, color, alpha], axis=-1).astype(np.uint8)
    expected = np.round((color * alpha + 255 * (255 - alpha)) / 255)
    np.testing.assert_array_equal(decode(encode(Image.fromarray(rgba), "PNG"))[..., 0], expected)


def test_palette_png_with_transparent_color_is_put_on_white(photo):
    palette = photo.quantize(8)
    content = encode(palette, "PNG", transparency=3)
    expected = np.array(palette.convert("RGB"))
    expected[np.asarray(palette) == 3] = 255
    np.testing.assert_array_equal(decode(content), expected)


@pytest.mark.parametrize(
    ("file_format", "options"),
    [("PNG", {}), ("BMP", {}), ("GIF", {}), ("WEBP", {"lossless": True}), ("WEBP", {})],
)
def test_other_formats_equal_pillow(photo, file_format, options):
    image = photo.quantize(16) if file_format == "GIF" else photo
    content = encode(image, file_format, **options)
    np.testing.assert_array_equal(decode(content), pillow_rgb(content))


def test_gray_network_gets_luminance(photo):
    gray = decode_and_resize(tf.constant([encode(photo, "PNG")]), 1, 30)
    np.testing.assert_allclose(
        gray[0, ..., 0], np.asarray(photo.convert("L").crop((7, 0, 37, 30))), atol=1
    )


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width, height):
    """A valid gray PNG file of any size: 1 KB per million pixels."""
    rows = zlib.compressobj(9)
    row = bytes(1 + width)
    data = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def gif(screen, frames, *, local_colors=False, comments=0):
    """A GIF whose frames are all of one color, in sub-blocks of a single byte."""
    width, height = screen
    content = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    content += b"!\xfe\x03abc\x02de\x00" * comments
    for columns, rows in frames:
        content += b"," + struct.pack("<HHHHB", 0, 0, columns, rows, 0x81 if local_colors else 0)
        content += bytes(12) if local_colors else b""
        content += b"\x02" + b"\x01\x44\x01\x01\x00"
    return content + b";"


def jpeg_header(width, height, photo):
    content = encode(photo, "JPEG")
    position = content.index(b"\xff\xc0") + 5
    return content[:position] + struct.pack(">HH", height, width) + content[position + 4 :]


def webp_header(width, height, photo, kind):
    options = {"VP8 ": {}, "VP8L": {"lossless": True}, "VP8X": {"exif": b"Exif\0\0II*\0"}}[kind]
    content = bytearray(encode(photo, "WEBP", **options))
    assert content[12:16] == kind.encode()
    if kind == "VP8 ":
        content[26:30] = struct.pack("<HH", width, height)
    elif kind == "VP8L":
        content[21:25] = struct.pack("<I", width - 1 | (height - 1) << 14)
    else:
        content[24:27] = struct.pack("<I", width - 1)[:3]
        content[27:30] = struct.pack("<I", height - 1)[:3]
    return bytes(content)


def sized_headers(photo):
    """Functions from (width, height) to a file that claims this size, by format."""
    png, bmp = encode(photo, "PNG"), encode(photo, "BMP")
    return {
        "PNG": lambda w, h: png[:16] + struct.pack(">II", w, h) + png[24:],
        "JPEG": lambda w, h: jpeg_header(w, h, photo),
        "BMP": lambda w, h: bmp[:18] + struct.pack("<ii", w, h) + bmp[26:],
        "BMP from the top": lambda w, h: bmp[:18] + struct.pack("<ii", w, -h) + bmp[26:],
        "VP8": lambda w, h: webp_header(w, h, photo, "VP8 "),
        "VP8L": lambda w, h: webp_header(w, h, photo, "VP8L"),
        "VP8X": lambda w, h: webp_header(w, h, photo, "VP8X"),
        "GIF": lambda w, h: gif((5, 5), [(3, 4), (w, h)]),
        "GIF local colors": lambda w, h: gif((5, 5), [(3, 4), (w, h)], local_colors=True),
        "GIF comments": lambda w, h: gif((5, 5), [(w, h), (3, 4)], comments=3),
    }


@pytest.mark.parametrize("name", sized_headers(Image.new("RGB", (8, 8))))
def test_size_is_read_from_the_header_and_limited(photo, name):
    header = sized_headers(photo)[name]
    assert pixels(header(8192, MAX_PIXELS // 8192)) == MAX_PIXELS
    assert pixels(header(300, 7)) == 2100
    for width, height in ((8193, 8192), (8192, 8193), (16000, 16000)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"more than {MAX_PIXELS} pixels"):
            pixels(header(width, height))


def test_largest_png_and_bmp_headers_do_not_overflow(photo):
    png, bmp = encode(photo, "PNG"), encode(photo, "BMP")
    largest = b"\xff" * 8
    lowest = struct.pack("<ii", -(2**31), -(2**31))
    for content in (png[:16] + largest + png[24:], bmp[:18] + lowest + bmp[26:]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="pixels"):
            pixels(content)


def test_gif_frames_are_limited_together():
    frame = (8000, 8000)
    assert pixels(gif((5, 5), [frame] * 3)) == 8000 * 8000
    with pytest.raises(tf.errors.InvalidArgumentError, match="pixels"):
        pixels(gif((5, 5), [frame] * 4))
    with pytest.raises(tf.errors.InvalidArgumentError, match="pixels"):
        pixels(gif((5, 5), [(1, 1)] * 5000))


def test_animated_gif_of_pillow_is_measured_and_decoded(photo):
    frames = [photo.quantize(16), ImageOps.mirror(photo).quantize(16), photo.quantize(4)]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"x" * 700)
    assert pixels(content) == 45 * 30
    np.testing.assert_array_equal(decode(content), pillow_rgb(content))


@pytest.mark.parametrize("content", [b"", b"B", b"RIFF", b"RIFF1234WAVE", b"text", b"\xff\xd8\xff"])
def test_other_files_are_rejected(content):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"damaged|JPEG"):
        pixels(content)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_truncated_files_raise_invalid_argument(photo, file_format):
    image = photo.quantize(16) if file_format == "GIF" else photo
    content = encode(image, file_format)
    rejected = 0
    strings = tf.TensorSpec([None], tf.string)
    served = tf.function(lambda contents: decode_and_resize(contents, 3, 16), [strings])
    assert served([content]).shape == (1, 16, 16, 3)
    for size in range(0, 64, 3):
        try:
            served([content[:size]])
        except tf.errors.InvalidArgumentError:
            rejected += 1
    assert rejected == 22


def test_decoding_starts_only_if_all_images_fit(photo):
    contents = tf.constant([encode(photo, "PNG"), bomb(8193, 8192), b"not an image"])
    graph_function = tf.function(lambda x: decode_and_resize(x, 3, 16)).get_concrete_function(
        contents
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"more than {MAX_PIXELS} pixels"):
        graph_function(contents[:2])
    with pytest.raises(tf.errors.InvalidArgumentError, match="is not JPEG"):
        graph_function(contents[::2])


# Prints how much each request raises the peak memory of a process with eight threads. VmHWM is used
# because `ru_maxrss` of a subprocess starts at the peak of its parent.
PEAK_MEMORY = """
import json, sys
import tensorflow as tf
from alexnet_tf.export.image_decoding import decode_and_resize
tf.config.threading.set_inter_op_parallelism_threads(8)
function = tf.function(
    lambda x: decode_and_resize(x, 3, 16), input_signature=[tf.TensorSpec((None,), tf.string)]
)
def peak_megabytes():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
results = []
for names in json.loads(sys.argv[1]):
    before = peak_megabytes()
    try:
        function(tf.constant([open(name, "rb").read() for name in names]))
        outcome = "decoded"
    except tf.errors.InvalidArgumentError:
        outcome = "rejected"
    results.append((outcome, peak_megabytes() - before))
print(json.dumps(results))
"""


def peak_growth(tmp_path, *requests):
    """Returns (outcome, growth of the peak in MB) of each request, run in turn in a process."""
    names = []
    for request in requests:
        names.append([])
        for content in request:
            path = tmp_path / f"{len(names)}-{len(names[-1])}"
            path.write_bytes(content)
            names[-1].append(str(path))
    done = subprocess.run(
        [sys.executable, "-c", PEAK_MEMORY, json.dumps(names)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from /proc (Linux)"
)


@needs_proc
@pytest.mark.slow
def test_decompression_bomb_is_rejected_without_using_memory(tmp_path):
    content = bomb(20_000, 20_000)
    assert len(content) < 500_000
    _, (outcome, megabytes) = peak_growth(tmp_path, [bomb(16, 16)], [content])
    assert outcome == "rejected"
    assert megabytes < 100


@needs_proc
@pytest.mark.slow
def test_large_images_of_a_request_are_decoded_one_at_a_time(tmp_path):
    side = 6000
    assert side**2 < MAX_PIXELS < 2 * side**2
    image = bomb(side, side)
    _, one, eight = peak_growth(tmp_path, [bomb(16, 16)], [image], [image] * 8)
    assert (one[0], eight[0]) == ("decoded", "decoded")
    assert one[1] > 3 * side**2 / 2**20  # at least RGB: the measurement sees the image
    # Decoded together they raise the peak by more than 1000 MB, one at a time by 35 MB.
    assert eight[1] < one[1]
