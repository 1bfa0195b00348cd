"""Random crops against slicing and a NumPy reference of resizing."""

import numba
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from alexnet_tf.data import crop
from alexnet_tf.data.crop import crop_and_flip, resize_crop_flip
from alexnet_tf.data.images import crop_and_flip_one, resize_and_crop


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_crop_and_flip_equals_slicing(data):
    height, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    pixels = data.draw(st.integers(1, min(height, width)))
    batch, channels = data.draw(st.integers(1, 4)), data.draw(st.sampled_from([1, 3]))
    images = np.random.default_rng(0).integers(0, 256, (batch, height, width, channels), np.uint8)
    tops = data.draw(st.lists(st.integers(0, height - pixels), min_size=batch, max_size=batch))
    lefts = data.draw(st.lists(st.integers(0, width - pixels), min_size=batch, max_size=batch))
    flips = data.draw(st.lists(st.booleans(), min_size=batch, max_size=batch))
    got = crop_and_flip(
        tf.constant(images), tf.constant(tops), tf.constant(lefts), tf.constant(flips), pixels
    ).numpy()
    for row in range(batch):
        y, x = tops[row], lefts[row]
        crop = images[row, y : y + pixels, x : x + pixels]
        np.testing.assert_array_equal(got[row], crop[:, ::-1] if flips[row] else crop)
        one = crop_and_flip_one(tf.constant(images[row]), y, x, tf.constant(flips[row]), pixels)
        np.testing.assert_array_equal(one, got[row])


def filter_matrix(old, new):
    """Returns float64 [new, old]: a triangle over each output pixel, as wide as it or an input."""
    centers = (np.arange(new) + 0.5) * old / new - 0.5
    reach = max(old / new, 1)
    weights = np.maximum(1 - np.abs(np.arange(old) - centers[:, None]) / reach, 0)
    return weights / weights.sum(axis=1, keepdims=True)


def reference(image, top, left, flip, resized, pixels):
    """Returns the crop before rounding, out of the whole rescaled image."""
    height, width = image.shape[:2]
    shorter = min(height, width)
    new = [max(int(side * resized / shorter + 0.5), resized) for side in (height, width)]
    rows, columns = filter_matrix(height, new[0]), filter_matrix(width, new[1])
    whole = np.einsum("yh,hwc,xw->yxc", rows, image.astype(float), columns)
    top, left = top + (new[0] - resized) // 2, left + (new[1] - resized) // 2
    crop = whole[top : top + pixels, left : left + pixels]
    return crop[:, ::-1] if flip else crop


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_crop_matches_the_crop_of_the_resized_image(data):
    sides = st.integers(1, 40)
    height, width, resized = data.draw(sides), data.draw(sides), data.draw(sides)
    pixels = data.draw(st.integers(1, resized))
    top, left = (data.draw(st.integers(0, resized - pixels)) for _ in range(2))
    channels, flip = data.draw(st.sampled_from([1, 3])), data.draw(st.booleans())
    image = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    got = resize_crop_flip(tf.constant(image), top, left, flip, resized, pixels).numpy()
    expected = reference(image, top, left, flip, resized, pixels)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 0.5 + 1e-3


def test_crop_of_an_image_of_that_size_is_copied():
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    for flip in (False, True):
        crop = resize_crop_flip(tf.constant(image), 2, 1, flip, 9, 6)
        expected = image[2:8, 1:7]
        np.testing.assert_array_equal(crop, expected[:, ::-1] if flip else expected)


def test_white_stays_white_at_every_size():
    for side in range(30, 90):
        white = tf.fill((side, side + 7, 3), tf.constant(255, tf.uint8))
        assert np.all(resize_crop_flip(white, 1, 2, True, 64, 56) == 255)


def test_function_is_compiled_without_a_writable_cache(monkeypatch):
    compile_function = numba.njit

    def nowhere(*arguments, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compile_function(*arguments, **options)

    monkeypatch.setattr(numba, "njit", nowhere)
    # Numba looks for the place when it decorates.
    assert crop._compiled(lambda x: x + 1)(2) == 3


@pytest.mark.parametrize("size", [(40, 30), (30, 41), (100, 64), (13, 20), (16, 16), (9, 50)])
@pytest.mark.parametrize("flip", [False, True])
def test_crop_is_within_one_level_of_the_crop_of_the_resized_image(size, flip):
    width, height = size
    coarse = np.random.default_rng(width).integers(0, 256, (5, 6, 3), np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    for channels in (3, 1):
        image = np.asarray(smooth)[..., :channels]
        square = resize_and_crop(image, 16)[tf.newaxis]
        for top, left in ((0, 0), (4, 1), (2, 4)):
            place = (tf.constant(top), tf.constant(left), tf.constant(flip))
            expected = crop_and_flip(square, *(p[tf.newaxis] for p in place), 12)[0]
            got = resize_crop_flip(tf.constant(image), *place, 16, 12)
            assert np.abs(got.numpy().astype(int) - expected.numpy().astype(int)).max() <= 1
