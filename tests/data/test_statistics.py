"""The mean image, the principal components, damaged images, and the cache."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data import decode
from alexnet_tf.data import statistics as module
from alexnet_tf.data.examples import ArrayExamples, FileExamples
from alexnet_tf.data.images import resize_and_crop
from alexnet_tf.data.overview import read_sample
from alexnet_tf.data.statistics import (
    Statistics,
    cache_path,
    fit_statistics,
    principal_components,
)
from alexnet_tf.errors import InputError


def write_files(folder, count, size=(14, 11)):
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)
    return FileExamples(paths, np.arange(count) % 3)


def square(examples, index, pixels=8):
    return resize_and_crop(examples.load(tf.constant(index, tf.int64)), pixels).numpy()


def test_mean_and_components_match_numpy():
    images = np.random.default_rng(0).integers(0, 256, (150, 8, 8, 3), np.uint8)
    images[..., 1] = images[..., 0] // 2 + images[..., 1] // 2
    statistics = fit_statistics(ArrayExamples(images, np.zeros(150)), 8)
    mean = images.mean(axis=0)
    assert statistics.mean_image.dtype == np.float32
    np.testing.assert_allclose(statistics.mean_image, mean, rtol=1e-6)
    covariance = np.cov(images.reshape(-1, 3).T.astype(float), ddof=0)
    stds, vectors = statistics.rgb_stds, statistics.rgb_eigenvectors
    np.testing.assert_allclose(vectors @ np.diag(stds**2) @ vectors.T, covariance, rtol=1e-9)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-12)
    assert (np.diff(stds) > 0).all()
    assert (vectors[np.abs(vectors).argmax(axis=0), range(3)] > 0).all()


def test_known_components_are_recovered():
    rng = np.random.default_rng(5)
    vectors = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    vectors *= np.sign(vectors[np.abs(vectors).argmax(axis=0), range(3)])
    stds = np.array([4.0, 12.0, 30.0])
    colors = 128 + (rng.normal(size=(40 * 64, 3)) * stds) @ vectors.T
    assert colors.min() > 0 and colors.max() < 255
    images = np.rint(colors).astype(np.uint8).reshape(40, 8, 8, 3)
    statistics = fit_statistics(ArrayExamples(images, np.zeros(40)), 8)
    # 2,560 pixels: a standard deviation is known to 1 / sqrt(2 * 2560) = 1.4%.
    np.testing.assert_allclose(statistics.rgb_stds, stds, rtol=0.06)
    np.testing.assert_allclose(statistics.rgb_eigenvectors, vectors, atol=0.04)


def test_components_of_a_singular_covariance_are_not_nan():
    stds, vectors = principal_components(np.ones((3, 3)))
    np.testing.assert_allclose(stds, [0, 0, np.sqrt(3)], atol=1e-7)
    np.testing.assert_allclose(vectors[:, 2], np.ones(3) / np.sqrt(3))


def test_gray_images_have_a_mean_and_no_components():
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8)
    statistics = fit_statistics(ArrayExamples(images, np.zeros(5)), 4)
    np.testing.assert_allclose(statistics.mean_image, images.mean(axis=0), rtol=1e-6)
    assert not statistics.rgb_stds.any()


def test_images_in_memory_of_the_size_are_used_unchanged():
    examples = ArrayExamples(np.zeros((3, 4, 4, 3), np.uint8), np.zeros(3))
    assert fit_statistics(examples, 4).usable(examples) is examples


def test_images_in_memory_of_another_size_are_resized():
    images = np.random.default_rng(0).integers(0, 256, (70, 12, 9, 3), np.uint8)
    examples = ArrayExamples(images, np.arange(70))
    statistics = fit_statistics(examples, 8)
    resized = resize_and_crop(images, 8).numpy()
    np.testing.assert_array_equal(statistics.usable(examples).images, resized)
    np.testing.assert_allclose(statistics.mean_image, resized.mean(axis=0), rtol=1e-6)


def test_files_are_decoded_once_and_kept_in_memory(tmp_path):
    examples = write_files(tmp_path, 70)
    seen = []
    statistics = fit_statistics(examples, 8, lambda done, size: seen.append((done, size)))
    assert seen[-1] == (70, 70)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    usable = statistics.usable(examples)
    assert isinstance(usable, ArrayExamples)
    np.testing.assert_array_equal(usable.labels, examples.labels)
    squares = np.stack([square(examples, i) for i in range(70)])
    np.testing.assert_array_equal(usable.images, squares)
    np.testing.assert_allclose(statistics.mean_image, squares.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("keep_bytes", [0, 2**30])
def test_one_damaged_image_in_a_hundred_is_named_and_skipped(tmp_path, monkeypatch, keep_bytes):
    monkeypatch.setattr(module, "KEEP_BYTES", keep_bytes)
    examples = write_files(tmp_path, 100)
    (tmp_path / "042.png").write_bytes((tmp_path / "042.png").read_bytes()[:60])
    for _ in range(2):  # the second time from the cache
        statistics = fit_statistics(examples, 8)
        assert [name for name, _ in statistics.bad] == [str(tmp_path / "042.png")]
        assert "damaged" in statistics.bad[0][1]
        usable = statistics.usable(examples)
        good = [number for number in range(100) if number != 42]
        np.testing.assert_array_equal(usable.labels, examples.labels[good])
        np.testing.assert_array_equal(square(usable, 42), square(examples, 43))
        squares = np.stack([square(examples, i) for i in good])
        np.testing.assert_allclose(statistics.mean_image, squares.mean(axis=0), rtol=1e-6)


def test_more_than_one_damaged_image_in_a_hundred_is_an_error(tmp_path):
    examples = write_files(tmp_path, 100)
    (tmp_path / "007.png").write_text("no image")
    (tmp_path / "008.png").unlink()
    with pytest.raises(InputError) as caught:
        fit_statistics(examples, 8, what="validation")
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
    assert fit_statistics(examples, 8, cache=False).bad == ()
    monkeypatch.setattr(decode, "MAX_PIXELS", 40 * 30 - 1)
    ((bad, reason),) = fit_statistics(examples, 8, cache=False).bad
    assert bad == str(tmp_path / name)
    assert reason.startswith("40 x 30: more than")
    assert read_sample(examples).unreadable == [bad]


def test_long_list_of_damaged_images_is_shortened(tmp_path):
    examples = write_files(tmp_path, 12)
    for path in examples.paths:
        with open(path, "wb"):  # noqa: PTH123
            pass
    with pytest.raises(InputError, match="and 7 more"):
        fit_statistics(examples, 8)


@pytest.fixture
def streamed(tmp_path, monkeypatch):
    """Returns files that do not fit in memory, so that the cache spares a pass."""
    monkeypatch.setattr(module, "KEEP_BYTES", 0)
    return write_files(tmp_path, 20)


def same(first, second):
    for field in ("mean_image", "rgb_stds", "rgb_eigenvectors", "good"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))
    assert first.bad == second.bad


def forbid_reading(monkeypatch):
    def fail(*_):
        raise AssertionError("read again")

    monkeypatch.setattr(module, "read_squares", fail)


def test_second_call_reads_the_cache(streamed, cache_folder, monkeypatch):
    first = fit_statistics(streamed, 8)
    assert first.images is None
    assert cache_path(streamed, 8).is_relative_to(cache_folder)
    forbid_reading(monkeypatch)
    same(fit_statistics(streamed, 8), first)
    assert first.usable(streamed) is streamed
    for examples, pixels in ((streamed, 9), (streamed.subset(np.arange(10)), 8)):
        with pytest.raises(AssertionError, match="read again"):
            fit_statistics(examples, pixels)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "npy"])
def test_damaged_cache_is_replaced(streamed, damage):
    first = fit_statistics(streamed, 8)
    path = cache_path(streamed, 8)
    whole = path.read_bytes()
    if damage == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.write_bytes({"empty": b"", "cut": whole[:-100], "text": b"none of ours"}[damage])
    same(fit_statistics(streamed, 8), first)
    assert path.read_bytes() == whole or Statistics.load(path).bad == ()


def test_unwritable_cache_is_a_warning(streamed, cache_folder, caplog):
    cache_folder.write_text("a file where the folder should be")
    assert len(fit_statistics(streamed, 8).good) == 20
    assert "not cached" in caplog.text


def test_load_restores_what_save_wrote(tmp_path):
    statistics = Statistics(
        np.ones((2, 2, 3), np.float32), np.arange(3.0), np.eye(3), (("a.png", "damaged"),),
        np.array([0, 2]),
    )  # fmt: skip
    statistics.save(tmp_path / "statistics.npz")
    same(Statistics.load(tmp_path / "statistics.npz"), statistics)
    assert [path.name for path in tmp_path.glob("*.npz")] == ["statistics.npz"]
    (tmp_path / "statistics.npz").write_text("none of ours")
    with pytest.raises(InputError, match="is damaged"):
        Statistics.load(tmp_path / "statistics.npz")
    with pytest.raises(FileNotFoundError):
        Statistics.load(tmp_path / "none.npz")
