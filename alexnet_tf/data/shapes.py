"""`shapes`: a built-in data set of drawn shapes and patterns, as an ordinary TFDS builder.

Nothing is downloaded: each image is a function of its split and index.
"""

import contextlib
import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageDraw

from alexnet_tf.console import ProgressReporter

CLASS_NAMES = (
    "circle",
    "ring",
    "triangle",
    "square",
    "star",
    "cross",
    "crescent",
    "heart",
    "striped",
    "checkered",
)
PIXELS = 72
SPLIT_SIZES = {"train": 5000, "validation": 1000, "test": 1000}

_SEED = 2012
_OVERSAMPLED = 3  # images are drawn this many times larger, then averaged: anti-aliasing
_CANVAS = PIXELS * _OVERSAMPLED
_MIN_CONTRAST = 100.0  # distance in RGB between a shape's colors and its background's
_MAX_ROTATION = math.radians(25)
# Shapes are bright, backgrounds dark. With arbitrary colors, more rotation and more scaling the
# recipe's eight epochs predict about a third of the images correctly; with these, nearly all.
_DARK, _BRIGHT = (0, 111), (130, 256)

Color = tuple[int, int, int]
Points = list[tuple[float, float]]


class Shapes(tfds.core.GeneratorBasedBuilder):
    """Ten classes of colored shapes and patterns on varied backgrounds, 72 x 72 RGB."""

    name = "shapes"
    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {"1.1.0": "Bright shapes on dark backgrounds."}  # noqa: RUF012
    on_progress: Callable[[int, int], None] | None = None  # called with images drawn and of all
    _drawn = 0

    def draw(self, reporter: ProgressReporter) -> None:
        """Draws the data set, with a progress bar in place of TFDS's messages."""
        text = "drawing shapes, about half a minute"
        if not reporter.is_terminal:
            reporter.message(text)
        tfds.display_progress_bar(False)
        try:
            quiet = contextlib.redirect_stdout(io.StringIO())
            with reporter.progress(text) as self.on_progress, quiet:
                self.download_and_prepare()
        finally:
            tfds.display_progress_bar(True)

    def _info(self) -> Any:
        """Describes the data set to TFDS."""
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(PIXELS, PIXELS, 3), encoding_format="png"),
                "label": tfds.features.ClassLabel(names=list(CLASS_NAMES)),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="Drawn shapes and patterns in ten classes, made by alexnet_tf.",
            features=features,
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        """Returns each split's generator; nothing is downloaded."""
        del dl_manager
        return {split: self._generate_examples(split) for split in SPLIT_SIZES}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Draws a split."""
        for index in range(SPLIT_SIZES[split]):
            encoded = io.BytesIO()
            image, label = draw_example(split, index)
            # The fastest compression: noise hardly shrinks with more.
            Image.fromarray(image).save(encoded, "png", compress_level=1)
            encoded.seek(0)
            yield index, {"image": encoded, "label": label}
            self._drawn += 1
            if self.on_progress is not None:
                self.on_progress(self._drawn, sum(SPLIT_SIZES.values()))


def draw_example(split: str, index: int) -> tuple[np.ndarray, int]:
    """Draws an example: uint8 [72, 72, 3], and the class number, which is `index` modulo 10."""
    rng = np.random.default_rng((_SEED, list(SPLIT_SIZES).index(split), index))
    label = index % len(CLASS_NAMES)
    background, colors = _background(rng)
    shape = Image.new("L", (_CANVAS, _CANVAS), 0)
    radius = _CANVAS * rng.uniform(0.28, 0.42)
    center = rng.uniform(radius * 0.85, _CANVAS - radius * 0.85, 2)
    rotation = rng.uniform(-_MAX_ROTATION, _MAX_ROTATION)
    _draw_mask(ImageDraw.Draw(shape), CLASS_NAMES[label], radius, center, rotation, rng)
    paint = _paint(CLASS_NAMES[label], radius, rotation, colors, rng)
    image = Image.composite(paint, background, shape).resize((PIXELS, PIXELS), Image.Resampling.BOX)
    pixels = np.asarray(image, np.float32)
    noisy = pixels + rng.normal(0, rng.uniform(0, 8), pixels.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), label


def _draw_mask(
    draw: ImageDraw.ImageDraw,
    kind: str,
    radius: float,
    center: np.ndarray,
    rotation: float,
    rng: np.random.Generator,
) -> None:
    """Draws a shape filled, white on black."""
    center_x, center_y = float(center[0]), float(center[1])

    def disc(x: float, y: float, size: float, fill: int) -> None:
        draw.ellipse((x - size, y - size, x + size, y + size), fill=fill)

    def polygon(points: Points) -> None:
        cos, sin = math.cos(rotation), math.sin(rotation)
        rotated = [(x * cos - y * sin, x * sin + y * cos) for x, y in points]
        draw.polygon([(center_x + radius * x, center_y + radius * y) for x, y in rotated], fill=255)

    if kind == "triangle":
        polygon(_regular(3))
    elif kind == "square":
        polygon(_regular(4))
    elif kind == "star":
        inner = rng.uniform(0.38, 0.5)
        polygon([(x * s, y * s) for (x, y), s in zip(_regular(10), (1, inner) * 5, strict=True)])
    elif kind == "cross":
        arm = rng.uniform(0.2, 0.32)
        corner = [(1.0, -arm), (1.0, arm), (arm, arm)]
        cross: Points = []
        for _ in range(4):
            cross += corner
            corner = [(-y, x) for x, y in corner]
        polygon(cross)
    elif kind == "heart":
        polygon(_heart())
    else:
        # Patterns are cut out as a disc or a square: only the pattern gives the class.
        if kind in ("striped", "checkered") and rng.random() < 0.5:
            polygon(_regular(4))
        else:
            disc(center_x, center_y, radius, 255)
        if kind == "ring":
            disc(center_x, center_y, radius * rng.uniform(0.45, 0.65), 0)
        elif kind == "crescent":
            distance = radius * rng.uniform(0.4, 0.6)
            x = center_x + distance * math.cos(rotation)
            y = center_y + distance * math.sin(rotation)
            disc(x, y, radius * 0.85, 0)


def _paint(
    kind: str, radius: float, rotation: float, avoid: list[Color], rng: np.random.Generator
) -> Image.Image:
    """Returns a canvas of the shape's colors: one, or two in a pattern."""
    color = _color(rng, avoid, _BRIGHT)
    if kind not in ("striped", "checkered"):
        return Image.new("RGB", (_CANVAS, _CANVAS), color)
    other = _color(rng, [color], _DARK)
    width = radius * rng.uniform(0.28, 0.45)
    along, across = _rotated_grid(rotation)
    number = np.floor(along / width + rng.random())
    if kind == "checkered":
        number = number + np.floor(across / width + rng.random())
    is_odd = number[..., np.newaxis] % 2 == 1
    return Image.fromarray(np.where(is_odd, color, other).astype(np.uint8))


