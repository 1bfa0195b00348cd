"""Judging a network on a split: centre crop, and ten crops averaged (section 4.1)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.data.examples import Examples
from alexnet_tf.data.images import centre_crop, ten_crop
from alexnet_tf.data.pipeline import evaluation_batches
from alexnet_tf.data.sources import DataSet, open_dataset
from alexnet_tf.data.splits import evaluation_split
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.report import Errors, Evaluation
from alexnet_tf.evaluation.topk import count_errors
from alexnet_tf.model.persistence import load_model
from alexnet_tf.model.probabilities import class_names
from alexnet_tf.paper import TEN_CROPS
from alexnet_tf.runs import model_file, newest_run, read_run

CENTRE = 4  # the centre crop's place among the ten, after the four corners
_BATCH_SIZE = 128
_TINY = 1e-37  # smallest probability whose logarithm is taken: near float32's smallest

Progress = Callable[[int, int], None]
PathLike = str | os.PathLike[str]


def evaluate_examples(
    model: keras.Model,
    examples: Examples,
    *,
    batch_size: int | None = None,
    ten_crops: bool = False,
    on_progress: Progress | None = None,
) -> tuple[Errors, Errors | None]:
    """Judges a model on examples.

    With ten crops a step takes a tenth of the images; the centre crop is one of the ten.

    Args:
      model: Takes float32 [b, p, p, c], RGB or grey, 0..255, and gives probabilities [b, classes].
      examples: At least one.
      batch_size: Crops in a step, or None: up to 128.
      ten_crops: Whether to judge the average over ten crops of each image too.
      on_progress: Called after each step with the images judged so far and the images in all.

    Returns:
      The errors of the centre crop, and those of ten crops or None.

    Raises:
      InputError: The batch size is below 1, or larger than the number of examples.
    """
    if batch_size is None:
        batch_size = min(_BATCH_SIZE, len(examples))
    if not 1 <= batch_size <= len(examples):
        raise InputError(
            f"batch size must be from 1 to the split's {len(examples)} images. "
            f"Received: {batch_size}"
        )
    images = max(1, batch_size // TEN_CROPS) if ten_crops else batch_size
    step = _step(model, ten_crops)
    totals = [_Total(), _Total()]
    for batch in evaluation_batches(examples, resize_pixels(model), images):
        for total, counts in zip(
            totals, step(batch["image"], batch["label"], batch["weight"]), strict=False
        ):
            total.add(counts)
        if on_progress is not None:
            on_progress(totals[0].examples, len(examples))
    centre, ten = (total.errors() for total in totals) if ten_crops else (totals[0].errors(), None)
    return centre, ten


def evaluate(
    run: PathLike | None = None,
    *,
    model: keras.Model | PathLike | None = None,
    dataset: str | None = None,
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
      split: "train", "validation" or "test"; None: the one that the run was watched on, or for
        another data set validation, else test, else train.
      batch_size: Crops in a step, or None: up to 128.
      ten_crop: Whether to judge ten crops too.
      on_progress: Called after each step with the images judged so far and the images in all.

    Returns:
      What was found.

    Raises:
      InputError: Something cannot be used; the message names it. Among them: a run without a model,
        and a data set with other classes than the model's.
    """
    if run is not None and model is not None:
        raise InputError("give a run or a model to evaluate, not both")
    record: dict[str, Any] = {}
    if model is None:
        run = Path(run) if run is not None else newest_run()
        record = read_run(run)
        model = model_file(run)
    elif dataset is None:
        raise InputError("name the data set to evaluate the model on")
    own = record.get("dataset", {})
    if dataset is None:
        dataset, data_dir = own["name"], data_dir or own.get("data_dir")
    is_own = dataset == own.get("name")
    if isinstance(model, keras.Model):
        network, name = model, model.name
    else:
        network, name = load_model(model), os.fspath(model)
    opened = open_dataset(dataset, data_dir=data_dir, channels=network.input_shape[-1])
    check_classes(network, opened)
    split = split or (own.get("validation_split") if is_own else None) or _default_split(opened)
    # A held-out part is the same again by the run's own share and seed.
    hold_out = record["recipe"]["hold_out"] if is_own else 0.0
    examples = evaluation_split(opened, split, hold_out, record.get("seed", 0))
    centre, ten = evaluate_examples(
        network, examples, batch_size=batch_size, ten_crops=ten_crop, on_progress=on_progress
    )
    return Evaluation(name, opened.name, split, centre, ten)


def resize_pixels(model: keras.Model) -> int:
    """Returns the side in pixels to which images are resized before a model's crops are cut."""
    for layer in model.layers:
        if layer.name == "mean" and layer.resize_pixels:
            return int(layer.resize_pixels)
    return int(model.input_shape[1])


def check_classes(model: keras.Model, dataset: DataSet) -> None:
    """Checks that a model's classes are the data set's, in the same order.

    Raises:
      InputError: They are not; the message names the first that differs.
    """
    ours, theirs = class_names(model), list(dataset.class_names)
    outputs = int(model.output_shape[-1])
    if outputs != len(theirs):
        raise InputError(
            f"the model tells {outputs} classes apart, {dataset.name} has {len(theirs)}: evaluate "
            "on the data set that it was trained on"
        )
    for index, (mine, other) in enumerate(zip(ours or (), theirs, strict=False)):
        if mine != other:
            raise InputError(
                f"the model's class {index} is {mine!r}, that of {dataset.name} is {other!r}: "
                "evaluate on the data set that it was trained on"
            )


def _default_split(dataset: DataSet) -> str:
    """Returns the split to judge a model on that was not trained on this data set."""
    return next(name for name in ("validation", "test", "train") if name in dataset.splits)


def _step(model: keras.Model, ten_crops: bool) -> Callable[..., Any]:
    """Returns the compiled step: images, labels, weights to counts for each way of cropping."""
    pixels = int(model.input_shape[1])

    def judge(probabilities: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> Any:
        right = tf.gather(probabilities, labels, axis=1, batch_dims=1)
        losses = -tf.math.log(tf.maximum(right, _TINY))
        # Padding may have any loss, so it is left out rather than multiplied by zero.
        losses = tf.where(weights > 0, tf.cast(losses, tf.float64), 0.0)
        return *count_errors(probabilities, labels, weights), tf.reduce_sum(losses)

    @tf.function(reduce_retracing=True)
    def step(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> Any:
        if not ten_crops:
            crops = tf.cast(centre_crop(images, pixels), tf.float32)
            return (judge(model(crops, training=False), labels, weights),)
        crops = tf.cast(ten_crop(images, pixels), tf.float32)
        flat = tf.reshape(crops, (-1, *crops.shape[2:]))
        each = tf.reshape(model(flat, training=False), (-1, TEN_CROPS, model.output_shape[-1]))
        return (
            judge(each[:, CENTRE], labels, weights),
            judge(tf.reduce_mean(each, axis=1), labels, weights),
        )

    return step


class _Total:
    """Counts over batches."""

    def __init__(self) -> None:
        self.top1_errors = self.top5_errors = self.examples = 0
        self.loss = 0.0

    def add(self, counts: Any) -> None:
        """Adds a batch's counts."""
        top1, top5, examples, loss = (count.numpy() for count in counts)
        self.top1_errors += int(top1)
        self.top5_errors += int(top5)
        self.examples += int(examples)
        self.loss += float(loss)

    def errors(self) -> Errors:
        """Returns the sums as a result."""
        return Errors(self.examples, self.top1_errors, self.top5_errors, self.loss / self.examples)
