"""Statistics of the training set: the mean image (section 2) and RGB principal components (4.1).

They take one pass over the images before the first update. The pass also finds damaged images and
keeps the decoded images if they fit in memory. The result is cached in the user's cache folder.
"""

import dataclasses
import logging
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from alexnet_tf.data.examples import ArrayExamples, Examples
from alexnet_tf.data.reading import read_squares, refuse_bad
from alexnet_tf.errors import InputError
from alexnet_tf.files import atomic_path

KEEP_BYTES = 2**30
_VERSION = 1  # of the file format
_DECODING = 2  # raised when files are decoded to other pixels: cached results become invalid

OnProgress = Callable[[int, int], None]
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
      bad: Names of the images that were skipped, with the reason.
      good: int64, indices of the other images.
      images: uint8 [n, pixels, pixels, channels], the good images, if they were decoded or resized
        and fit in memory; else None.
      is_final: False if an image could not be read for a reason that may pass (a permission, a
        network file system). Such statistics are not cached.
    """

    mean_image: np.ndarray
    rgb_stds: np.ndarray
    rgb_eigenvectors: np.ndarray
    bad: tuple[tuple[str, str], ...] = ()
    good: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    images: np.ndarray | None = None
    is_final: bool = True

    def usable(self, examples: Examples) -> Examples:
        """Return the examples that these statistics were computed from, without the bad ones.

        They are decoded and resized already if `images` is not None.
        """
        if self.images is not None:
            return ArrayExamples(self.images, examples.labels[self.good], numbers=self.good)
        return examples if len(self.good) == len(examples) else examples.subset(self.good)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz file atomically, without `images`."""
        with atomic_path(path) as temporary:
            np.savez(
                temporary,
                version=_VERSION,
                mean_image=self.mean_image,
                rgb_stds=self.rgb_stds,
                rgb_eigenvectors=self.rgb_eigenvectors,
                bad=np.asarray(self.bad, np.str_).reshape(-1, 2),
                good=self.good,
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Statistics":
        """Read a file that `save` wrote.

        Raises:
          FileNotFoundError: The file does not exist.
          InputError: The file is damaged or of another kind.
        """
        with Path(path).open("rb") as opened:
            if not zipfile.is_zipfile(opened):
                raise InputError(f"{path} is damaged: it is not an .npz file")
        try:
            with np.load(path, allow_pickle=False) as file:
                if int(file["version"]) != _VERSION:
                    raise InputError(f"{path} was written by another version")
                return cls(
                    mean_image=file["mean_image"],
                    rgb_stds=file["rgb_stds"],
                    rgb_eigenvectors=file["rgb_eigenvectors"],
                    bad=tuple((str(name), str(reason)) for name, reason in file["bad"]),
                    good=file["good"],
                )
        except (zipfile.BadZipFile, KeyError, EOFError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} is damaged: {error}") from None


def fit_statistics(
    examples: Examples,
    pixels: int,
    on_progress: OnProgress | None = None,
    *,
    what: str = "training",
    cache: bool = True,
    keep_bytes: int | None = None,
) -> Statistics:
    """Compute the statistics of a split in one pass.

    Sums are of whole numbers in float64, so the result does not depend on the order of threads.

    Args:
      examples: The split; for training without the held-out validation split.
      pixels: Side that images are resized to.
      on_progress: Called after every chunk with the images done and the number of images.
      what: Name of the split for messages.
      cache: Whether the result may be read from and written to the user's cache folder.
      keep_bytes: Images are kept in memory up to this size; None: 1 GiB.

    Returns:
      The statistics.

    Raises:
      InputError: More than 1% of the images cannot be used, or none can.
    """
    if isinstance(examples, ArrayExamples) and examples.images.shape[1:3] == (pixels, pixels):
        return _fit(examples, pixels, on_progress, what=what, keep=False)
    stored = _stored(examples, pixels)
    most = KEEP_BYTES if keep_bytes is None else keep_bytes
    keep = len(examples) * pixels * pixels * examples.channels <= most
    path = cache_path(examples, pixels) if cache else None
    known = _cached(path)
    # Images that fit in memory are decoded for training anyway: no extra pass is needed.
    if stored is not None and (not keep or examples.is_fast):
        return stored
    if known is not None and not keep:
        return known
    statistics = _fit(examples, pixels, on_progress, what=what, keep=keep)
    if path is not None and statistics.is_final:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            statistics.save(path)
        except OSError as error:
            _LOG.warning("statistics are not cached: %s", error)
    return statistics


def cache_path(examples: Examples, pixels: int) -> Path:
    """Return the cache file of these examples' statistics at this size."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = f"{examples.fingerprint()}-{pixels}x{examples.channels}-{_DECODING}.npz"
    return Path(root) / "alexnet_tf" / "statistics" / name


def principal_components(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard deviations along the principal components, and the components.

    Args:
      covariance: float64 [3, 3], of RGB.

    Returns:
      float64 [3], smallest first; float64 [3, 3] with unit eigenvectors in columns, signed so that
      the entry of largest magnitude is positive (the sign is free; lighting is symmetric in it).
    """
    variances, vectors = np.linalg.eigh(covariance)
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(len(variances))]
    return np.sqrt(np.maximum(variances, 0)), vectors * np.sign(largest)


def _stored(examples: Examples, pixels: int) -> Statistics | None:
    """Return the statistics stored with the examples, if they are of this size."""
    if examples.stored_statistics is None:
        return None
    try:
        statistics = Statistics.load(examples.stored_statistics)
    except (InputError, OSError):
        return None  # computed from the images instead
    fits = statistics.mean_image.shape == (pixels, pixels, examples.channels)
    return statistics if fits and len(statistics.good) == len(examples) else None


def _cached(path: Path | None) -> Statistics | None:
    """Return cached statistics; None if the file is missing or damaged: it is replaced."""
    try:
        return Statistics.load(path) if path is not None else None
    except (InputError, OSError):
        return None


def _fit(
    examples: Examples, pixels: int, on_progress: OnProgress | None, *, what: str, keep: bool
) -> Statistics:
    """Read the images and compute their statistics; see `fit_statistics`."""
    size, channels = len(examples), examples.channels
    shape = (pixels, pixels, channels)
    images = np.empty((size, *shape), np.uint8) if keep else None
    total = np.zeros(shape, np.float64)
    products = np.zeros((channels, channels), np.float64)
    good: list[int] = []
    bad: list[tuple[str, str]] = []
    done = 0
    is_final = True
    for indices, chunk, failures in read_squares(examples, pixels):
        if images is not None:
            images[len(good) : len(good) + len(indices)] = chunk
        total += chunk.sum(axis=0, dtype=np.float64)
        for image in chunk:
            values = image.reshape(-1, channels).astype(np.float64)
            products += values.T @ values
        good += indices
        bad += [(examples.name(failure.index), failure.reason) for failure in failures]
        is_final = is_final and all(failure.is_damage for failure in failures)
        done += len(indices) + len(failures)
        if on_progress is not None:
            on_progress(done, size)
    refuse_bad(bad, size, what)
    mean = total / len(good)
    stds, vectors = np.zeros(3), np.eye(3)
    if channels == 3:
        rgb_mean = mean.mean(axis=(0, 1))
        stds, vectors = principal_components(
            products / (len(good) * pixels * pixels) - np.outer(rgb_mean, rgb_mean)
        )
    return Statistics(
        mean_image=mean.astype(np.float32),
        rgb_stds=stds,
        rgb_eigenvectors=vectors,
        bad=tuple(bad),
        good=np.asarray(good, np.int64),
        images=None if images is None else images[: len(good)],
        is_final=is_final,
    )
