"""The input pipeline: an epoch's batches for training, and batches for evaluation."""

import dataclasses

import numpy as np
import tensorflow as tf

from alexnet_tf.data.augment import (
    CropPlan,
    draw,
    draw_color_jitter,
    draw_lighting,
    draw_resized_crops,
    epoch_order,
    lighting_offsets,
)
from alexnet_tf.data.examples import Examples
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.errors import InputError
from alexnet_tf.settings import Recipe

_BATCHES_AHEAD = 4


@dataclasses.dataclass(frozen=True)
class Shard:
    """The part of each global batch that one worker's data set delivers."""

    worker: int = 0
    workers: int = 1  # that divide a batch
    replicas: int = 1  # devices of each worker

    def select(self, rows: np.ndarray, batch_size: int) -> np.ndarray:
        """Returns this worker's part of [batches * batch_size] rows of the global batches.

        It is [batches * replicas, b] with b = batch_size / (workers * replicas).
        """
        b = batch_size // (self.workers * self.replicas)
        return rows.reshape(-1, self.workers, self.replicas, b)[:, self.worker].reshape(-1, b)


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Returns the number of batches that hold all examples; the last may be short."""
    return -(-examples // batch_size)


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Returns a loss weight per class that makes all classes count alike: float32 [classes].

    examples / (classes present * examples of the class): 1 on average over the examples; 0 for
    classes without examples.
    """
    counts = np.bincount(labels, minlength=classes)
    present = max(np.count_nonzero(counts), 1)
    return np.where(counts, len(labels) / (present * np.maximum(counts, 1)), 0).astype(np.float32)


def imbalance(labels: np.ndarray, classes: int) -> float | None:
    """Returns the largest class's examples over the smallest's; None if a class has none."""
    counts = np.bincount(labels, minlength=classes)
    return float(counts.max() / counts.min()) if counts.min() else None


