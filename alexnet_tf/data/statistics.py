"""Statistics of the training set: the mean image (section 2) and RGB principal components (4.1).

They are computed while the training images are scanned, before the first update, and cached in the
user's cache folder.
"""

import dataclasses
import logging
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alexnet_tf.data.decode import DECODING_VERSION
from alexnet_tf.data.examples import Examples
from alexnet_tf.data.scan import (
    OnProgress,
    Scan,
    cache_folder,
    fits_in_memory,
    scan_images,
    unscanned,
)
from alexnet_tf.files import atomic_path

_VERSION = 1  # of the file format
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Statistics of a set of images.

    Attributes:
      mean_image: float32 [pixels, pixels, channels], 0..255: the mean of each pixel over the
        images, at the resized size. A network uses its central part.
      rgb_stds: float64 [3], standard deviations of 0..255 pixels along the principal components,
        smallest first. Zeros for gray images.
      rgb_eigenvectors: float64 [3, 3], the components in columns, rows R, G, B; in each column the
        entry of largest magnitude is positive.
    """

    mean_image: np.ndarray
    rgb_stds: np.ndarray
    rgb_eigenvectors: np.ndarray

    @classmethod
    def from_sums(cls, pixel_sum: np.ndarray, products: np.ndarray, images: int) -> "Statistics":
        """Computes statistics from the sum of images, [pixels, pixels, channels], and their number.

        `products`, float64 [channels, channels], are sums of products of channels over all pixels.
        """
        mean = pixel_sum / images
        stds, vectors = np.zeros(3), np.eye(3)
        if mean.shape[-1] == 3:
            rgb_mean = mean.mean(axis=(0, 1))
            pixels = images * mean.shape[0] * mean.shape[1]
            stds, vectors = principal_components(products / pixels - np.outer(rgb_mean, rgb_mean))
        return cls(mean.astype(np.float32), stds, vectors)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz file atomically."""
        with atomic_path(path) as temporary:
            np.savez(temporary, version=_VERSION, **vars(self))

    @classmethod
    def load(cls, path: Path | None) -> "Statistics | None":
        """Reads a file that `save` wrote; returns None if it is missing or damaged."""
        if path is None:
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                values = {field.name: file[field.name] for field in dataclasses.fields(cls)}
                return cls(**values) if int(file["version"]) == _VERSION else None
        except (OSError, zipfile.BadZipFile, KeyError, EOFError, ValueError, TypeError):
            return None


def fit_statistics(
    examples: Examples,
    pixels: int,
    on_progress: OnProgress | None = None,
    *,
    split: str = "training",
    cache: bool = True,
) -> tuple[Statistics, Scan]:
    """Scans the training images and computes their statistics, in one pass.

    For arguments and errors, see `scan_images`. `examples` are without the held-out validation
    split, and `cache` applies to the statistics as well.

    Returns:
      The statistics of the usable images, and the scan that found these.
    """
    shape = (pixels, pixels, examples.channels)
    # Images that fit in memory are decoded for training anyway: no extra pass is needed.
    keeps_images = fits_in_memory(examples, pixels)
    stored = Statistics.load(examples.stored_statistics)
    if stored is not None and stored.mean_image.shape == shape and not keeps_images:
        return stored, unscanned(examples)
    path = cache_path(examples, pixels) if cache and not keeps_images else None
    cached = Statistics.load(path)
    if cached is not None:
        return cached, scan_images(examples, pixels, on_progress, split=split)
    # Sums of whole numbers in float64 are exact, whatever the order.
    pixel_sum, products = np.zeros(shape), np.zeros((shape[-1], shape[-1]))

    def add(images: np.ndarray) -> None:
        pixel_sum[...] += images.sum(axis=0, dtype=np.float64)
        for image in images:
            values = image.reshape(-1, image.shape[-1]).astype(np.float64)
            products[...] += values.T @ values

    scan = scan_images(examples, pixels, on_progress, split=split, cache=cache, on_images=add)
    statistics = Statistics.from_sums(pixel_sum, products, len(scan.indices))
    if path is not None and scan.is_final:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            statistics.save(path)
        except OSError as error:
            _LOG.warning("statistics are not cached: %s", error)
    return statistics, scan


def cache_path(examples: Examples, pixels: int) -> Path:
    """Returns the cache file of these examples' statistics at this size."""
    name = f"{examples.fingerprint()}-{pixels}x{examples.channels}-{DECODING_VERSION}.npz"
    return cache_folder() / "statistics" / name


def principal_components(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns `rgb_stds` and `rgb_eigenvectors` of the covariance of RGB, float64 [3, 3].

    The sign of an eigenvector is free; lighting is symmetric in it.
    """
    variances, vectors = np.linalg.eigh(covariance)
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(len(variances))]
    return np.sqrt(np.maximum(variances, 0)), vectors * np.sign(largest)


def spread(lengths: Sequence[int] | np.ndarray) -> dict[str, int] | None:
    """Returns the smallest, median and largest of lengths in pixels; None without any."""
    if not len(lengths):
        return None
    return {
        "smallest": int(np.min(lengths)),
        "median": int(np.median(lengths)),
        "largest": int(np.max(lengths)),
    }
