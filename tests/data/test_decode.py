"""Every way in decodes every format alike: the same pixels, or the same refusal."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from alexnet_tf.data import decode
from alexnet_tf.data.decode import UnusableImageError, decode_image, is_plain
from alexnet_tf.data.examples import FileExamples
from alexnet_tf.data.images import decode_content
from alexnet_tf.data.scan import scan_images
from alexnet_tf.evaluation.classifiers import Preprocessing
from alexnet_tf.evaluation.predict import Damaged, ImageReader
from alexnet_tf.prepare.repair import repair

SIDE = 32


def scene(mode="RGB"):
    """A smooth 32 x 32 picture without symmetry, so that any turn or flip is seen."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    red, green, blue = 7 * rows, 3 * rows + 4 * columns, 200 - 5 * columns
    image = Image.fromarray(np.stack([red, green, blue], -1).clip(0, 255).astype(np.uint8))
    return image if mode == "RGB" else image.convert(mode)


def with_alpha(mode):
    image = scene(mode)
    alpha = Image.fromarray((np.mgrid[0:SIDE, 0:SIDE][1] * 8).astype(np.uint8))
    image.putalpha(alpha)
    return image


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation, kind="JPEG", **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(scene(), kind, exif=exif, **options)


def palette_with_transparency():
    image = scene().quantize(16)
    return encoded(image, "PNG", transparency=3)


def deep_png():
    levels = np.linspace(0, 65535, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint16)
    return encoded(Image.fromarray(levels), "PNG")


FILES = {
    "jpeg": encoded(scene(), "JPEG", quality=95),
    "jpeg gray": encoded(scene("L"), "JPEG", quality=95),
    "jpeg cmyk": encoded(scene("CMYK"), "JPEG", quality=95),
    "jpeg rgb": encoded(scene(), "JPEG", keep_rgb=True, quality=95),
    "jpeg progressive": encoded(scene(), "JPEG", progressive=True, quality=95),
    **{f"jpeg exif {n}": turned(n, quality=95) for n in range(1, 9)},
    "png": encoded(scene(), "PNG"),
    "png exif 6": turned(6, "PNG"),
    "png rgba": encoded(with_alpha("RGB"), "PNG"),
    "png palette": encoded(scene().quantize(64), "PNG"),
    "png palette, transparent": palette_with_transparency(),
    "png gray": encoded(scene("L"), "PNG"),
    "png gray, alpha": encoded(with_alpha("L"), "PNG"),
    "png 16 bit": deep_png(),
    "png 1 bit": encoded(scene("1"), "PNG"),
    "webp": encoded(scene(), "WEBP", quality=95),
    "webp exif 8": turned(8, "WEBP", lossless=True),
    "webp alpha": encoded(with_alpha("RGB"), "WEBP", lossless=True),
    "webp animated": encoded(
        scene(), "WEBP", save_all=True, append_images=[scene("L").convert("RGB")], lossless=True
    ),
    "bmp": encoded(scene(), "BMP"),
    "bmp palette": encoded(scene().quantize(64), "BMP"),
    "bmp 1 bit": encoded(scene("1"), "BMP"),
    "bmp gray": encoded(scene("L"), "BMP"),
    "gif": encoded(scene().quantize(64), "GIF"),
    "gif transparent": encoded(scene().quantize(64), "GIF", transparency=3),
}
DAMAGED = {
    "empty": b"",
    "text": b"not an image",
    "cut png": FILES["png"][:60],
    "cut webp": FILES["webp"][:40],
}


