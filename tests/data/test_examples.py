"""Examples in memory and in files: reading, subsets, names, fingerprints."""

import gc
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data.augment import CropPlan
from alexnet_tf.data.crop import empty_images
from alexnet_tf.data.examples import ArrayExamples, FileExamples
from alexnet_tf.data.images import decode

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def load(examples, index):
    return examples.load(tf.constant(index, tf.int64)).numpy()


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(len(IMAGES))]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image).save(path)
    return FileExamples(paths, LABELS)


@pytest.fixture
def arrays():
    return ArrayExamples(IMAGES, LABELS, origin="toys train")


@pytest.mark.parametrize("kind", ["files", "arrays"])
def test_load_gives_each_image_with_its_label(kind, request):
    examples = request.getfixturevalue(kind)
    assert len(examples) == 6
    assert examples.channels == 3
    assert examples.labels.dtype == np.int64
    for index, image in enumerate(IMAGES):
        np.testing.assert_array_equal(load(examples, index), image)
    in_map = tf.data.Dataset.range(6).map(examples.load)
    np.testing.assert_array_equal(np.stack(list(in_map.as_numpy_iterator())), IMAGES)


@pytest.mark.parametrize("kind", ["files", "arrays"])
def test_subset_of_a_subset_keeps_labels_and_names(kind, request):
    examples = request.getfixturevalue(kind)
    subset = examples.subset(np.array([5, 1, 3])).subset(np.array([2, 0]))
    np.testing.assert_array_equal(subset.labels, [0, 2])
    np.testing.assert_array_equal(load(subset, 0), IMAGES[3])
    assert [subset.name(0), subset.name(1)] == [examples.name(3), examples.name(5)]


@pytest.mark.parametrize("kind", ["files", "arrays"])
def test_fingerprints_of_subsets_differ(kind, request):
    examples = request.getfixturevalue(kind)
    first, second = np.array([0, 1]), np.array([1, 0])
    assert examples.fingerprint() == examples.subset(np.arange(6)).fingerprint()
    assert len({e.fingerprint() for e in (examples, *map(examples.subset, (first, second)))}) == 3


def test_name_is_a_path_or_a_number_in_the_split(files, arrays):
    assert files.name(2).endswith("2.png")
    assert arrays.name(2) == "toys train 2"


def test_changed_file_changes_the_fingerprint(files):
    before = files.fingerprint()
    os.utime(files.name(0), ns=(1, 1))
    after = files.fingerprint()
    assert after != before
    Path(files.name(0)).unlink()
    assert files.fingerprint() not in (before, after)


