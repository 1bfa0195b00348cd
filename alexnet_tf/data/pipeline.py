"""The input pipeline: epochs of batches for training, and batches for judging."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from alexnet_tf.data.augment import Draws, draw, lighting_offsets
from alexnet_tf.data.compiled_crop import resize_crop_flip
from alexnet_tf.data.counter_random import permutation
from alexnet_tf.data.examples import ArrayExamples, Examples
from alexnet_tf.data.images import (
    crop_and_flip,
    crop_and_flip_one,
    mirror_padded,
    resize_and_crop,
)
from alexnet_tf.data.prepared import PreparedExamples
from alexnet_tf.data.records import StoredExamples
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.errors import InputError
from alexnet_tf.settings import Recipe
from alexnet_tf.system import available_cores

_STREAM_ORDER = 2
# Two for each core: one at work, one waiting for a file or for its turn to hand over.
_CALLS_AT_ONCE = 2 * available_cores()
_BATCHES_AHEAD = 4


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Returns how many batches hold all examples; the last may be short."""
    return -(-examples // batch_size)


def epoch_order(seed: int, epoch: int, size: int) -> np.ndarray:
    """Returns the order of the examples in an epoch: int64 [size], a true shuffle of all."""
    return permutation(seed, epoch, size, _STREAM_ORDER)


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Returns what each class counts for if all are to count alike: float32 [classes].

    examples / (classes present * examples of the class): 1 on average over the examples; 0 for
    classes without examples.
    """
    counts = np.bincount(labels, minlength=classes)
    present = max(np.count_nonzero(counts), 1)
    return np.where(counts, len(labels) / (present * np.maximum(counts, 1)), 0).astype(np.float32)


def check_batch_size(batch_size: int, examples: int, replicas: int) -> None:
    """Checks a global batch size.

    Raises:
      InputError: It is below 1, above the number of examples, or does not divide by the replicas.
    """
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
    worker: int = 0,
    workers: int = 1,
    replicas: int = 1,
    lighting: bool = True,
    class_weights: np.ndarray | None = None,
    reflect: bool = True,
) -> tf.data.Dataset:
    """Returns one epoch's batches for one worker.

    Global batch g holds examples order[g * B : (g + 1) * B] of the epoch's shuffle and is cut, in
    order, into workers * replicas equal parts; a worker's data set yields its replicas' parts one
    after another. The stream is the same whatever the number of threads, and what an image looks
    like does not depend on who draws it.

    Args:
      examples: The training examples.
      recipe: Its resize_pixels, pad_pixels, input size, flip and lighting are used.
      statistics: Those of the training set: its principal components.
      seed: Of the run.
      epoch: From 0.
      batch_size: B, of the global batch.
      skip_batches: Global batches to leave out at the start, when a run goes on inside an epoch.
      worker: Which of the workers this is, from 0.
      workers: How many machines share a batch.
      replicas: How many devices each of them has.
      lighting: False leaves PCA lighting off (its offsets are zero).
      class_weights: float32 by class number: what a class counts for; None: all alike.
      reflect: False leaves reflection to the device: see `augment.reflected`.

    Returns:
      A finite data set of dicts, with b = B / (workers * replicas) rows: `image` uint8 [b, p, p, c]
      cropped and flipped; `label` int64 [b]; `weight` float32 [b], 0 for the rows that fill up the
      last batch with examples of this epoch again; `offset` float32 [b, 3], PCA lighting on the
      0..255 scale, not yet added; with class weights also `loss_weight` float32 [b], the label's
      weight times `weight`; without `reflect` also `reflect` bool [b], and images as they lie.

    Raises:
      InputError: B is below 1, above the number of examples, or does not divide by the replicas.
    """
    size, pixels = len(examples), recipe.network.input_size
    check_batch_size(batch_size, size, workers * replicas)
    part = batch_size // (workers * replicas)
    steps = steps_per_epoch(size, batch_size)
    weights = np.zeros(steps * batch_size, np.float32)
    weights[:size] = 1
    # np.resize goes round: the last batch is filled with the epoch's first examples.
    order = np.resize(epoch_order(seed, epoch, size), steps * batch_size)

    def mine(rows: np.ndarray) -> np.ndarray:
        """Returns [parts, b] of the rows: this worker's parts of the batches still to come."""
        parts = rows.reshape(steps, workers, replicas, part)[skip_batches:, worker]
        return parts.reshape(-1, part)

    indices, weights = mine(order), mine(weights)
    draws = draw(
        seed,
        epoch,
        indices.ravel(),
        margin=recipe.resize_pixels + 2 * recipe.pad_pixels - pixels,
        flip=recipe.flip,
        lighting_std=recipe.lighting_std if lighting and examples.channels == 3 else 0.0,
    )
    plan = {
        "index": indices,
        "label": examples.labels[indices],
        "weight": weights,
        "offset": _offsets(draws, recipe, statistics).reshape(*indices.shape, 3),
        "top": draws.tops.reshape(indices.shape),
        "left": draws.lefts.reshape(indices.shape),
        "flip": draws.flips.reshape(indices.shape),
    }

    if class_weights is not None:
        plan["loss_weight"] = weights * class_weights.astype(np.float32)[plan["label"]]

    if not reflect:
        plan["reflect"], plan["flip"] = plan["flip"], np.zeros_like(plan["flip"])
    with_images = _with_crops(plan, examples, recipe.resize_pixels, pixels, recipe.pad_pixels)
    given = [key for key in plan if key not in ("index", "top", "left", "flip")]
    return _finish(
        with_images.map(lambda rows, images: {"image": images, **{k: rows[k] for k in given}})
    )


def evaluation_batches(examples: Examples, pixels: int, batch_size: int) -> tf.data.Dataset:
    """Returns all examples in order, resized and not yet cropped.

    Args:
      examples: Any split.
      pixels: Side that images are resized to (shorter side, then the central square).
      batch_size: Rows of every batch, the last one included.

    Returns:
      A finite data set of dicts: `image` uint8 [b, pixels, pixels, c]; `label` int64 [b]; `weight`
      float32 [b], 0 for the rows that fill up the last batch.

    Raises:
      InputError: The batch size is below 1, or there are no examples.
    """
    if batch_size < 1:
        raise InputError(f"batch size must be at least 1. Received: {batch_size}")
    if not len(examples):
        raise InputError("there are no examples to judge")
    rows = steps_per_epoch(len(examples), batch_size) * batch_size
    indices = np.resize(np.arange(len(examples)), rows).reshape(-1, batch_size)
    weights = (np.arange(rows) < len(examples)).astype(np.float32).reshape(-1, batch_size)
    plan = {"index": indices, "label": examples.labels[indices], "weight": weights}
    with_images = _with_images(plan, examples, pixels)
    return _finish(
        with_images.map(
            lambda row, images: {"image": images, "label": row["label"], "weight": row["weight"]}
        )
    )


def _offsets(draws: Draws, recipe: Recipe, statistics: Statistics) -> np.ndarray:
    """Returns PCA lighting: float32 [n, 3]; zeros where it is off or images are gray."""
    if not draws.alphas.any():
        return np.zeros_like(draws.alphas)
    return lighting_offsets(
        draws.alphas, statistics.rgb_stds, statistics.rgb_eigenvectors, recipe.lighting_units
    )


Rows = dict[str, tf.Tensor]


def _with_crops(
    plan: dict[str, np.ndarray], examples: Examples, resized: int, pixels: int, padding: int
) -> tf.data.Dataset:
    """Returns pairs of a plan's rows (each [b, ...]) and their crops uint8 [b, pixels, pixels, c].

    Where images are in memory, or as good as, a batch is cut at once; else each image is decoded,
    and only its crop is rescaled, unless it is padded first or has been rescaled already.
    """
    batches = tf.data.Dataset.from_tensor_slices(plan)
    stored = examples.stored_shape
    if stored is not None and stored[:2] == (resized, resized) and not padding:

        def copy(rows: Rows) -> tuple[Rows, tf.Tensor]:
            places = (rows["index"], rows["top"], rows["left"], rows["flip"])
            return rows, examples.load_crops(*places, pixels)

        return batches.map(copy, num_parallel_calls=_CALLS_AT_ONCE)
    if isinstance(examples, ArrayExamples):

        def cut(rows: Rows) -> tuple[Rows, tf.Tensor]:
            images = resize_and_crop(examples.load_batch(rows["index"]), resized)
            images = mirror_padded(images, padding)
            return rows, crop_and_flip(images, rows["top"], rows["left"], rows["flip"], pixels)

        return batches.map(cut, num_parallel_calls=_CALLS_AT_ONCE)

    is_resized = isinstance(examples, PreparedExamples) and examples.size == resized

    def crop(rows: Rows, image: tf.Tensor) -> tuple[Rows, tf.Tensor]:
        place = (rows["top"], rows["left"], rows["flip"])
        if padding or is_resized:
            whole = mirror_padded(resize_and_crop(image, resized)[tf.newaxis], padding)[0]
            return rows, crop_and_flip_one(whole, *place, pixels)
        return rows, resize_crop_flip(image, *place, resized, pixels)

    return _one_by_one(plan, examples, crop)


def _with_images(plan: dict[str, np.ndarray], examples: Examples, pixels: int) -> tf.data.Dataset:
    """Returns pairs of a plan's rows (each [b, ...]) and their images uint8 [b, pixels, pixels, c].

    Images of one size are read and resized a batch at a time, others one by one.
    """
    if isinstance(examples, ArrayExamples):

        def load(rows: Rows) -> tuple[Rows, tf.Tensor]:
            return rows, resize_and_crop(examples.load_batch(rows["index"]), pixels)

        dataset = tf.data.Dataset.from_tensor_slices(plan)
        return dataset.map(load, num_parallel_calls=_CALLS_AT_ONCE)
    return _one_by_one(plan, examples, lambda rows, image: (rows, resize_and_crop(image, pixels)))


def _one_by_one(
    plan: dict[str, np.ndarray],
    examples: Examples,
    process: Callable[[Rows, tf.Tensor], tuple[Rows, tf.Tensor]],
) -> tf.data.Dataset:
    """Returns batches of what `process` makes of each row and its image."""
    batch_size = plan["index"].shape[1]
    if isinstance(examples, StoredExamples):
        batches = tf.data.Dataset.from_tensor_slices(plan)
        rows = batches.map(
            lambda rows: (rows, examples.read_batch(rows["index"])),
            num_parallel_calls=_CALLS_AT_ONCE,
        ).unbatch()
        images = rows.map(
            lambda row, content: process(row, examples.decode(content)),
            num_parallel_calls=_CALLS_AT_ONCE,
        )
    else:
        flat = {key: value.reshape(-1, *value.shape[2:]) for key, value in plan.items()}
        images = tf.data.Dataset.from_tensor_slices(flat).map(
            lambda row: process(row, examples.load(row["index"])),
            num_parallel_calls=_CALLS_AT_ONCE,
        )
    return images.batch(batch_size, drop_remainder=True)


def _finish(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Fixes the order and reads ahead."""
    options = tf.data.Options()
    options.deterministic = True
    # With autotuning the end of an iterator waits, every other time, for the tuner's next look,
    # which comes at twice the interval of the last: an epoch takes up to twice as long (in
    # TensorFlow 2.21).
    options.autotune.enabled = False
    # Every process is given its own part already: a strategy must not cut it once more.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.prefetch(_BATCHES_AHEAD).with_options(options)
