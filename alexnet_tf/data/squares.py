"""Geometry of resizing, and cropping of images that lie in memory. NumPy alone."""

from collections.abc import Iterable
from typing import Any

import numpy as np


def resized_side(side: Any, shorter: Any, pixels: int) -> Any:
    """Return the length of a side once the shorter side is resized to `pixels`.

    side * pixels / shorter, rounded to the nearest whole number. Every resize uses this formula.

    Args:
      side: The side's length in pixels: an int, or an int64 tensor of any shape.
      shorter: The length of the image's shorter side.
      pixels: The shorter side's new length.

    Returns:
      The new length, of the type of `side`; at least `pixels`.
    """
    return (2 * side * pixels + shorter) // (2 * shorter)


def copy_squares(
    images: Iterable[np.ndarray],
    tops: np.ndarray,
    lefts: np.ndarray,
    flips: np.ndarray,
    shape: tuple[int, int, int],
) -> np.ndarray:
    """Crop a square out of each image and flip some of the squares (section 4.1).

    TensorFlow's gather would look up every row and every pixel: five times the work.

    Args:
      images: n images, uint8 [height, width, channels].
      tops: int32 [n], first row of each crop.
      lefts: int32 [n], first column of each crop.
      flips: bool [n], whether a crop is flipped horizontally.
      shape: (pixels, pixels, channels) of a crop.

    Returns:
      uint8 [n, pixels, pixels, channels].
    """
    squares = _aligned((len(tops), *shape))
    pixels = shape[0]
    positions = (values.tolist() for values in (tops, lefts, flips))
    for square, image, top, left, flip in zip(squares, images, *positions, strict=True):
        source = image[top : top + pixels, left : left + pixels]
        if flip:
            # As items of all channels: a third of the copies that single bytes would take.
            _as_pixels(square)[...] = _as_pixels(source)[:, ::-1]
        else:
            square[...] = source
    return squares


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Return an empty uint8 array that TensorFlow takes without a copy: aligned to 64 bytes."""
    size = int(np.prod(shape))
    memory = np.empty(size + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + size].reshape(shape)


def _as_pixels(image: np.ndarray) -> np.ndarray:
    """Return a view of uint8 [height, width, channels] as items of all channels [height, width].

    The channels must be contiguous.
    """
    return image.view(f"V{image.shape[-1]}")[..., 0]
