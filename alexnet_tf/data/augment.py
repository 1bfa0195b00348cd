"""Augmentation (section 4.1): random crops, horizontal flips and PCA lighting, as pure functions.

An image's augmentation is a function of (seed, epoch, example): it does not depend on the batch,
the order, the number of workers or the size of the data set.
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
    """Random draws for n examples.

    Attributes:
      tops: int32 [n], first row of the crop, 0..margin.
      lefts: int32 [n], first column of the crop, 0..margin.
      flips: bool [n], whether the crop is flipped horizontally.
      alphas: float32 [n, 3], from a normal distribution of mean 0 and the lighting's standard
        deviation.
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
    """Draw the augmentation of examples in an epoch.

    Args:
      seed: Seed of the run.
      epoch: Epoch, from 0.
      indices: [n], the examples' numbers in the training set.
      margin: Largest offset in pixels, inclusive: 32 for 224 crops of 256 pixels, so 33 x 33
        positions. (The paper counts 32 x 32; its code draws 0..32.)
      flip: Whether half of the crops are flipped.
      lighting_std: Standard deviation of the alphas; 0 gives zeros.

    Returns:
      One draw per example.
    """
    y, x, flip_word, _ = random_words(seed, epoch, indices, _STREAM_GEOMETRY)
    positions, shift = np.uint64(margin + 1), np.uint64(32)
    return Draws(
        tops=((y * positions) >> shift).astype(np.int32),
        lefts=((x * positions) >> shift).astype(np.int32),
        flips=(flip_word >> np.uint64(31)).astype(bool) & flip,
        alphas=_normals(seed, epoch, indices, lighting_std),
    )


def _normals(seed: int, epoch: int, indices: np.ndarray, std: float) -> np.ndarray:
    """Return float32 [n, 3] from a normal distribution, by the Box-Muller transform."""
    if std == 0:
        return np.zeros((len(indices), 3), np.float32)
    # Adding 0.5 avoids the logarithm of 0.
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
    """Return the PCA lighting offsets of R, G and B: [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T.

    Args:
      alphas: float32 [n, 3], one per principal component.
      stds: [3], standard deviations of the training set's 0..255 pixels along the components.
      eigenvectors: [3, 3], the components in columns, rows R, G, B.
      units: "std": l is the standard deviation, as in the 2012 code. "variance": l is the
        eigenvalue, as the paper's text says, which shifts 0..255 pixels by hundreds of levels.

    Returns:
      float32 [n, 3] on the 0..255 scale.

    Raises:
      InputError: `units` is neither of the two.
    """
    choose(units, ("std", "variance"), "lighting units")
    lengths = np.asarray(stds, np.float64) ** (1 if units == "std" else 2)
    return ((alphas * lengths) @ np.asarray(eigenvectors, np.float64).T).astype(np.float32)


def reflected(images: tf.Tensor, reflect: tf.Tensor) -> tf.Tensor:
    """Flip some images of a batch horizontally; training does it on the accelerator, as uint8.

    Args:
      images: [batch, height, width, channels] of any type.
      reflect: bool [batch].

    Returns:
      Shape and dtype of `images`.
    """
    return tf.where(reflect[:, tf.newaxis, tf.newaxis, tf.newaxis], images[:, :, ::-1], images)


def apply_lighting(
    images: tf.Tensor, offsets: tf.Tensor, divisor: float = 1.0, mean: Any = None
) -> tf.Tensor:
    """Add PCA lighting to a batch, before a network that subtracts the mean itself.

    The 2012 code computes (x - mean + offset) / 1.1. Before the mean is subtracted, this is
    mean + (x - mean + offset) / 1.1. Values are not clipped to 0..255.

    Args:
      images: float32 [batch, height, width, 3], 0..255.
      offsets: float32 [batch, 3].
      divisor: 1, or the 2012 code's 1.1.
      mean: The mean that the network subtracts: float32 [height, width, 3], or [3]. Required with
        a divisor.

    Returns:
      float32 [batch, height, width, 3].
    """
    offsets = offsets[:, tf.newaxis, tf.newaxis, :]
    if divisor == 1.0:
        return images + offsets
    if mean is None:
        raise ValueError(f"a divisor needs the mean. Received: divisor={divisor}, mean=None")
    return mean + (images - mean + offsets) / divisor
