"""Random crops (section 4.1), on the CPU: copied by NumPy, or resized on the way by Numba.

TensorFlow's gather would look up every row and pixel of a batch of crops: five times the work of
copying. For an image that must be resized, its operations need four passes and transpose the image
twice: three times as long as one compiled pass over the crop's pixels.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numba
import numpy as np
import tensorflow as tf

from alexnet_tf.data.decode import resized_side

ALIGNMENT = 64  # bytes: TensorFlow's kernels abort on memory that is aligned to less


def crop_and_flip(
    images: tf.Tensor, tops: tf.Tensor, lefts: tf.Tensor, flips: tf.Tensor, pixels: int
) -> tf.Tensor:
    """Crops a square out of each image of a batch at its own position and flips some of them.

    Args:
      images: uint8 [batch, height, width, channels], in main memory.
      tops: int32 [batch], the crop's first row.
      lefts: int32 [batch], the crop's first column.
      flips: bool [batch], whether the crop is flipped horizontally.
      pixels: Side of the crops.
    """
    shape = (pixels, pixels, images.shape[-1])
    copy = functools.partial(copy_crops, shape=shape)
    crops = tf.numpy_function(copy, (images, tops, lefts, flips), tf.uint8, stateful=False)
    return tf.ensure_shape(crops, (images.shape[0], *shape))


def copy_crops(
    images: Iterable[np.ndarray],
    tops: np.ndarray,
    lefts: np.ndarray,
    flips: np.ndarray,
    *,
    shape: tuple[int, int, int],
) -> np.ndarray:
    """Computes `crop_and_flip` of arrays; `shape` is (pixels, pixels, channels) of a crop."""
    crops = empty_images((len(tops), *shape))
    pixels, item = shape[0], f"V{shape[-1]}"
    positions = (values.tolist() for values in (tops, lefts, flips))
    for crop, image, top, left, flip in zip(crops, images, *positions, strict=True):
        source = image[top : top + pixels, left : left + pixels]
        if flip:
            # As items of all channels: a third of the copies that single bytes would take.
            crop.view(item)[...] = source.view(item)[:, ::-1]
        else:
            crop[...] = source
    return crops


def empty_images(shape: Sequence[int]) -> np.ndarray:
    """Returns an uninitialized uint8 array that TensorFlow can read without a copy."""
    size = math.prod(shape)
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].reshape(shape)


def resize_crop_flip(
    image: tf.Tensor,
    top: tf.Tensor,
    left: tf.Tensor,
    flip: tf.Tensor,
    resized: int,
    pixels: int,
    sizes: tuple[tf.Tensor, tf.Tensor] | None = None,
) -> tf.Tensor:
    """Crops a rectangle out of one image as if it had been resized by `resize_and_crop`.

    Only the crop's pixels are computed. A level may differ by one from the crop of the whole
    resized image, because of rounding; if the image has that size already, the crop is copied.

    Args:
      image: uint8 [height, width, channels].
      top: int32 scalar, the crop's first row in the resized image.
      left: int32 scalar, the crop's first column.
      flip: bool scalar, whether the crop is flipped horizontally.
      resized: Side of the resized image.
      pixels: Side of the result.
      sizes: int32 scalars, height and width of the crop in the resized image, which is then resized
        to `pixels`; near its border pixels outside the crop are interpolated. None: `pixels`.

    Returns:
      uint8 [pixels, pixels, channels].
    """
    compute = functools.partial(_crop, resized=resized, pixels=pixels)
    arguments = (image, top, left, flip, *(sizes or ()))
    crop = tf.numpy_function(compute, arguments, tf.uint8, stateful=False)
    return tf.ensure_shape(crop, (pixels, pixels, image.shape[-1]))


def _crop(
    image: np.ndarray, top: int, left: int, flip: bool, *sizes: int, resized: int, pixels: int
) -> np.ndarray:
    """Computes `resize_crop_flip` of arrays, without holding the interpreter's lock."""
    height, width, channels = image.shape
    shorter = min(height, width)
    new_height, new_width = (resized_side(side, shorter, resized) for side in (height, width))
    row_begin, column_begin = (new_height - resized) // 2 + top, (new_width - resized) // 2 + left
    if not sizes and (height, width) == (new_height, new_width):
        crop = image[row_begin : row_begin + pixels, column_begin : column_begin + pixels]
        return np.ascontiguousarray(crop[:, ::-1] if flip else crop)
    # The crop's pixels per pixel of the result, along each side.
    per_row, per_column = (int(size) / pixels for size in sizes or (pixels, pixels))
    rows, row_weights = _taps(row_begin / per_row, new_height / height / per_row, height, pixels)
    columns, column_weights = _taps(
        column_begin / per_column, new_width / width / per_column, width, pixels
    )
    if flip:
        columns, column_weights = columns[::-1].copy(), column_weights[::-1].copy()
    colors = image if channels == 3 else np.repeat(image, 3, axis=2)
    return _filter(colors, rows, row_weights, columns, column_weights)[..., :channels]


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function compiled at its first call, cached on disk where possible."""
    compiled = functools.partial(numba.njit, nogil=True, fastmath={"contract"})
    try:
        return compiled(cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache is writable
        return compiled()(function)


@_compiled
def _taps(begin: float, scale: float, size: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the triangle filter along one side, as wide as an output pixel or an input pixel.

    Args:
      begin: The first output pixel, which may be a fraction.
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
    """Applies filters from `_taps` vertically, then horizontally, one line at a time.

    From uint8 [height, width, 3] to [pixels, pixels, 3]; `columns` may ascend or descend.
    """
    pixels, taps = column_weights.shape
    first = min(columns[0], columns[-1])
    width = 3 * (max(columns[0], columns[-1]) + taps - first)
    flat = image.reshape(image.shape[0], -1)[:, 3 * first : 3 * first + width]
    # Unsigned: Numba would check signed indices for counting from the end.
    offsets = (3 * (columns - first)).astype(np.uint64)
    line = np.empty(width, np.float32)
    crop = np.empty((pixels, pixels, 3), np.uint8)
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
            crop[y, x, 0] = np.uint8(np.int32(red))
            crop[y, x, 1] = np.uint8(np.int32(green))
            crop[y, x, 2] = np.uint8(np.int32(blue))
    return crop
