"""Summary of a data set: splits, classes, sizes, and a picture of augmented examples."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from alexnet_tf.data.augment import epoch_order, permutation
from alexnet_tf.data.examples import Examples
from alexnet_tf.data.images import augment_colors, resize_and_crop
from alexnet_tf.data.pipeline import imbalance, training_batches
from alexnet_tf.data.splits import DataSet
from alexnet_tf.data.statistics import Statistics, spread
from alexnet_tf.files import atomic_path, printable
from alexnet_tf.settings import Recipe

_SAMPLE_SIZE = 200
_STREAM_SAMPLE = 25
_ROWS, _EPOCHS = 8, 5  # of the picture
_INCHES = 1.5  # width of an image in the picture


class Sample(NamedTuple):
    """Randomly drawn examples of a split."""

    readable: np.ndarray  # int64, indices of the examples that can be read, in ascending order
    sizes: list[tuple[int, int]]  # their (width, height) in pixels, as stored
    unreadable: list[str]  # names of the other examples


def read_sample(examples: Examples) -> Sample:
    """Reads up to 200 examples."""
    readable, sizes, unreadable = [], [], []
    for index in sorted(permutation(0, 0, len(examples), _STREAM_SAMPLE)[:_SAMPLE_SIZE].tolist()):
        try:
            height, width, _ = examples.load(tf.constant(index, tf.int64)).shape
        except tf.errors.OpError:
            unreadable.append(printable(examples.name(index)))
        else:
            readable.append(index)
            sizes.append((int(width), int(height)))
    return Sample(np.asarray(readable, np.int64), sizes, unreadable)


def summarize(dataset: DataSet, sample: Sample | None) -> dict[str, Any]:
    """Returns the summary of a data set, and of a sample of its train split, as JSON values."""
    splits = {}
    for split, examples in dataset.splits.items():
        counts = np.bincount(examples.labels, minlength=len(dataset.class_names))
        splits[split] = {
            "examples": len(examples),
            "per_class": dict(zip(dataset.class_names, counts.tolist(), strict=True)),
        }
    values: dict[str, Any] = {
        "name": dataset.name,
        "origin": dataset.origin,
        "classes": len(dataset.class_names),
        "channels": dataset.channels,
        "splits": splits,
    }
    if "train" in dataset.splits:
        train = dataset.splits["train"]
        values["imbalance"] = imbalance(train.labels, len(dataset.class_names))
    if dataset.skipped_files:
        values["skipped"] = dataset.skipped_files
    if sample is not None:
        values["sizes"] = {
            "sampled": len(sample.sizes) + len(sample.unreadable),
            "width": spread([width for width, _ in sample.sizes]),
            "height": spread([height for _, height in sample.sizes]),
            "unreadable": sample.unreadable,
        }
    return values


def draw_examples(
    examples: Examples,
    class_names: Sequence[str],
    recipe: Recipe,
    statistics: Statistics,
    path: str | os.PathLike[str],
    *,
    seed: int = 0,
    text_style: Mapping[str, Any] | None = None,
) -> None:
    """Draws examples as stored, and with the augmentation of a run's first epochs.

    One row per example: first the resized image, then the augmented image of each epoch (clipped to
    0..255, which training does not do). A few examples are chosen by seed.

    Args:
      examples: Training examples.
      class_names: Names by class number, short and in letters that can be drawn.
      recipe: Gives sizes and augmentation.
      statistics: Give the RGB principal components.
      path: The picture's file; its extension selects the format.
      seed: Seed of the run.
      text_style: Arguments of matplotlib's text for the names.
    """
    chosen = examples.subset(np.sort(epoch_order(seed, 0, len(examples))[:_ROWS]))
    rows = len(chosen)
    stored = np.stack([resize_and_crop(chosen.load(i), recipe.resize_pixels) for i in range(rows)])
    augmented = (_augmented(chosen, recipe, statistics, seed, epoch) for epoch in range(_EPOCHS))
    figure = Figure(
        figsize=(_INCHES * (_EPOCHS + 1), _INCHES * 1.12 * rows + 0.4), layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, _EPOCHS + 1, squeeze=False)
    for column, images in enumerate([stored, *augmented]):
        for axes, image in zip(grid[:, column], images, strict=True):
            axes.imshow(np.squeeze(image), cmap="gray", vmin=0, vmax=255)
            axes.set_axis_off()
        if column:
            grid[0][column].set_title(f"epoch {column}", fontsize=7, loc="left", pad=2)
    for axes, label in zip(grid[:, 0], chosen.labels, strict=True):
        axes.set_title(class_names[label], fontsize=7, loc="left", pad=2, **text_style or {})
    with atomic_path(path) as temporary, matplotlib.rc_context({"savefig.dpi": 110}):
        figure.savefig(temporary)


def _augmented(
    examples: Examples, recipe: Recipe, statistics: Statistics, seed: int, epoch: int
) -> np.ndarray:
    """Returns an epoch's images in the order of the examples: uint8 [n, p, p, c]."""
    size = len(examples)
    (batch,) = training_batches(
        examples, recipe, statistics, seed=seed, epoch=epoch, batch_size=size
    ).as_numpy_iterator()
    mean = statistics.mean_image.mean(axis=(0, 1))
    images = np.asarray(augment_colors(batch["image"], batch, recipe.lighting_divisor, mean))
    in_order = np.empty_like(images)
    in_order[epoch_order(seed, epoch, size)] = images
    return np.clip(np.round(in_order), 0, 255).astype(np.uint8)
