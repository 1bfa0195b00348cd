"""Judging a network on a split: centre crop, and ten crops averaged (section 4.1)."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.data.dataset import DataSet
from alexnet_tf.data.examples import ArrayExamples, Examples
from alexnet_tf.data.images import centre_crop
from alexnet_tf.data.images import ten_crop as cut_ten_crops
from alexnet_tf.data.pipeline import evaluation_batches
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.splits import evaluation_split
from alexnet_tf.data.statistics import fit_statistics
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.report import Errors, Evaluation, Judgement
from alexnet_tf.evaluation.topk import count_errors
from alexnet_tf.imagenet import readable
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
    resize_pixels: int | None = None,
    batch_size: int | None = None,
    *,
    ten_crop: bool = False,
    on_progress: Progress | None = None,
) -> Judgement:
    """Judges a model on examples.

    With ten crops a step takes a tenth of the images; the centre crop is one of the ten.

    Args:
      model: Takes float32 [b, p, p, c], RGB or grey, 0..255, and gives probabilities [b, classes].
      examples: At least one.
      resize_pixels: Side of the square that crops are cut from, at least p; None: the model's own.
      batch_size: Crops in a step, or None: 128; not more than there are examples are taken.
      ten_crop: Whether to judge the average over ten crops of each image too.
      on_progress: Called after each step with the images judged so far and the images in all.

    Returns:
      The errors. Loss is the mean of -log p(label), of the averaged p for ten crops, in nats.
    """
    images = min(batch_size or _BATCH_SIZE, len(examples))
    if ten_crop:
        images = max(1, images // TEN_CROPS)
    step = _step(model, ten_crop)
    totals = [_Total() for _ in range(2 if ten_crop else 1)]
    for batch in evaluation_batches(examples, resize_pixels or resized_pixels(model), images):
        counts = step(batch["image"], batch["label"], batch["weight"])
        for total, counted in zip(totals, counts, strict=True):
            total.add(counted)
        if on_progress is not None:
            on_progress(totals[0].examples, len(examples))
    return Judgement(*(total.errors() for total in totals))


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
    if run is not None and model is not None:
        raise InputError("give a run or a model to evaluate, not both")
    record: dict[str, Any] = {}
    if model is None:
        run = Path(run) if run is not None else newest_run()
        record = read_run(run)
        model = model_file(run)
    elif dataset is None:
        raise InputError("name the data set to evaluate the model on: --dataset")
    if isinstance(model, keras.Model):
        network, name = model, model.name
    else:
        network, name = load_model(model), os.fspath(model)
    own = _own(record)
    is_own = dataset is None or _same_dataset(dataset, own.get("dataset"))
    opened = open_dataset(
        own["dataset"] if dataset is None else dataset,
        data_dir=data_dir or (own["data_dir"] if is_own else None),
        channels=network.input_shape[-1],
    )
    check_classes(network, opened)
    # A held-out part is the same again by the run's own share and seed.
    hold_out, seed = (own["hold_out"], own["seed"]) if is_own else (0.0, 0)
    split = split or (own["split"] if is_own else None) or _default_split(opened)
    examples = evaluation_split(opened, split, hold_out, seed)
    if batch_size is not None and not 1 <= batch_size <= len(examples):
        raise InputError(
            f"batch size must be from 1 to the {split} split's {len(examples)} images. "
            f"Received: {batch_size}"
        )
    left_out: tuple[tuple[str, str], ...] = ()
    if not isinstance(examples, ArrayExamples):
        statistics = fit_statistics(examples, resized_pixels(network), on_progress, what=split)
        examples, left_out = statistics.usable(examples), statistics.bad
    found = evaluate_examples(
        network, examples, batch_size=batch_size, ten_crop=ten_crop, on_progress=on_progress
    )
    return Evaluation(name, opened.name, split, found.centre_crop, found.ten_crop, left_out)


def resized_pixels(model: keras.Model) -> int:
    """Returns the side in pixels to which images are resized before a model's crops are cut."""
    for layer in model.layers:
        if layer.name == "mean" and layer.resize_pixels:
            return int(layer.resize_pixels)
    return int(model.input_shape[1])


def check_classes(model: keras.Model, dataset: DataSet) -> None:
    """Checks that a model's classes are the data set's, in the same order.

    An ImageNet class goes by its name and by its WordNet number, which data sets have.

    Raises:
      InputError: They are not; the message names the first that differs.
    """
    theirs = dataset.class_names
    outputs = int(model.output_shape[-1])
    if outputs != len(theirs):
        raise InputError(
            f"the model tells {outputs} classes apart, {dataset.name} has {len(theirs)}: evaluate "
            "on the data set that it was trained on"
        )
    # A model without names is taken at its number of classes.
    pairs = zip(readable(class_names(model) or theirs), readable(theirs), strict=True)
    for index, (ours, other) in enumerate(pairs):
        if ours != other:
            raise InputError(
                f"the model's class {index} is {ours!r}, that of {dataset.name} is {other!r}: "
                "evaluate on the data set that it was trained on"
            )


def _own(record: dict[str, Any]) -> dict[str, Any]:
    """Returns what a run's record says about its data: nothing for an empty record."""
    if not record:
        return {}
    options, split = record["options"], record["dataset"]["validation_split"]
    return {
        "dataset": options["dataset"],
        "data_dir": options["data_dir"],
        "hold_out": record["recipe"]["hold_out"],
        "seed": record["seed"],
        # What was held out from train goes by the name of validation.
        "split": "validation" if split.startswith("train") else split or None,
    }


def _same_dataset(asked: PathLike, own: str | None) -> bool:
    """Returns whether a data set is the run's own, which has the absolute path of a folder."""
    return own is not None and own in (os.fspath(asked), str(Path(asked).expanduser().resolve()))


def _default_split(dataset: DataSet) -> str:
    """Returns the split to judge a model on that was not watched on any."""
    return next(name for name in ("validation", "test", "train") if name in dataset.splits)


# Training judges the same model after every epoch: its graph is traced once.
@functools.lru_cache(maxsize=1)
def _step(model: keras.Model, ten_crop: bool) -> Callable[..., Any]:
    """Returns the compiled step: images, labels, weights to counts for each way of cropping."""
    pixels = int(model.input_shape[1])

    def judge(probabilities: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> Any:
        right = tf.gather(probabilities, labels, axis=1, batch_dims=1)
        losses = -tf.math.log(tf.maximum(tf.cast(right, tf.float64), _TINY))
        # Padding is left out rather than multiplied by zero: its loss may be no number.
        losses = tf.where(weights > 0, losses, tf.zeros_like(losses))
        return *count_errors(probabilities, labels, weights), tf.reduce_sum(losses)

    @tf.function(reduce_retracing=True)
    def step(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> Any:
        if not ten_crop:
            crops = tf.cast(centre_crop(images, pixels), tf.float32)
            return (judge(model(crops, training=False), labels, weights),)
        crops = tf.cast(cut_ten_crops(images, pixels), tf.float32)
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
