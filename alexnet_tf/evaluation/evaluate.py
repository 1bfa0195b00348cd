"""Judging a network on a split: center crop, and ten crops averaged (section 4.1)."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.examples import Examples
from alexnet_tf.data.images import center_crop
from alexnet_tf.data.images import ten_crop as cut_ten_crops
from alexnet_tf.data.pipeline import evaluation_batches
from alexnet_tf.evaluation.answers import Answers, answer
from alexnet_tf.evaluation.report import Errors, Evaluation, Judgment
from alexnet_tf.evaluation.target import PathLike, Progress, open_target, resized_pixels
from alexnet_tf.evaluation.topk import count_errors
from alexnet_tf.paper import TEN_CROPS

CENTER = 4  # the center crop's place among the ten, after the four corners
_BATCH_SIZE = 128
_TINY = 1e-37  # smallest probability whose logarithm is taken: near float32's smallest


def evaluate_examples(
    model: keras.Model,
    examples: Examples,
    resize_pixels: int | None = None,
    batch_size: int | None = None,
    *,
    ten_crop: bool = False,
    on_progress: Progress | None = None,
    on_answers: Callable[[Answers], None] | None = None,
) -> Judgment:
    """Judges a model on examples.

    With ten crops a step takes a tenth of the images; the center crop is one of the ten.

    Args:
      model: Takes float32 [b, p, p, c], RGB or gray, 0..255, and gives probabilities [b, classes].
      examples: At least one.
      resize_pixels: Side of the square that crops are cut from, at least p; None: the model's own.
      batch_size: Crops in a step, or None: 128; not more than there are examples are taken.
      ten_crop: Whether to judge the average over ten crops of each image too.
      on_progress: Called after each step with the images judged so far and the images in all.
      on_answers: Called after each step with what the center crops of its images were answered.

    Returns:
      The errors. Loss is the mean of -log p(label), of the averaged p for ten crops, in nats.
    """
    images = images_in_step(len(examples), batch_size, ten_crop)
    step = _step(model, ten_crop)
    totals = [Total() for _ in range(2 if ten_crop else 1)]
    for batch in evaluation_batches(examples, resize_pixels or resized_pixels(model), images):
        counts, said = step(batch["image"], batch["label"], batch["weight"])
        for total, counted in zip(totals, counts, strict=True):
            total.add(counted)
        if on_progress is not None:
            on_progress(totals[0].examples, len(examples))
        if on_answers is not None:
            rows = np.asarray(batch["weight"]) > 0  # the others only fill the batch up
            on_answers(Answers(*(values.numpy()[rows] for values in said)))
    return Judgment(*(total.errors() for total in totals))


def images_in_step(examples: int, batch_size: int | None, ten_crop: bool) -> int:
    """Returns the images judged in a step: as many as give a batch of crops, at least one."""
    crops = min(batch_size or _BATCH_SIZE, examples)
    return max(1, crops // TEN_CROPS) if ten_crop else crops


def evaluate(
    run: PathLike | None = None,
    *,
    model: keras.Model | PathLike | None = None,
    dataset: PathLike | None = None,
    data_dir: PathLike | None = None,
    split: str | None = None,
    batch_size: int | None = None,
    ten_crop: bool = False,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Judges a run's model, or any model of this package, on a split of a data set.

    Args:
      run: The run's folder; None, and no model given: the newest under saved_models/.
      model: A model, or its .keras file, in place of a run's.
      dataset: A name or folder as `train` takes them, or None: the run's own.
      data_dir: Folder of prepared TFDS data sets, or None: the run's, or TFDS's own.
      split: "train", "validation" (also what the run held out) or "test"; None: the one that the
        run was watched on, or for another data set validation, else test, else train.
      batch_size: Crops in a step, or None: up to 128.
      ten_crop: Whether to judge ten crops too.
      on_progress: Called with the images done so far and the images in all; files are gone through
        twice, the first time to find damaged ones.

    Returns:
      What was found.

    Raises:
      InputError: Something cannot be used; the message names it. Among them: a run without a model,
        a data set with other classes than the model's, more than 1% damaged images, a batch size
        below 1 or larger than the split.
    """
    target = open_target(
        run,
        model=model,
        dataset=dataset,
        data_dir=data_dir,
        split=split,
        batch_size=batch_size,
        on_progress=on_progress,
    )
    found = evaluate_examples(
        target.network,
        target.examples,
        batch_size=batch_size,
        ten_crop=ten_crop,
        on_progress=on_progress,
    )
    return target.evaluation(found)


# Training judges the same model after every epoch: its graph is traced once.
@functools.lru_cache(maxsize=1)
def _step(model: keras.Model, ten_crop: bool) -> Callable[..., Any]:
    """Returns the compiled step: images, labels, weights to counts for each way, and answers."""

    @tf.function(reduce_retracing=True)
    def step(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> Any:
        ways = crop_probabilities(model, images, ten_crop)
        counts = tuple(judge(probabilities, labels, weights) for probabilities in ways)
        return counts, answer(ways[0], labels)

    return step


def crop_probabilities(
    model: keras.Model, images: tf.Tensor, ten_crop: bool
) -> tuple[tf.Tensor, ...]:
    """Returns a model's probabilities for a batch, float32 [b, classes], for each way of cropping.

    Args:
      model: As in `evaluate_examples`.
      images: uint8 [b, r, r, c], resized and not yet cropped.
      ten_crop: Whether the average over ten crops follows the center crop's.
    """
    pixels = int(model.input_shape[1])
    if not ten_crop:
        return (model(tf.cast(center_crop(images, pixels), tf.float32), training=False),)
    crops = tf.cast(cut_ten_crops(images, pixels), tf.float32)
    flat = tf.reshape(crops, (-1, *crops.shape[2:]))
    each = tf.reshape(model(flat, training=False), (-1, TEN_CROPS, model.output_shape[-1]))
    return each[:, CENTER], tf.reduce_mean(each, axis=1)


def judge(
    probabilities: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Counts a batch: images wrong at top-1, at top-5, images counted, and their summed loss.

    Args:
      probabilities: float32 [b, classes].
      labels: int64 [b].
      weights: float32 [b], 0 for the rows that only fill up a batch.
    """
    right = tf.gather(probabilities, labels, axis=1, batch_dims=1)
    losses = -tf.math.log(tf.maximum(tf.cast(right, tf.float64), _TINY))
    # Padding is left out rather than multiplied by zero: its loss may be no number.
    losses = tf.where(weights > 0, losses, tf.zeros_like(losses))
    return *count_errors(probabilities, labels, weights), tf.reduce_sum(losses)


class Total:
    """Counts over batches, as `judge` gives them."""

    def __init__(self) -> None:
        self.top1_errors = self.top5_errors = self.examples = 0
        self.loss_sum = 0.0

    def add(self, counts: Any) -> None:
        """Adds a batch's counts."""
        top1, top5, examples, loss_sum = (count.numpy() for count in counts)
        self.top1_errors += int(top1)
        self.top5_errors += int(top5)
        self.examples += int(examples)
        self.loss_sum += float(loss_sum)

    def errors(self) -> Errors:
        """Returns the sums as a result."""
        return Errors(
            self.examples, self.top1_errors, self.top5_errors, self.loss_sum / self.examples
        )
