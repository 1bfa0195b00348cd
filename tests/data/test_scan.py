"""Scanning a split: damaged images, the images kept in memory, and the cached list."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data import decode, scan
from alexnet_tf.data.examples import ArrayExamples, FileExamples
from alexnet_tf.data.images import resize_and_crop
from alexnet_tf.data.scan import first_unreadable, scan_images
from alexnet_tf.data.summary import read_sample
from alexnet_tf.errors import InputError


def write_files(folder, count, size=(14, 11)):
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)
    return FileExamples(paths, np.arange(count) % 3)


def resized(examples, index, pixels=8):
    return resize_and_crop(examples.load(tf.constant(index, tf.int64)), pixels).numpy()


@pytest.fixture
def streamed(tmp_path, monkeypatch):
    """Files that do not fit in memory, so that the cached list saves a pass."""
    monkeypatch.setattr(scan, "IMAGE_CACHE_BYTES", 0)
    return write_files(tmp_path, 100)


def forbid_reading(monkeypatch):
    def fail(*_):
        raise AssertionError("read again")

    monkeypatch.setattr(scan, "read_images", fail)


def test_files_are_decoded_once_and_kept_in_memory(tmp_path):
    examples = write_files(tmp_path, 150)
    progress = []
    found = scan_images(examples, 8, lambda done, size: progress.append((done, size)))
    assert progress == [(64, 150), (128, 150), (150, 150)]
    assert isinstance(found.examples, ArrayExamples)
    np.testing.assert_array_equal(found.examples.labels, examples.labels)
    images = np.stack([resized(examples, i) for i in range(150)])
    np.testing.assert_array_equal(found.examples.images, images)


def test_images_in_memory_are_not_read(monkeypatch):
    forbid_reading(monkeypatch)
    examples = ArrayExamples(np.zeros((3, 4, 4, 3), np.uint8), np.zeros(3))
    assert scan_images(examples, 8).examples is examples
    assert first_unreadable(None, examples) is None


@pytest.mark.parametrize("cache_bytes", [0, 2**30])
def test_one_damaged_image_in_a_hundred_is_named_and_skipped(tmp_path, monkeypatch, cache_bytes):
    monkeypatch.setattr(scan, "IMAGE_CACHE_BYTES", cache_bytes)
    examples = write_files(tmp_path, 100)
    (tmp_path / "042.png").write_bytes((tmp_path / "042.png").read_bytes()[:60])
    for _ in range(2):  # the second time from the cache
        found = scan_images(examples, 8)
        assert [name for name, _ in found.damaged] == [str(tmp_path / "042.png")]
        assert "damaged" in found.damaged[0][1]
        good = [number for number in range(100) if number != 42]
        np.testing.assert_array_equal(found.indices, good)
        np.testing.assert_array_equal(found.examples.labels, examples.labels[good])
        np.testing.assert_array_equal(resized(found.examples, 42), resized(examples, 43))
        assert first_unreadable(examples).startswith(f"{tmp_path / '042.png'} (damaged")


def test_more_than_one_damaged_image_in_a_hundred_is_an_error(tmp_path):
    examples = write_files(tmp_path, 100)
    (tmp_path / "007.png").write_text("no image")
    (tmp_path / "008.png").unlink()
    with pytest.raises(InputError) as caught:
        scan_images(examples, 8, split="validation")
    message = str(caught.value)
    assert "2 of 100 validation images cannot be read, more than 1%" in message
    assert f"{tmp_path / '007.png'} (not a JPEG, PNG, WebP, BMP or GIF image)" in message
    assert f"{tmp_path / '008.png'} (missing)" in message


@pytest.mark.parametrize("name", ["000.png", "000.jpg", "000.bmp", "000.gif", "000.webp"])
def test_image_with_too_many_pixels_is_not_decoded(tmp_path, monkeypatch, name):
    examples = write_files(tmp_path, 100)
    Image.new("RGB", (40, 30)).save(tmp_path / name)
    examples.paths[0] = str(tmp_path / name)
    monkeypatch.setattr(decode, "MAX_PIXELS", 40 * 30)
    assert scan_images(examples, 8, cache=False).damaged == ()
    monkeypatch.setattr(decode, "MAX_PIXELS", 40 * 30 - 1)
    ((damaged, reason),) = scan_images(examples, 8, cache=False).damaged
    assert damaged == str(tmp_path / name)
    assert reason.startswith("40 x 30: more than")
    assert read_sample(examples).unreadable == [damaged]


def test_long_list_of_damaged_images_is_shortened(tmp_path):
    examples = write_files(tmp_path, 12)
    for path in examples.paths:
        with open(path, "wb"):  # noqa: PTH123
            pass
    with pytest.raises(InputError, match="and 7 more"):
        scan_images(examples, 8)


def test_second_scan_reads_the_cached_list(streamed, tmp_path, monkeypatch):
    (tmp_path / "007.png").write_text("no image")
    first = scan_images(streamed, 8)
    assert not isinstance(first.examples, ArrayExamples)
    forbid_reading(monkeypatch)
    second = scan_images(streamed, 9)  # damage does not depend on the size
    assert second.damaged == first.damaged != ()
    np.testing.assert_array_equal(second.indices, first.indices)
    with pytest.raises(AssertionError, match="read again"):
        scan_images(streamed.subset(np.arange(10)), 8)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "other"])
def test_damaged_cached_list_is_replaced(streamed, cache_folder, damage):
    scan_images(streamed, 8)
    (path,) = cache_folder.rglob("*.json")
    whole = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "cut": whole[:-9], "text": b"\xff", "other": b'{"damaged": [[0, "x"]]}'}[
            damage
        ]
    )
    assert scan_images(streamed, 8).damaged == ()
    assert path.read_bytes() == whole


def test_unwritable_cache_is_a_warning(streamed, cache_folder, caplog):
    cache_folder.write_text("a file where the folder should be")
    assert len(scan_images(streamed, 8).indices) == 100
    assert "not cached" in caplog.text