def test_file_name_that_is_not_utf_8_is_supported(files, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    Path(files.name(0)).rename(path)
    renamed = FileExamples([path, *files.paths[1:]], LABELS)
    np.testing.assert_array_equal(load(renamed, 0), IMAGES[0])
    assert renamed.fingerprint() != files.fingerprint()


def test_link_to_itself_has_a_fingerprint_and_fails_to_load(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    examples = FileExamples([tmp_path / "loop.png"], np.array([0]))
    assert examples.fingerprint()
    with pytest.raises(tf.errors.OpError):
        load(examples, 0)


def test_changed_pixel_changes_the_fingerprint(arrays):
    changed = IMAGES.copy()
    changed[3, 2, 1, 0] ^= 1
    assert ArrayExamples(changed, LABELS).fingerprint() != arrays.fingerprint()


def test_wrong_arrays_are_rejected():
    with pytest.raises(ValueError, match="Received: float32"):
        ArrayExamples(IMAGES.astype(np.float32), LABELS)
    with pytest.raises(ValueError, match="5 labels"):
        ArrayExamples(IMAGES, LABELS[:5])


@pytest.mark.parametrize("channels", [1, 3])
def test_crops_equal_slicing_for_any_memory_layout(channels):
    # Channels first, as some files have them, seen as channels last.
    images = IMAGES[:, :4, :, :channels].transpose(0, 3, 1, 2).copy().transpose(0, 2, 3, 1)
    indices, tops, lefts = np.array([3, 0, 3]), np.array([0, 1, 1]), np.array([1, 1, 0])
    flips = np.array([True, False, True])
    rows = (array[np.newaxis] for array in (indices, tops, lefts, flips))
    plan = CropPlan(*rows, resize_pixels=4, pad_pixels=0, crop_pixels=3)
    (crops,) = ArrayExamples(images, LABELS).crops(plan).as_numpy_iterator()
    for crop, index, top, left, flip in zip(crops, indices, tops, lefts, flips, strict=True):
        expected = images[index, top : top + 3, left : left + 3]
        np.testing.assert_array_equal(crop, expected[:, ::-1] if flip else expected)


def encoded(image, kind, mode, tmp_path):
    path = tmp_path / f"image.{kind}"
    Image.fromarray(image).convert(mode).save(path)
    return tf.constant(path.read_bytes())


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("png", "RGB"), ("png", "RGBA"), ("bmp", "RGB"), ("bmp", "RGBA")],
)
def test_graph_decoder_is_exact_for_lossless_formats(kind, mode, tmp_path):
    decoded = decode(encoded(IMAGES[0], kind, mode, tmp_path), 3).numpy()
    np.testing.assert_array_equal(decoded, IMAGES[0])


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("jpeg", "RGB"),
        ("jpeg", "CMYK"),
        ("jpeg", "L"),
        ("gif", "P"),
        ("png", "P"),
        ("png", "LA"),
        ("webp", "RGBA"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_graph_decoder_converts_every_format_to_the_channels(kind, mode, channels, tmp_path):
    plain = np.broadcast_to(np.uint8([204, 51, 102]), (16, 24, 3)).copy()
    decoded = decode(encoded(plain, kind, mode, tmp_path), channels)
    assert decoded.dtype == tf.uint8
    gray = np.asarray(Image.fromarray(plain).convert("L"))[..., None]
    colors = plain if mode not in ("L", "LA") else np.repeat(gray, 3, axis=-1)
    expected = (gray if channels == 1 else colors).astype(int)
    assert decoded.shape == expected.shape
    # The color is in Pillow's palette; JPEG is off by few levels.
    assert np.abs(decoded.numpy() - expected).max() <= (4 if kind in ("jpeg", "webp") else 1)


def test_graph_decoder_converts_a_gray_bitmap_to_rgb(tmp_path):
    gray = encoded(IMAGES[0], "bmp", "L", tmp_path)
    by_pillow = np.asarray(Image.fromarray(IMAGES[0]).convert("L"))
    np.testing.assert_array_equal(decode(gray, 3).numpy(), np.repeat(by_pillow[..., None], 3, -1))


@pytest.mark.parametrize("content", [b"", b"BM", b"no image", b"\xff\xd8\xff\xe0cut"])
def test_graph_decoder_rejects_other_content(content):
    with pytest.raises(tf.errors.OpError):
        decode(tf.constant(content), 3)


@pytest.mark.parametrize("offset", [0, 1, 16, 32])
def test_arrays_of_any_alignment_are_read(offset):
    # TensorFlow aborts the process on memory that it shares and that is not aligned.
    memory = np.zeros(IMAGES.size + 128, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    images = memory[start : start + IMAGES.size].reshape(IMAGES.shape)
    images[...] = IMAGES
    assert np.array_equal(ArrayExamples(images, LABELS).load(np.int64(3)), IMAGES[3])


def test_read_only_arrays_are_read():
    images = IMAGES.copy()
    images.setflags(write=False)
    assert np.array_equal(ArrayExamples(images, LABELS).load(np.int64(3)), IMAGES[3])


def test_images_from_empty_images_are_shared_with_tensorflow():
    images = empty_images(IMAGES.shape)
    images[...] = IMAGES
    examples = ArrayExamples(images, LABELS)
    assert examples.images is images
    before = examples.load(np.int64(3)).numpy()
    images[3] = 255 - images[3]
    assert np.array_equal(examples.load(np.int64(3)), 255 - before)


def test_images_outlive_the_examples_that_share_them():
    tensor = ArrayExamples(IMAGES.copy(), LABELS).tensor
    gc.collect()
    np.zeros(IMAGES.shape, np.uint8)  # would take the memory if it were free
    assert np.array_equal(tensor, IMAGES)