def check_batch_size(batch_size: int, examples: int, replicas: int) -> None:
    """Raises InputError if a global batch size is not 1 to `examples`, in steps of `replicas`."""
    if batch_size < 1:
        raise InputError(f"batch size must be at least 1. Received: {batch_size}")
    if batch_size > examples:
        raise InputError(
            f"batch size {batch_size} is larger than the training set of {examples} examples: "
            f"give --batch-size {examples} or less"
        )
    if batch_size % replicas:
        fitting = max(batch_size // replicas, 1) * replicas
        raise InputError(
            f"batch size {batch_size} does not divide by the {replicas} devices: give --batch-size "
            f"{fitting}, or --devices that divide it"
        )


def training_batches(
    examples: Examples,
    recipe: Recipe,
    statistics: Statistics,
    *,
    seed: int,
    epoch: int,
    batch_size: int,
    skip_batches: int = 0,
    shard: Shard = Shard(),
    class_weights: np.ndarray | None = None,
    flip_on_device: bool = False,
) -> tf.data.Dataset:
    """Returns the batches of one epoch for one worker.

    Global batch g holds examples order[g * B : (g + 1) * B] of the epoch's shuffle and is divided,
    in order, into workers * replicas equal parts; a worker yields its replicas' parts in turn. The
    batches do not depend on the number of threads, and the images not on the worker.

    Args:
      examples: The training examples.
      recipe: Gives resize_pixels, pad_pixels, the input size, crop, flip, jitter and lighting.
      statistics: Statistics of the training set, for its principal components.
      seed: Seed of the run.
      epoch: Epoch, from 0.
      batch_size: B.
      skip_batches: Global batches to skip at the start, when a run resumes inside an epoch.
      shard: The worker's part of each batch.
      class_weights: float32 by class number, loss weights; None: all 1.
      flip_on_device: Whether the device flips the images (`images.flip_horizontally`).

    Returns:
      A finite data set of dicts, with b = B / (workers * replicas) rows: `image` uint8 [b, p, p, c]
      cropped and flipped; `label` int64 [b]; `weight` float32 [b], 0 for padding examples, which
      fill the last batch; `offset` float32 [b, 3], PCA lighting, not yet added. If used, also
      `loss_weight` float32 [b], class weight times `weight`; `jitter` float32 [b, 3], factors of
      `apply_color_jitter`; and `flip` bool [b], of images that the device flips.

    Raises:
      InputError: The batch size is wrong; see `check_batch_size`.
    """
    size = len(examples)
    check_batch_size(batch_size, size, shard.workers * shard.replicas)
    count = steps_per_epoch(size, batch_size) * batch_size
    skipped = skip_batches * shard.replicas
    # np.resize repeats the epoch's first examples at the end.
    indices = np.resize(epoch_order(seed, epoch, size), count)
    indices = shard.select(indices, batch_size)[skipped:]
    is_real = shard.select(np.arange(count) < size, batch_size)[skipped:]
    plan = _plan_epoch(recipe, seed, epoch, indices)
    rows = {
        "label": examples.labels[indices],
        "weight": is_real.astype(np.float32),
        "offset": np.zeros((*indices.shape, 3), np.float32),
    }
    if recipe.lighting_std and examples.channels == 3:
        alphas = draw_lighting(seed, epoch, indices, recipe.lighting_std)
        rows["offset"] = lighting_offsets(
            alphas, statistics.rgb_stds, statistics.rgb_eigenvectors, recipe.lighting_units
        )
    if recipe.color_jitter:
        rows["jitter"] = draw_color_jitter(seed, epoch, indices, recipe.color_jitter)
    if class_weights is not None:
        rows["loss_weight"] = rows["weight"] * class_weights.astype(np.float32)[rows["label"]]
    if flip_on_device:
        rows["flip"] = plan.flips
        plan = dataclasses.replace(plan, flips=np.zeros_like(plan.flips))
    return _with_images(rows, examples.crops(plan))


def _plan_epoch(recipe: Recipe, seed: int, epoch: int, indices: np.ndarray) -> CropPlan:
    """Returns the crops of an epoch."""
    sizes = (recipe.resize_pixels, recipe.pad_pixels, recipe.network.input_size)
    margin = recipe.resize_pixels + 2 * recipe.pad_pixels - recipe.network.input_size
    tops, lefts, flips = draw(seed, epoch, indices, margin, recipe.flip)
    plan = CropPlan(indices, tops, lefts, flips, *sizes)
    if recipe.crop != "random-resized":
        return plan
    tops, lefts, heights, widths = draw_resized_crops(seed, epoch, indices, recipe.resize_pixels)
    return dataclasses.replace(
        plan, tops=tops, lefts=lefts, heights=heights, widths=widths, pad_pixels=0
    )


def evaluation_batches(examples: Examples, pixels: int, batch_size: int) -> tf.data.Dataset:
    """Returns all examples in order, resized and not yet cropped.

    Args:
      examples: Any split.
      pixels: Side that images are resized to (shorter side, then the central square).
      batch_size: Rows of every batch, the last one included.

    Returns:
      A finite data set of dicts: `image` uint8 [b, pixels, pixels, c]; `label` int64 [b]; `weight`
      float32 [b], 0 for the padding examples of the last batch.

    Raises:
      InputError: The batch size is below 1, or the set is empty.
    """
    if batch_size < 1:
        raise InputError(f"batch size must be at least 1. Received: {batch_size}")
    if not len(examples):
        raise InputError("no examples to evaluate: the split is empty")
    count = steps_per_epoch(len(examples), batch_size) * batch_size
    indices = np.resize(np.arange(len(examples)), count).reshape(-1, batch_size)
    weights = (np.arange(count) < len(examples)).astype(np.float32).reshape(-1, batch_size)
    rows = {"label": examples.labels[indices], "weight": weights}
    return _with_images(rows, examples.resized(indices, pixels))


def _with_images(rows: dict[str, np.ndarray], images: tf.data.Dataset) -> tf.data.Dataset:
    """Returns batches with their images, in a fixed order, read ahead."""
    dataset = tf.data.Dataset.zip(tf.data.Dataset.from_tensor_slices(rows), images).map(
        lambda row, image: {"image": image, **row}
    )
    options = tf.data.Options()
    options.deterministic = True
    # Autotuning can double the time of an epoch (TensorFlow 2.21): every other iterator ends only
    # when the tuner runs again, and its interval doubles each time.
    options.autotune.enabled = False
    # Every process has its own part already: a strategy must not divide it once more.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.prefetch(_BATCHES_AHEAD).with_options(options)