def _background(rng: np.random.Generator) -> tuple[Image.Image, list[Color]]:
    """Returns a canvas with a background, and its colors."""
    first = _color(rng, [], _DARK)
    second = _as_color(np.clip(np.array(first) + rng.integers(-40, 41, 3), *_DARK))
    kind = rng.choice(("plain", "gradient", "noise", "stripes", "blots"))
    if kind == "plain":
        return Image.new("RGB", (_CANVAS, _CANVAS), first), [first]
    along, _ = _rotated_grid(rng.uniform(0, 2 * math.pi))
    if kind == "gradient":
        fraction = (along - along.min()) / (along.max() - along.min())
    elif kind == "stripes":
        fraction = np.floor(along / (_CANVAS * rng.uniform(0.05, 0.2))) % 2
    else:
        # Random cells of a coarse grid, enlarged: fine ones are noise, coarse ones soft blots.
        cells = int(rng.integers(24, 49) if kind == "noise" else rng.integers(3, 7))
        coarse = Image.fromarray(rng.integers(0, 256, (cells, cells), np.uint8))
        smooth = coarse.resize((_CANVAS, _CANVAS), Image.Resampling.BILINEAR)
        fraction = np.asarray(smooth, np.float32) / 255
    mask = Image.fromarray((fraction * 255).astype(np.uint8))
    below, above = (Image.new("RGB", mask.size, color) for color in (first, second))
    return Image.composite(above, below, mask), [first, second]


def _color(rng: np.random.Generator, avoid: list[Color], levels: tuple[int, int]) -> Color:
    """Returns a random color at _MIN_CONTRAST from those in `avoid`, or the most distant one."""
    candidates = rng.integers(*levels, (16, 3))
    if not avoid:
        return _as_color(candidates[0])
    distances = np.linalg.norm(candidates[:, None] - np.asarray(avoid)[None], axis=-1).min(axis=1)
    enough = np.flatnonzero(distances >= _MIN_CONTRAST)
    return _as_color(candidates[enough[0] if len(enough) else distances.argmax()])


def _as_color(values: np.ndarray) -> Color:
    red, green, blue = values.tolist()
    return red, green, blue


def _rotated_grid(rotation: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns each pixel's coordinates along a direction and across it: float32 arrays."""
    steps = np.arange(_CANVAS, dtype=np.float32)
    cos, sin = np.float32(math.cos(rotation)), np.float32(math.sin(rotation))
    x, y = steps[None, :], steps[:, None]
    return x * cos + y * sin, y * cos - x * sin


def _regular(corners: int) -> Points:
    """Returns a regular polygon's corners on the unit circle."""
    angles = [2 * math.pi * corner / corners for corner in range(corners)]
    return [(math.cos(angle), math.sin(angle)) for angle in angles]


def _heart() -> Points:
    """Returns a heart's outline within the unit circle."""
    angles = [2 * math.pi * step / 48 for step in range(48)]
    return [
        (
            math.sin(a) ** 3,
            -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 16,
        )
        for a in angles
    ]