def expected(content):
    """The picture as Pillow shows it, upright and on white."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    if image.mode.startswith("I"):
        return np.repeat(np.asarray(image, float)[..., None] / 257, 3, -1)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        pixels = np.asarray(image, float)
        alpha = pixels[..., 3:] / 255
        return alpha * pixels[..., :3] + (1 - alpha) * 255
    return np.asarray(image.convert("RGB"), float)


def by_file(content, tmp_path):
    """As raw folders are read by train, evaluate, report and similar --in."""
    path = tmp_path / "image"
    path.write_bytes(content)
    return FileExamples([path], np.zeros(1)).load(tf.constant(0, tf.int64)).numpy()


def by_predict(content, tmp_path):
    """As predict, similar and the demo read an image."""
    reader = ImageReader(Preprocessing(input_pixels=SIDE, resize_pixels=SIDE, channels=3))
    read = reader.read("image", content)
    if isinstance(read, Damaged):
        raise UnusableImageError(read.reason)
    return read[1]


def by_prepare(content, tmp_path):
    """As prepare reads a file."""
    return repair(content, "", SIDE).pixels


WAYS_IN = (by_file, by_predict, by_prepare)


@pytest.mark.parametrize("way_in", WAYS_IN)
@pytest.mark.parametrize("name", FILES)
def test_every_way_in_gives_the_pixels_that_a_viewer_shows(name, way_in, tmp_path):
    found = way_in(FILES[name], tmp_path)
    assert found.shape == (SIDE, SIDE, 3)
    np.testing.assert_allclose(found.astype(float), expected(FILES[name]), atol=2)


@pytest.mark.parametrize("name", FILES)
def test_gray_is_the_luminance_of_the_rgb_pixels(name):
    gray = decode_content(tf.constant(FILES[name]), 1).numpy()[..., 0]
    luminance = expected(FILES[name]) @ (0.299, 0.587, 0.114)
    np.testing.assert_allclose(gray, luminance, atol=2)


@pytest.mark.parametrize("name", DAMAGED)
def test_every_way_in_refuses_what_cannot_be_decoded(name, tmp_path):
    for way_in in (by_predict, by_prepare):
        with pytest.raises(UnusableImageError):
            way_in(DAMAGED[name], tmp_path)
    with pytest.raises(tf.errors.InvalidArgumentError):
        by_file(DAMAGED[name], tmp_path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_every_way_in_refuses_too_many_pixels_before_decoding(kind, tmp_path, monkeypatch):
    content = encoded(scene(), kind)
    monkeypatch.setattr(decode, "MAX_PIXELS", SIDE * SIDE - 1)
    for way_in in (by_predict, by_prepare):
        with pytest.raises(UnusableImageError, match="32 x 32: more than"):
            way_in(content, tmp_path)
    with pytest.raises(tf.errors.InvalidArgumentError):
        by_file(content, tmp_path)


def test_plain_files_are_those_that_tensorflow_decodes_alike():
    plain = {name for name, content in FILES.items() if is_plain(content)}
    jpeg = {"jpeg", "jpeg rgb", "jpeg gray", "jpeg progressive", "jpeg exif 1"}
    assert plain == jpeg | {"png", "png gray"}
    for name in plain:
        by_tensorflow = tf.io.decode_jpeg(FILES[name], channels=3, dct_method="INTEGER_ACCURATE")
        np.testing.assert_array_equal(by_tensorflow, decode_image(FILES[name]), err_msg=name)


def test_read_errors_that_pass_are_not_cached(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths = [tmp_path / f"{number:03}.png" for number in range(120)]
    for path in paths:
        path.write_bytes(FILES["png"])
    paths[7].write_bytes(DAMAGED["text"])
    paths[8].rename(tmp_path / "away.png")  # gone for a while, as on a network file system
    examples = FileExamples(paths, np.zeros(120))
    monkeypatch.setattr("alexnet_tf.data.scan.MAX_DAMAGED_FRACTION", 0.1)
    seen = dict(scan_images(examples, SIDE).damaged)
    assert seen.keys() == {str(paths[7]), str(paths[8])}
    (tmp_path / "away.png").rename(paths[8])
    again = dict(scan_images(FileExamples(paths, np.zeros(120)), SIDE).damaged)
    assert again.keys() == {str(paths[7])}
