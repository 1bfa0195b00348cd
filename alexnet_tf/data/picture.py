"""A page of training examples before and after augmentation: what the network gets to see."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from alexnet_tf.data.augment import epoch_order
from alexnet_tf.data.examples import Examples
from alexnet_tf.data.images import apply_lighting, resize_and_crop
from alexnet_tf.data.pipeline import training_batches
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.files import atomic_path
from alexnet_tf.settings import Recipe

ROWS, EPOCHS = 8, 5
_INCHES = 1.5


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
    """Draws examples as they are stored and as the first epochs of a run would show them.

    A row an example: first the rescaled square, then what each epoch makes of it: crop, reflection,
    colors (cut to 0..255, which training does not do).

    Args:
      examples: Training examples; ROWS of them are drawn, chosen by seed.
      class_names: By class number, short and such as can be drawn.
      recipe: Its sizes, flip and lighting are used.
      statistics: The colors' principal components.
      path: The picture's file; its ending chooses the format.
      seed: Of the run whose augmentation is shown.
      text_style: What matplotlib needs to draw the names; None: nothing.
    """
    chosen = examples.subset(np.sort(epoch_order(seed, 0, len(examples))[:ROWS]))
    rows = len(chosen)
    stored = [
        np.asarray(resize_and_crop(chosen.load(i), recipe.resize_pixels)) for i in range(rows)
    ]
    columns = [_augmented(chosen, recipe, statistics, seed, epoch) for epoch in range(EPOCHS)]
    figure = Figure(
        figsize=(_INCHES * (EPOCHS + 1), _INCHES * 1.12 * rows + 0.4), layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, EPOCHS + 1, squeeze=False)
    for row in range(rows):
        for column, image in enumerate([stored[row], *(images[row] for images in columns)]):
            axes = grid[row][column]
            axes.imshow(np.squeeze(image), cmap="gray", vmin=0, vmax=255)
            axes.set_axis_off()
        name = class_names[chosen.labels[row]]
        grid[row][0].set_title(name, fontsize=7, loc="left", pad=2, **text_style or {})
    for epoch in range(EPOCHS):
        grid[0][epoch + 1].set_title(f"epoch {epoch + 1}", fontsize=7, loc="left", pad=2)
    with atomic_path(path) as temporary, matplotlib.rc_context({"savefig.dpi": 110}):
        figure.savefig(temporary)


def _augmented(
    examples: Examples, recipe: Recipe, statistics: Statistics, seed: int, epoch: int
) -> np.ndarray:
    """Returns uint8 [n, p, p, c], an epoch's images in the order of the examples."""
    size = len(examples)
    (batch,) = training_batches(
        examples, recipe, statistics, seed=seed, epoch=epoch, batch_size=size
    ).as_numpy_iterator()
    images = batch["image"].astype(np.float32)
    if images.shape[-1] == 3:
        mean = statistics.mean_image.mean(axis=(0, 1))
        images = np.asarray(apply_lighting(images, batch["offset"], recipe.lighting_divisor, mean))
    in_order = np.empty_like(images)
    in_order[epoch_order(seed, epoch, size)] = images
    return np.clip(np.round(in_order), 0, 255).astype(np.uint8)
