"""The compiled crop against a NumPy reference, and without a writable cache."""

import numba
import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_tf.data import compiled_crop
from alexnet_tf.data.compiled_crop import resize_crop_flip


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
    assert compiled_crop._compiled(lambda x: x + 1)(2) == 3
