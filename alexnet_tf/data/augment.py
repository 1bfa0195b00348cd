"""Random numbers of training: order, crops, horizontal flips and PCA lighting (section 4.1).

An example's numbers are a function of (seed, epoch, example): they do not depend on the batch, the
order, the number of workers or the size of the data set. Philox4x32-10, a counter-based generator,
computes them without those of other examples (Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers:
As Easy as 1, 2, 3", 2011). NumPy only.

Everywhere here `seed` is the run's, any integer of which the lowest 64 bits count; `epoch` counts
from 0; and `indices`, int64 of any shape [..., n], are those of the examples in the training set.
"""

import dataclasses

import numpy as np

from alexnet_tf import paper
from alexnet_tf.errors import choose

_STREAM_GEOMETRY, _STREAM_LIGHTING, _STREAM_ORDER = 0, 1, 2
# Other modules use streams 16 to 25. Attempt i at a resized crop uses stream 32 + i.
_STREAM_COLOR_JITTER, _STREAM_RESIZED_CROP = 26, 32
_CROP_ATTEMPTS = 10
_SMALLEST_AREA, _WIDEST_RATIO = 0.08, 4 / 3
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


@dataclasses.dataclass(frozen=True)
class CropPlan:
    """The random crops of an epoch, in batches.

    Positions refer to the resized (shorter side, then the central square) and padded image.
    """

    indices: np.ndarray  # int64 [batches, b], of the examples
    tops: np.ndarray  # int32 [batches, b], first row of each crop in the padded image
    lefts: np.ndarray  # int32 [batches, b], first column of each crop
    flips: np.ndarray  # bool [batches, b], whether a crop is flipped horizontally
    resize_pixels: int  # side of the resized images
    pad_pixels: int  # width of the reflect padding
    crop_pixels: int  # side of the crops
    # int32 [batches, b], size of each crop before it is resized to `crop_pixels`; None: it is not.
    # Only without padding.
    heights: np.ndarray | None = None
    widths: np.ndarray | None = None

    @property
    def rows(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        rows = {"index": self.indices, "top": self.tops, "left": self.lefts, "flip": self.flips}
        if self.heights is not None and self.widths is not None:
            rows |= {"height": self.heights, "width": self.widths}
        return rows

    def only_copies(self, image_shape: tuple[int, int, int] | None) -> bool:
        """Returns whether the crops of images of this shape are parts of their stored pixels."""
        is_resized = image_shape is not None and image_shape[:2] == (self.resize_pixels,) * 2
        return is_resized and not self.pad_pixels and self.heights is None


def draw(
    seed: int, epoch: int, indices: np.ndarray, margin: int, flip: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws the crops of examples in an epoch, and with `flip` flips half of them horizontally.

    `margin` is the largest offset in pixels, inclusive: 32 for 224 crops of 256 pixels, so 33 x 33
    positions. (The paper counts 32 x 32; its code draws 0..32.)

    Returns:
      int32 [..., n] twice, first row and first column of the crops, 0..margin; bool [..., n],
      whether a crop is flipped horizontally.
    """
    y, x, flip_word, _ = random_words(seed, epoch, indices, _STREAM_GEOMETRY)
    positions = np.uint64(margin + 1)
    tops, lefts = (((word * positions) >> _SHIFT).astype(np.int32) for word in (y, x))
    return tops, lefts, (flip_word >> np.uint64(31)).astype(bool) & flip


def draw_resized_crops(
    seed: int, epoch: int, indices: np.ndarray, pixels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draws crops of random size and aspect ratio (Szegedy et al., 2015), as torchvision does.

    The area is uniform in 8 to 100% of the image's, the logarithm of width / height uniform in that
    of 3/4 to 4/3. A crop that does not fit is drawn again, up to ten times; then it is the whole
    image, a square of `pixels`.

    Returns:
      int32 [..., n] four times: tops, lefts, heights and widths.
    """
    flat = np.asarray(indices).ravel()
    crops = np.zeros((4, len(flat)), np.int32)
    crops[2:] = pixels
    left = np.arange(len(flat))  # positions whose crop is not drawn yet
    for attempt in range(_CROP_ATTEMPTS):
        words = random_words(seed, epoch, flat[left], _STREAM_RESIZED_CROP + attempt)
        area, log_ratio, y, x = (word.astype(np.float64) / 2.0**32 for word in words)
        area = pixels**2 * (_SMALLEST_AREA + (1 - _SMALLEST_AREA) * area)
        ratio = np.exp(np.log(_WIDEST_RATIO) * (2 * log_ratio - 1))
        heights = np.round(np.sqrt(area / ratio)).astype(np.int32)
        widths = np.round(np.sqrt(area * ratio)).astype(np.int32)
        fits = (heights <= pixels) & (widths <= pixels)
        tops = (y * (pixels - heights + 1)).astype(np.int32)
        lefts = (x * (pixels - widths + 1)).astype(np.int32)
        crops[:, left[fits]] = np.stack([tops, lefts, heights, widths])[:, fits]
        left = left[~fits]
        if not len(left):
            break
    tops, lefts, heights, widths = crops.reshape(4, *np.shape(indices))
    return tops, lefts, heights, widths


def draw_color_jitter(seed: int, epoch: int, indices: np.ndarray, strength: float) -> np.ndarray:
    """Draws factors of brightness, contrast and saturation: float32 [..., n, 3].

    They are uniform in 1 - `strength` to 1 + `strength`, which is 0 to 1.
    """
    words = random_words(seed, epoch, indices, _STREAM_COLOR_JITTER)[:3]
    uniform = np.stack([word.astype(np.float64) / 2.0**32 for word in words], axis=-1)
    return (1 + strength * (2 * uniform - 1)).astype(np.float32)


def draw_lighting(
    seed: int, epoch: int, indices: np.ndarray, std: float = paper.LIGHTING_STD
) -> np.ndarray:
    """Draws the alphas of PCA lighting from a normal distribution of mean 0: float32 [..., n, 3].

    By the Box-Muller transform.
    """
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
    """Returns the PCA lighting offsets of R, G and B: [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T.

    Args:
      alphas: float32 [..., 3], one per principal component.
      stds: [3], standard deviations of the training set's 0..255 pixels along the components.
      eigenvectors: [3, 3], the components in columns, rows R, G, B.
      units: "std": l is the standard deviation, as in the 2012 code. "variance": l is the
        eigenvalue, as the paper's text says, which shifts 0..255 pixels by hundreds of levels.

    Returns:
      float32 [..., 3] on the 0..255 scale.

    Raises:
      InputError: `units` is neither of the two.
    """
    choose(units, ("std", "variance"), "lighting units")
    lengths = np.asarray(stds, np.float64) ** (1 if units == "std" else 2)
    # One matrix product: many small ones may round differently.
    scaled = (alphas * lengths).reshape(-1, 3)
    offsets = scaled @ np.asarray(eigenvectors, np.float64).T
    return offsets.reshape(alphas.shape).astype(np.float32)


def epoch_order(seed: int, epoch: int, size: int) -> np.ndarray:
    """Returns the order of the examples in an epoch: int64 [size], a shuffle of all of them."""
    return permutation(seed, epoch, size, _STREAM_ORDER)


def philox(counter: tuple[np.ndarray, ...], key: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Returns four random 32-bit words, as uint64, for each counter.

    A counter and the key are four and two integers of 32 bits, lowest word first.
    """
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = key
    for _ in range(_ROUNDS):
        product0, product1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (product1 >> _SHIFT) ^ c1 ^ np.uint64(k0),
            product1 & _LOW,
            (product0 >> _SHIFT) ^ c3 ^ np.uint64(k1),
            product0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def random_words(seed: int, epoch: int, indices: np.ndarray, stream: int) -> tuple[np.ndarray, ...]:
    """Returns four random 32-bit words per example of a stream; streams are independent.

    As four uint64 arrays of the shape of `indices`, 0..2^32 - 1.
    """
    indices = np.asarray(indices, np.uint64)
    counter = (
        indices & _LOW,
        indices >> _SHIFT,
        np.full_like(indices, epoch),
        np.full_like(indices, stream),
    )
    return philox(counter, (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF))


def permutation(seed: int, epoch: int, size: int, stream: int) -> np.ndarray:
    """Returns 0..size - 1 in random order: int64 [size]."""
    low, high, _, _ = random_words(seed, epoch, np.arange(size), stream)
    # Sorting by random keys does not depend on a library's shuffle, which may change.
    return np.argsort((high << _SHIFT) | low, kind="stable").astype(np.int64)
