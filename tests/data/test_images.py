"""Resizing, cropping and color against Pillow and NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from alexnet_tf.data.images import (
    center_crop,
    pad_reflect,
    resize_and_crop,
    ten_crop,
    to_channels,
)


def photo(height, width, seed=0):
    """Returns smooth colors with some noise, as photos have them."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    return np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)


def pillow(image, pixels):
    """Returns what Pillow makes of it: shorter side to `pixels`, then the central square."""
    height, width = image.shape[:2]
    shorter = min(height, width)
    size = (int(width * pixels / shorter + 0.5), int(height * pixels / shorter + 0.5))
    resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - pixels) // 2, (size[1] - pixels) // 2
    return np.asarray(resized)[top : top + pixels, left : left + pixels]


@pytest.mark.parametrize(
    ("height", "width", "pixels"),
    [(375, 500, 256), (500, 333, 256), (64, 48, 96), (241, 240, 240), (1000, 90, 64), (31, 77, 30)],
)
def test_resize_matches_pillow_antialiased_bilinear(height, width, pixels):
    image = photo(height, width)
    ours = resize_and_crop(tf.constant(image), pixels).numpy().astype(int)
    difference = np.abs(ours - pillow(image, pixels))
    assert ours.shape == (pixels, pixels, 3)
    # Pillow rounds between its two passes, we do not: a level here and there.
    assert difference.max() <= 1
    assert difference.mean() < 0.3


def test_resized_square_matches_tensorflow_resize():
    image = photo(300, 433)
    whole = tf.image.resize(image, (256, 369), "bilinear", antialias=True)
    square = np.rint(np.clip(whole, 0, 255))[:, 56:312]
    difference = np.abs(resize_and_crop(image, 256).numpy() - square)
    # Positions are float32: a value that lies between two levels may fall to the other.
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_resize_of_a_long_strip_gives_the_square():
    assert resize_and_crop(tf.zeros((20_000, 2, 3), tf.uint8), 256).shape == (256, 256, 3)


def test_resize_without_antialiasing_would_differ_from_pillow():
    image = photo(500, 400)
    plain = tf.image.resize(image, (320, 256), "bilinear")[32:288].numpy()
    assert np.abs(plain - pillow(image, 256)).max() > 10


def test_resize_keeps_images_that_have_the_size():
    image = photo(64, 64)
    np.testing.assert_array_equal(resize_and_crop(image, 64), image)
    tall = photo(80, 64)
    np.testing.assert_array_equal(resize_and_crop(tall, 64), tall[8:72])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.sampled_from([1, 3]))
def test_resize_of_any_size_gives_the_square(height, width, pixels, channels):
    image = tf.fill((height, width, channels), tf.constant(77, tf.uint8))
    square = resize_and_crop(image, pixels)
    assert square.dtype == tf.uint8
    np.testing.assert_array_equal(square, np.full((pixels, pixels, channels), 77))


def test_resize_is_the_same_in_a_map_and_in_a_batch():
    images = np.stack([photo(50, 70, seed) for seed in range(3)])
    eager = np.stack([resize_and_crop(image, 32).numpy() for image in images])
    np.testing.assert_array_equal(resize_and_crop(tf.constant(images), 32), eager)

    def generate():
        yield from images

    spec = tf.TensorSpec((None, None, 3), tf.uint8)  # as decoded files are: size unknown
    dataset = tf.data.Dataset.from_generator(generate, output_signature=spec)
    dataset = dataset.map(lambda image: resize_and_crop(image, 32))
    assert dataset.element_spec.shape == (32, 32, 3)
    np.testing.assert_array_equal(np.stack(list(dataset.as_numpy_iterator())), eager)


def test_ten_crop_equals_slicing():
    images = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
    crops = ten_crop(tf.constant(images), 224).numpy()
    assert crops.shape == (2, 10, 224, 224, 3)
    five = [
        images[:, :224, :224],
        images[:, :224, 32:],
        images[:, 32:, :224],
        images[:, 32:, 32:],
        images[:, 16:240, 16:240],
    ]
    for number, crop in enumerate(five):
        np.testing.assert_array_equal(crops[:, number], crop)
        np.testing.assert_array_equal(crops[:, number + 5], crop[:, :, ::-1])
    np.testing.assert_array_equal(center_crop(tf.constant(images), 224), five[4])


def test_center_crop_of_an_odd_margin_leaves_the_extra_pixel_right_and_below():
    images = np.arange(25, dtype=np.uint8).reshape(1, 5, 5, 1)
    np.testing.assert_array_equal(center_crop(tf.constant(images), 2), images[:, 1:3, 1:3])


def test_to_channels_matches_pillow():
    color = photo(8, 8)
    gray = to_channels(tf.constant(color), 1).numpy()
    by_pillow = np.asarray(Image.fromarray(color).convert("L"), int)
    assert np.abs(gray[..., 0] - by_pillow).max() <= 1
    back = to_channels(tf.constant(gray), 3).numpy()
    np.testing.assert_array_equal(back, np.repeat(gray, 3, axis=-1))
    np.testing.assert_array_equal(to_channels(tf.constant(back), 1), gray)
    transparent = np.concatenate([color, color[..., :1]], axis=-1)
    np.testing.assert_array_equal(to_channels(tf.constant(transparent), 3), color)
    np.testing.assert_array_equal(to_channels(tf.constant(transparent), 1), gray)


@pytest.mark.parametrize("border", [0, 1, 3])
def test_reflect_padding_matches_numpy(border):
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)
    wanted = np.pad(images, ((0, 0), (border, border), (border, border), (0, 0)), mode="reflect")
    got = pad_reflect(tf.constant(images), border)
    assert got.dtype == tf.uint8
    np.testing.assert_array_equal(got, wanted)
