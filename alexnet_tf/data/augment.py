"""Augmentation (section 4.1): crops, reflections and PCA lighting, as pure functions.

What happens to an image is a function of (seed, epoch, example) alone: not of the batch, the order,
the number of workers, or the size of the set.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_tf import paper
from alexnet_tf.data.counter_random import random_words
from alexnet_tf.errors import choose

_STREAM_GEOMETRY, _STREAM_LIGHTING = 0, 1


@dataclasses.dataclass(frozen=True)
class Draws:
    """What was drawn for n examples.

    Attributes:
      tops: int32 [n], first row of the crop, 0..margin.
      lefts: int32 [n], first column of the crop, 0..margin.
      flips: bool [n], whether the crop is reflected.
      alphas: float32 [n, 3], normal with mean 0 and the lighting's standard deviation.
    """

    tops: np.ndarray
    lefts: np.ndarray
    flips: np.ndarray
    alphas: np.ndarray


def draw(
    seed: int,
    epoch: int,
    indices: np.ndarray,
    *,
    margin: int,
    flip: bool = True,
    lighting_std: float = paper.LIGHTING_STD,
) -> Draws:
    """Draws an epoch's augmentation for some examples.

    Args:
      seed: Of the run.
      epoch: From 0.
      indices: [n], the examples' numbers in the training set.
      margin: Largest offset in pixels, inclusive: 32 for 224 crops of 256 pixels, so 33 x 33
        places. (The paper counts 32 x 32; its code draws 0..32.)
      flip: Whether half of the crops are reflected.
      lighting_std: Standard deviation of the alphas; 0 gives zeros.

    Returns:
      One draw per example.
    """
    y, x, mirror, _ = random_words(seed, epoch, indices, _STREAM_GEOMETRY)
    places, shift = np.uint64(margin + 1), np.uint64(32)
    return Draws(
        tops=((y * places) >> shift).astype(np.int32),
        lefts=((x * places) >> shift).astype(np.int32),
        flips=(mirror >> np.uint64(31)).astype(bool) & flip,
        alphas=_normals(seed, epoch, indices, lighting_std),
    )


def _normals(seed: int, epoch: int, indices: np.ndarray, std: float) -> np.ndarray:
    """Returns float32 [n, 3] from a normal distribution, by Box and Muller's transform."""
    if std == 0:
        return np.zeros((len(indices), 3), np.float32)
    # The half keeps uniforms off 0, whose logarithm is infinite.
    u0, u1, u2, u3 = (
        (word.astype(np.float64) + 0.5) / 2.0**32
        for word in random_words(seed, epoch, indices, _STREAM_LIGHTING)
    )
    radius0, radius1 = np.sqrt(-2 * np.log(u0)), np.sqrt(-2 * np.log(u2))
    angle0, angle1 = 2 * np.pi * u1, 2 * np.pi * u3
    normals = (radius0 * np.cos(angle0), radius0 * np.sin(angle0), radius1 * np.cos(angle1))
    return (std * np.stack(normals, axis=-1)).astype(np.float32)


def lighting_offsets(
    alphas: np.ndarray, stds: np.ndarray, eigenvectors: np.ndarray, units: str = "std"
) -> np.ndarray:
    """Returns what PCA lighting adds to each image's R, G and B: [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T.

    Args:
      alphas: float32 [n, 3], one per principal component.
      stds: [3], standard deviations of the training set's 0..255 pixels along the components.
      eigenvectors: [3, 3], the components in columns, rows R, G, B.
      units: "std": l is the standard deviation, as in the 2012 code. "variance": l is the
        eigenvalue, the paper's text to the letter, which moves 0..255 pixels by hundreds of levels.

    Returns:
      float32 [n, 3] on the 0..255 scale.

    Raises:
      InputError: `units` is neither.
    """
    choose(units, ("std", "variance"), "lighting units")
    lengths = np.asarray(stds, np.float64) ** (1 if units == "std" else 2)
    return ((alphas * lengths) @ np.asarray(eigenvectors, np.float64).T).astype(np.float32)


def reflected(images: tf.Tensor, reflect: tf.Tensor) -> tf.Tensor:
    """Reflects some images of a batch left to right: on the accelerator, as uint8.

    Args:
      images: [batch, height, width, channels] of any type.
      reflect: bool [batch].

    Returns:
      As `images`.
    """
    return tf.where(reflect[:, tf.newaxis, tf.newaxis, tf.newaxis], images[:, :, ::-1], images)


def apply_lighting(
    images: tf.Tensor, offsets: tf.Tensor, divisor: float = 1.0, mean: Any = None
) -> tf.Tensor:
    """Adds PCA lighting to a batch, ahead of a network that subtracts the mean itself.

    The 2012 code computes (x - mean + offset) / 1.1; with the mean still to be subtracted that is
    mean + (x - mean + offset) / 1.1. Nothing is clipped to 0..255.

    Args:
      images: float32 [batch, height, width, 3], 0..255.
      offsets: float32 [batch, 3].
      divisor: 1, or the 2012 code's 1.1.
      mean: What the network subtracts: float32 [height, width, 3], or [3]. Needed with a divisor.

    Returns:
      float32 [batch, height, width, 3].
    """
    offsets = offsets[:, tf.newaxis, tf.newaxis, :]
    if divisor == 1.0:
        return images + offsets
    if mean is None:
        raise ValueError(f"a divisor needs the mean. Received: divisor={divisor}, mean=None")
    return mean + (images - mean + offsets) / divisor
