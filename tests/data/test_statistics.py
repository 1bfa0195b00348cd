"""The mean image, the principal components, and the cache."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data import scan
from alexnet_tf.data.examples import ArrayExamples, FileExamples
from alexnet_tf.data.images import resize_and_crop
from alexnet_tf.data.statistics import (
    Statistics,
    cache_path,
    fit_statistics,
    principal_components,
)


def write_files(folder, count, size=(14, 11)):
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)
    return FileExamples(paths, np.arange(count) % 3)


def test_mean_and_components_match_numpy():
    images = np.random.default_rng(0).integers(0, 256, (150, 8, 8, 3), np.uint8)
    images[..., 1] = images[..., 0] // 2 + images[..., 1] // 2
    statistics, _ = fit_statistics(ArrayExamples(images, np.zeros(150)), 8)
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
    statistics, _ = fit_statistics(ArrayExamples(images, np.zeros(40)), 8)
    # 2,560 pixels: a standard deviation is known to 1 / sqrt(2 * 2560) = 1.4%.
    np.testing.assert_allclose(statistics.rgb_stds, stds, rtol=0.06)
    np.testing.assert_allclose(statistics.rgb_eigenvectors, vectors, atol=0.04)


def test_components_of_a_singular_covariance_are_not_nan():
    stds, vectors = principal_components(np.ones((3, 3)))
    np.testing.assert_allclose(stds, [0, 0, np.sqrt(3)], atol=1e-7)
    np.testing.assert_allclose(vectors[:, 2], np.ones(3) / np.sqrt(3))


def test_gray_images_have_a_mean_and_no_components():
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8)
    statistics, _ = fit_statistics(ArrayExamples(images, np.zeros(5)), 4)
    np.testing.assert_allclose(statistics.mean_image, images.mean(axis=0), rtol=1e-6)
    assert not statistics.rgb_stds.any()


def test_images_in_memory_of_the_size_are_used_unchanged():
    examples = ArrayExamples(np.zeros((3, 4, 4, 3), np.uint8), np.zeros(3))
    assert fit_statistics(examples, 4)[1].examples is examples


def test_images_in_memory_of_another_size_are_resized():
    images = np.random.default_rng(0).integers(0, 256, (70, 12, 9, 3), np.uint8)
    examples = ArrayExamples(images, np.arange(70))
    statistics, found = fit_statistics(examples, 8)
    resized = resize_and_crop(images, 8).numpy()
    np.testing.assert_array_equal(found.examples.images, resized)
    np.testing.assert_allclose(statistics.mean_image, resized.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("cache_bytes", [0, 2**30])
def test_damaged_images_do_not_enter_the_statistics(tmp_path, monkeypatch, cache_bytes):
    monkeypatch.setattr(scan, "IMAGE_CACHE_BYTES", cache_bytes)
    examples = write_files(tmp_path, 100)
    (tmp_path / "042.png").write_bytes((tmp_path / "042.png").read_bytes()[:60])
    for _ in range(2):  # the second time from the cache
        statistics, found = fit_statistics(examples, 8)
        assert len(found.examples) == 99 and len(found.damaged) == 1
        images = [
            resize_and_crop(examples.load(tf.constant(i, tf.int64)), 8)
            for i in range(100)
            if i != 42
        ]
        np.testing.assert_allclose(statistics.mean_image, np.mean(images, axis=0), rtol=1e-6)


@pytest.fixture
def streamed(tmp_path, monkeypatch):
    """Files that do not fit in memory, so that the cache saves a pass."""
    monkeypatch.setattr(scan, "IMAGE_CACHE_BYTES", 0)
    return write_files(tmp_path, 20)


def assert_equal(first, second):
    for field in ("mean_image", "rgb_stds", "rgb_eigenvectors"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))


def test_second_call_reads_the_cache(streamed, cache_folder, monkeypatch):
    first, found = fit_statistics(streamed, 8)
    assert found.examples is streamed
    assert cache_path(streamed, 8).is_relative_to(cache_folder)

    def fail(*_):
        raise AssertionError("read again")

    monkeypatch.setattr(scan, "read_images", fail)
    second, found = fit_statistics(streamed, 8)
    assert_equal(second, first)
    assert found.examples is streamed
    for examples, pixels in ((streamed, 9), (streamed.subset(np.arange(10)), 8)):
        with pytest.raises(AssertionError, match="read again"):
            fit_statistics(examples, pixels)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "npy"])
def test_damaged_cache_is_replaced(streamed, damage):
    first, _ = fit_statistics(streamed, 8)
    path = cache_path(streamed, 8)
    whole = path.read_bytes()
    if damage == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.write_bytes({"empty": b"", "cut": whole[:-100], "text": b"none of ours"}[damage])
    assert_equal(fit_statistics(streamed, 8)[0], first)
    assert_equal(Statistics.load(path), first)


def test_unwritable_cache_is_a_warning(streamed, cache_folder, caplog):
    cache_folder.write_text("a file where the folder should be")
    assert len(fit_statistics(streamed, 8)[1].indices) == 20
    assert "not cached" in caplog.text


def test_load_restores_what_save_wrote(tmp_path):
    statistics = Statistics(np.ones((2, 2, 3), np.float32), np.arange(3.0), np.eye(3))
    statistics.save(tmp_path / "statistics.npz")
    assert_equal(Statistics.load(tmp_path / "statistics.npz"), statistics)
    assert [path.name for path in tmp_path.glob("*.npz")] == ["statistics.npz"]
    (tmp_path / "statistics.npz").write_text("none of ours")
    assert Statistics.load(tmp_path / "statistics.npz") is None
    assert Statistics.load(tmp_path / "none.npz") is None
