"""Random resized crops and color jitter: their distributions, pixels, and every kind of storage."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.augment import draw_color_jitter, draw_resized_crops
from alexnet_tf.data.crop import resize_crop_flip
from alexnet_tf.data.examples import ArrayExamples
from alexnet_tf.data.images import apply_color_jitter
from alexnet_tf.data.pipeline import training_batches
from alexnet_tf.recipes import get_recipe

PIXELS = 256


def test_resized_crops_have_the_published_areas_and_ratios():
    tops, lefts, heights, widths = draw_resized_crops(0, 0, np.arange(20_000), PIXELS)
    assert min(heights.min(), widths.min()) > 0
    assert np.all(tops >= 0) and np.all(tops + heights <= PIXELS)
    assert np.all(lefts >= 0) and np.all(lefts + widths <= PIXELS)
    area, ratio = heights * widths / PIXELS**2, widths / heights
    assert 0.07 < area.min() < 0.09 and area.max() == pytest.approx(1, abs=0.03)
    assert ratio.min() == pytest.approx(3 / 4, abs=0.02)
    assert ratio.max() == pytest.approx(4 / 3, abs=0.02)
    # Uniform below the area at which a ratio of 4:3 no longer fits into a square: 3/4.
    counts, _ = np.histogram(area, bins=np.linspace(0.1, 0.7, 7))
    assert counts.std() / counts.mean() < 0.04
    assert abs(np.log(ratio).mean()) < 0.01
    # Positions are uniform in what is left.
    free = heights < 200
    position = (tops / (PIXELS - heights + 1))[free]
    assert position.mean() == pytest.approx(0.49, abs=0.02)


def test_resized_crops_depend_on_seed_epoch_and_example_alone():
    indices = np.arange(50)
    drawn = np.stack(draw_resized_crops(3, 4, indices, PIXELS))
    reverse = np.stack(draw_resized_crops(3, 4, indices[::-1].reshape(5, 10), PIXELS))
    np.testing.assert_array_equal(reverse.reshape(4, -1)[:, ::-1], drawn)
    assert not np.array_equal(np.stack(draw_resized_crops(3, 5, indices, PIXELS)), drawn)
    assert not np.array_equal(np.stack(draw_resized_crops(2, 4, indices, PIXELS)), drawn)


def interpolated(image, top, left, height, width, pixels):
    """The crop by linear interpolation between pixel centers, for enlargement only."""

    def lines(begin, size, length):
        centers = begin + (np.arange(pixels) + 0.5) * size / pixels - 0.5
        centers = np.clip(centers, 0, length - 1)
        low = np.clip(np.floor(centers).astype(int), 0, length - 2)
        return low, (centers - low)[:, None, None]

    rows, weight = lines(top, height, image.shape[0])
    mixed = image[rows] * (1 - weight) + image[rows + 1] * weight
    columns, weight = lines(left, width, image.shape[1])
    mixed = mixed.transpose(1, 0, 2)
    return (mixed[columns] * (1 - weight) + mixed[columns + 1] * weight).transpose(1, 0, 2)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("box", [(0, 0, 20, 15), (7, 11, 13, 17), (22, 27, 10, 5), (0, 0, 32, 32)])
def test_resized_crop_matches_linear_interpolation(box, flip):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    top, left, height, width = box
    sizes = (np.int32(height), np.int32(width))
    crop = resize_crop_flip(image, np.int32(top), np.int32(left), flip, 32, 40, sizes).numpy()
    expected = interpolated(image.astype(float), *box, 40)
    expected = expected[:, ::-1] if flip else expected
    assert np.abs(crop - expected).max() <= 0.51


def test_resized_crop_averages_when_it_shrinks():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    sizes = (np.int32(64), np.int32(64))
    crop = resize_crop_flip(stripes, np.int32(0), np.int32(0), False, 64, 16, sizes).numpy()
    assert np.abs(crop[:, 1:-1].astype(int) - 100).max() <= 2  # aliasing would give 0 or 200


def test_color_jitter_factors_are_uniform_around_one():
    factors = draw_color_jitter(0, 0, np.arange(30_000), 0.4)
    assert factors.shape == (30_000, 3) and factors.dtype == np.float32
    assert 0.6 <= factors.min() < 0.601 and 1.399 < factors.max() <= 1.4
    np.testing.assert_allclose(factors.mean(axis=0), 1, atol=0.01)
    np.testing.assert_allclose(factors.std(axis=0), 0.8 / np.sqrt(12), atol=0.01)
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.02


def test_color_jitter_matches_numpy():
    images = np.random.default_rng(0).uniform(0, 255, (4, 6, 5, 3)).astype(np.float32)
    factors = np.array([[1, 1, 1], [0.6, 1, 1], [1, 1.4, 1], [1.3, 0.7, 1.4]], np.float32)
    result = apply_color_jitter(tf.constant(images), tf.constant(factors)).numpy()
    for image, (brightness, contrast, saturation), got in zip(images, factors, result, strict=True):
        gray = np.array([0.299, 0.587, 0.114])
        expected = np.clip(image.astype(float) * brightness, 0, 255)
        mean = (expected @ gray).mean()
        expected = np.clip(mean + (expected - mean) * contrast, 0, 255)
        own = (expected @ gray)[..., None]
        expected = np.clip(own + (expected - own) * saturation, 0, 255)
        np.testing.assert_allclose(got, expected, atol=0.05)
    np.testing.assert_allclose(result[0], images[0], atol=1e-3)


def test_color_jitter_of_gray_images_changes_brightness_and_contrast():
    images = np.random.default_rng(0).uniform(50, 200, (1, 4, 4, 1)).astype(np.float32)
    factors = np.array([[1.1, 0.8, 1.4]], np.float32)
    bright = images * np.float32(1.1)
    expected = bright.mean() + (bright - bright.mean()) * 0.8
    np.testing.assert_allclose(apply_color_jitter(images, factors), expected, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_batches_hold_resized_crops_and_jitter_factors(channels):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 32, 32, channels)).astype(np.uint8)
    examples = ArrayExamples(images, np.arange(10) % 2)
    recipe = get_recipe("cifar10-small")
    recipe = recipe.replace(
        crop="random-resized",
        color_jitter=0.4,
        pad_pixels=4,
        network=recipe.network.replace(input_size=24, channels=channels),
    )
    statistics = None  # only PCA lighting needs them, and this recipe has none
    arguments = {"seed": 1, "epoch": 2, "batch_size": 5}
    batches = list(training_batches(examples, recipe, statistics, **arguments))
    again = list(training_batches(examples, recipe, statistics, **arguments))
    rest = list(training_batches(examples, recipe, statistics, **arguments, skip_batches=1))
    assert [tuple(batch["image"].shape) for batch in batches] == [(5, 24, 24, channels)] * 2
    assert batches[0]["jitter"].shape == (5, 3)
    for one, other in zip(batches, again, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
    np.testing.assert_array_equal(rest[0]["image"], batches[1]["image"])
    np.testing.assert_array_equal(rest[0]["jitter"], batches[1]["jitter"])
