"""Resize, crop and flip one image in a single pass over its pixels, compiled by Numba.

TensorFlow's operations need four passes and transpose the image twice: three times as long, and
each operation may switch threads.
"""

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import tensorflow as tf

from alexnet_tf.data.squares import resized_side


def resize_crop_flip(
    image: tf.Tensor, top: tf.Tensor, left: tf.Tensor, flip: tf.Tensor, resized: int, pixels: int
) -> tf.Tensor:
    """Return `images.crop_and_flip_one` of `images.resize_and_crop`; compute only the crop.

    Equal to the two functions up to rounding: a level may differ by one. Runs on the CPU only, as
    input pipelines do.

    Args:
      image: uint8 [height, width, channels].
      top: int32 scalar, the crop's first row in the resized square.
      left: int32 scalar, the crop's first column.
      flip: bool scalar, whether the crop is flipped horizontally.
      resized: Side of the resized square.
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
    """Compute `resize_crop_flip` of arrays, without holding the interpreter's lock."""
    height, width, channels = image.shape
    shorter = min(height, width)
    new_height, new_width = (resized_side(side, shorter, resized) for side in (height, width))
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
    """Return a function compiled at its first call, cached on disk where possible."""
    compiled = functools.partial(numba.njit, nogil=True, fastmath={"contract"})
    try:
        return compiled(cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache is writable
        return compiled()(function)


@_compiled
def _taps(begin: int, scale: float, size: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the triangle filter along one side, as wide as an output pixel or an input pixel.

    Args:
      begin: The first output pixel.
      scale: Output pixels per input pixel.
      size: Input pixels.
      pixels: Output pixels.

    Returns:
      int64 [pixels], the first input pixel of each output pixel; float32 [pixels, taps], the
      weights of that and the following input pixels, which add up to one and end at the edge.
    """
    reach = max(1 / scale, 1.0)
    taps = min(int(np.ceil(2 * reach)) + 1, size)
    starts = np.empty(pixels, np.int64)
    weights = np.empty((pixels, taps), np.float32)
    for position in range(pixels):
        center = (begin + position + 0.5) / scale - 0.5
        start = min(max(int(np.ceil(center - reach)), 0), size - taps)
        starts[position] = start
        total = 0.0
        for tap in range(taps):
            weight = max(1 - abs(start + tap - center) / reach, 0.0)
            weights[position, tap] = weight
            total += weight
        for tap in range(taps):
            weights[position, tap] /= total
    return starts, weights


@_compiled
def _filter(
    image: np.ndarray,
    rows: np.ndarray,
    row_weights: np.ndarray,
    columns: np.ndarray,
    column_weights: np.ndarray,
) -> np.ndarray:
    """Apply the filters vertically, then horizontally, one line of the result at a time.

    Args:
      image: uint8 [height, width, 3].
      rows: First row of each line; see `_taps`.
      row_weights: Weights of the rows.
      columns: First column of each pixel, ascending or descending.
      column_weights: Weights of the columns.

    Returns:
      uint8 [pixels, pixels, 3].
    """
    pixels, taps = column_weights.shape
    first = min(columns[0], columns[-1])
    width = 3 * (max(columns[0], columns[-1]) + taps - first)
    flat = image.reshape(image.shape[0], -1)[:, 3 * first : 3 * first + width]
    # Unsigned: Numba would check signed indices for counting from the end.
    offsets = (3 * (columns - first)).astype(np.uint64)
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
            offset = offsets[x]
            red = green = blue = np.float32(0.5)  # the casts below then round to the nearest
            for tap in range(taps):
                weight = column_weights[x, tap]
                red += weight * line[offset]
                green += weight * line[offset + np.uint64(1)]
                blue += weight * line[offset + np.uint64(2)]
                offset += np.uint64(3)
            # At most 255.5 plus rounding: the weights are positive and add up to one.
            square[y, x, 0] = np.uint8(np.int32(red))
            square[y, x, 1] = np.uint8(np.int32(green))
            square[y, x, 2] = np.uint8(np.int32(blue))
    return square
