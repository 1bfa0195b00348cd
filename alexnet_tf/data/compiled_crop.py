"""Rescales, cuts and reflects one image in a single pass over its pixels, compiled by Numba.

TensorFlow's operations need four passes and turn the image twice: three times as long, and as many
switches between threads as operations.
"""

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import tensorflow as tf


def resize_crop_flip(
    image: tf.Tensor, top: tf.Tensor, left: tf.Tensor, flip: tf.Tensor, resized: int, pixels: int
) -> tf.Tensor:
    """Does `images.resize_and_crop`, then `images.crop_and_flip`, and computes that crop alone.

    Equal to the steps one after another but for rounding: a level may differ by one. On the
    processor only, as input pipelines are.

    Args:
      image: uint8 [height, width, channels].
      top: int32 scalar, the crop's first row in the rescaled square.
      left: int32 scalar, its first column.
      flip: bool scalar, whether the crop is reflected left to right.
      resized: Side of the rescaled square.
      pixels: Side of the crop.

    Returns:
      uint8 [pixels, pixels, channels].
    """
    compute = functools.partial(_crop, resized=resized, pixels=pixels)
    square = tf.numpy_function(compute, (image, top, left, flip), tf.uint8, stateful=False)
    return tf.ensure_shape(square, (pixels, pixels, image.shape[-1]))


def _crop(
    image: np.ndarray, top: np.int32, left: np.int32, flip: np.bool_, resized: int, pixels: int
) -> np.ndarray:
    """Does `resize_crop_flip` on arrays; the interpreter's lock is free while it computes."""
    height, width, channels = image.shape
    shorter = min(height, width)
    # a * p / b rounded to the nearest in whole numbers, as `images` has it.
    new_height, new_width = (
        max((2 * side * resized + shorter) // (2 * shorter), resized) for side in (height, width)
    )
    row_begin, column_begin = (new_height - resized) // 2 + top, (new_width - resized) // 2 + left
    if (height, width) == (new_height, new_width):
        square = image[row_begin : row_begin + pixels, column_begin : column_begin + pixels]
        return np.ascontiguousarray(square[:, ::-1] if flip else square)
    rows, row_weights = _taps(row_begin, new_height / height, height, pixels)
    columns, column_weights = _taps(column_begin, new_width / width, width, pixels)
    if flip:
        columns, column_weights = columns[::-1].copy(), column_weights[::-1].copy()
    colors = image if channels == 3 else np.repeat(image, 3, axis=2)
    return _filter(colors, rows, row_weights, columns, column_weights)[..., :channels]


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function compiled at its first call, kept on the disk where there is a place."""
    compiled = functools.partial(numba.njit, nogil=True, fastmath={"contract"})
    try:
        return compiled(cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return compiled()(function)


@_compiled
def _taps(begin: int, scale: float, size: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the triangle filter along one side, as wide as an output pixel or an input pixel.

    Args:
      begin: The first output pixel.
      scale: Output pixels per input pixel.
      size: Input pixels.
      pixels: Output pixels.

    Returns:
      int64 [pixels], the first input pixel of each; float32 [pixels, taps], the weights of that and
      the next ones, which add up to one and do not reach over the edge.
    """
    reach = max(1 / scale, 1.0)
    taps = min(int(np.ceil(2 * reach)) + 1, size)
    starts = np.empty(pixels, np.int64)
    weights = np.empty((pixels, taps), np.float32)
    for place in range(pixels):
        center = (begin + place + 0.5) / scale - 0.5
        start = min(max(int(np.ceil(center - reach)), 0), size - taps)
        starts[place] = start
        total = 0.0
        for tap in range(taps):
            weight = max(1 - abs(start + tap - center) / reach, 0.0)
            weights[place, tap] = weight
            total += weight
        for tap in range(taps):
            weights[place, tap] /= total
    return starts, weights


@_compiled
def _filter(
    image: np.ndarray,
    rows: np.ndarray,
    row_weights: np.ndarray,
    columns: np.ndarray,
    column_weights: np.ndarray,
) -> np.ndarray:
    """Filters down, then along, a line of the result at a time.

    Args:
      image: uint8 [height, width, 3].
      rows: First row of each line; see `_taps`.
      row_weights: Their weights.
      columns: First column of each pixel, rising or falling.
      column_weights: Their weights.

    Returns:
      uint8 [pixels, pixels, 3].
    """
    pixels, taps = column_weights.shape
    first = min(columns[0], columns[-1])
    width = 3 * (max(columns[0], columns[-1]) + taps - first)
    flat = image.reshape(image.shape[0], -1)[:, 3 * first : 3 * first + width]
    # Unsigned: a signed place would be looked at for counting from the end.
    places = (3 * (columns - first)).astype(np.uint64)
    line = np.empty(width, np.float32)
    square = np.empty((pixels, pixels, 3), np.uint8)
    for y in range(pixels):
        line[:] = 0
        for tap in range(row_weights.shape[1]):
            weight = row_weights[y, tap]
            source = flat[rows[y] + tap]
            for column in range(width):
                line[column] += weight * np.float32(source[column])
        for x in range(pixels):
            place = places[x]
            red = green = blue = np.float32(0.5)  # to the nearest: the casts below round down
            for tap in range(taps):
                weight = column_weights[x, tap]
                red += weight * line[place]
                green += weight * line[place + np.uint64(1)]
                blue += weight * line[place + np.uint64(2)]
                place += np.uint64(3)
            # At most 255.5 and a rounding: the weights are positive and add up to one.
            square[y, x, 0] = np.uint8(np.int32(red))
            square[y, x, 1] = np.uint8(np.int32(green))
            square[y, x, 2] = np.uint8(np.int32(blue))
    return square
