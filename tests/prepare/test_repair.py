"""Repairs of single files, by the pixels of the result."""

import io

import hostile
import numpy as np
import pytest
import tensorflow as tf
from hostile import encoded, photo
from PIL import Image

from alexnet_tf.data.decode import UnusableImageError
from alexnet_tf.data.images import resize_and_crop
from alexnet_tf.prepare.repair import repair


def png(image, **options):
    return encoded(image, "PNG", **options)


@pytest.mark.parametrize("size", [(60, 40), (40, 61), (200, 150), (33, 32), (32, 32), (20, 31)])
def test_square_matches_the_tensorflow_resize(size):
    image = photo(*size, seed=2)
    expected = resize_and_crop(np.asarray(image), 32).numpy().astype(int)
    assert abs(repair(png(image), "x.png", 32).pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = photo(48, 32, seed=3)
    # What a camera that is held this way stores: the inverse of what viewers do.
    stored = {
        1: lambda i: i,
        2: lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda i: i.transpose(Image.Transpose.ROTATE_180),
        4: lambda i: i.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda i: i.transpose(Image.Transpose.TRANSPOSE),
        6: lambda i: i.transpose(Image.Transpose.ROTATE_90),
        7: lambda i: i.transpose(Image.Transpose.TRANSVERSE),
        8: lambda i: i.transpose(Image.Transpose.ROTATE_270),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    repaired = repair(encoded(stored, "PNG", exif=exif), "x.png", 32)
    assert repaired.size == (48, 32)
    expected = repair(png(upright), "x.png", 32).pixels.astype(int)
    assert abs(repaired.pixels.astype(int) - expected).max() <= 1
    assert bool(repaired.repairs) == (orientation > 1)


def test_transparency_is_put_on_white():
    image = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    assert (repair(png(image), "x.png", 8).pixels == 255).all()
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert abs(repair(png(half), "x.png", 8).pixels.astype(int) - 127).max() <= 1
    indexed = Image.new("P", (8, 8), 1)
    indexed.putpalette([0, 0, 0, 10, 20, 30])
    assert (repair(png(indexed, transparency=1), "x.png", 8).pixels == 255).all()
    assert (repair(png(indexed), "x.png", 8).pixels == (10, 20, 30)).all()


def test_16_bit_levels_are_divided_by_257():
    levels = np.array([[0, 257, 128 * 257, 65535]], np.uint16).repeat(4, axis=0)
    pixels = repair(png(Image.fromarray(levels)), "x.png", 4).pixels
    np.testing.assert_array_equal(pixels[0], np.repeat([[0], [1], [128], [255]], 3, axis=1))


def test_cmyk_is_converted_to_rgb():
    color = Image.new("RGB", (16, 16), (200, 40, 90))
    pixels = repair(encoded(color.convert("CMYK"), quality=100), "x.jpg", 8).pixels
    assert abs(pixels.astype(int) - (200, 40, 90)).max() <= 4


def test_large_jpeg_decoded_at_reduced_size_looks_the_same():
    image = photo(2000, 1500, seed=4)
    content = encoded(image, quality=95)
    expected = resize_and_crop(tf.io.decode_jpeg(content, channels=3), 64).numpy().astype(int)
    difference = abs(repair(content, "x.jpg", 64).pixels.astype(int) - expected)
    assert difference.mean() < 2


def test_truncated_file_keeps_its_decoded_rows():
    content = encoded(photo(400, 400, seed=5), quality=95)
    whole = repair(content, "x.jpg", 40).pixels.astype(int)
    part = repair(content[: len(content) * 8 // 10], "x.jpg", 40)
    assert abs(part.pixels[:25].astype(int) - whole[:25]).max() <= 1
    assert (part.pixels[-4:] == part.pixels[-1, -1]).all()
    assert "missing" in part.repairs[0][0]


def test_decompression_bomb_is_rejected_without_decompressing():
    with pytest.raises(UnusableImageError, match="million pixels"):
        repair(hostile.png(30000, 30000, 1, 0, b""), "x.png", 8)


def test_extension_is_compared_only_if_there_is_a_name():
    buffer = io.BytesIO()
    photo().save(buffer, "WEBP")
    assert not repair(buffer.getvalue(), "", 8).repairs
    assert not repair(buffer.getvalue(), "a.WebP", 8).repairs
    assert "WEBP" in repair(buffer.getvalue(), "a.jpg", 8).repairs[0][0]
