"""Evaluate a model on a split of a data set: center crop and ten-crop averaging (section 4.1)."""

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.classes import class_identities, match_classes
from alexnet_tf.data.dataset import DataSet
from alexnet_tf.data.examples import Examples
from alexnet_tf.data.pipeline import evaluation_batches
from alexnet_tf.data.scan import scan_images
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.splits import default_split, evaluation_split
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import crop_probabilities, resized_pixels
from alexnet_tf.evaluation.error_analysis import LabeledPredictions, labeled_predictions
from alexnet_tf.evaluation.metrics import CropErrors, Evaluation, batch_totals
from alexnet_tf.files import expanded
from alexnet_tf.model.inspection import class_names
from alexnet_tf.model.persistence import load_model
from alexnet_tf.paper import TEN_CROPS
from alexnet_tf.runs import ModelSource, open_model

_BATCH_SIZE = 128
_LISTED_CLASSES = 3  # in a message

PathLike = str | os.PathLike[str]
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class EvaluationTarget:
    """A model and the examples to evaluate it on.

    Attributes:
      network: The model.
      name: The model's file, or its name if it was given as a Keras model.
      dataset: The data set.
      split: As in `Evaluation`.
      examples: The split's examples, without damaged ones.
      left_out: As in `Evaluation`.
      hold_out: Held-out fraction of train; 0 for another data set than the run's.
      seed: Seed of the run; 0 for another data set.
      data_dir: Folder of prepared TFDS data sets; None: TFDS's default.
    """

    network: keras.Model
    name: str
    dataset: DataSet
    split: str
    examples: Examples
    left_out: tuple[tuple[str, str], ...]
    hold_out: float
    seed: int
    data_dir: PathLike | None

    @property
    def training_examples(self) -> Examples | None:
        """The examples that the run trained on; None if the data set has no train split."""
        if "train" not in self.dataset.splits:
            return None
        return evaluation_split(self.dataset, "train", self.hold_out, self.seed)

    def evaluation(self, errors: CropErrors) -> Evaluation:
        """Return the model's errors with the names of model, data set and split."""
        return Evaluation(self.name, self.dataset.name, self.split, *errors, self.left_out)


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
    """Evaluate a run's model, or any model of this package, on a split of a data set.

    Args:
      run: A run folder; None without `model`: the newest run under saved_models/.
      model: A Keras model or a .keras file, instead of a run.
      dataset: A name or folder as `train` takes them; None: the run's own.
      data_dir: Folder of prepared TFDS data sets; None: the run's, or TFDS's default.
      split: "train", "validation" (also a held-out part of train) or "test"; None: the split that
        the run was validated on; for another data set validation, else test, else train.
      batch_size: Crops per step; None: up to 128.
      ten_crop: Whether to evaluate ten-crop averaging too.
      on_progress: Called with the images done so far and the number of images, in two passes over
        image files: the first one finds damaged ones.

    Returns:
      The errors.

    Raises:
      InputError: The run has no model, the data set has other classes than the model, more than 1%
        of the images are damaged, or the batch size is not within 1 and the size of the split.
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
    errors = evaluate_examples(
        target.network,
        target.examples,
        batch_size=batch_size,
        ten_crop=ten_crop,
        on_progress=on_progress,
    )
    return target.evaluation(errors)


def evaluate_examples(
    model: keras.Model,
    examples: Examples,
    resize_pixels: int | None = None,
    batch_size: int | None = None,
    *,
    ten_crop: bool = False,
    on_progress: Progress | None = None,
    on_predictions: Callable[[LabeledPredictions], None] | None = None,
) -> CropErrors:
    """Evaluate a model on examples.

    Args:
      model: Takes float32 [b, p, p, c], RGB or gray, 0..255; returns probabilities [b, classes].
      examples: At least one example.
      resize_pixels: Side of the resized images that crops are cut from, at least p; None: the
        model's own.
      batch_size: Crops per step, at most the number of examples; None: 128. With ten crops a step
        has a tenth of the images.
      ten_crop: Whether to evaluate ten-crop averaging too.
      on_progress: Called after each step with the images done so far and the number of images.
      on_predictions: Called after each step with the center-crop predictions of its images.

    Returns:
      The errors. The loss is the mean of -log p(label) in nats, of the averaged p for ten crops.
    """
    images = images_per_step(len(examples), batch_size, ten_crop)
    step, totals = _compiled_step(model, ten_crop), np.zeros((2 if ten_crop else 1, 4))
    for batch in evaluation_batches(examples, resize_pixels or resized_pixels(model), images):
        batch_sums, predictions = step(batch["image"], batch["label"], batch["weight"])
        totals += batch_sums.numpy()
        if on_progress is not None:
            on_progress(int(totals[0, 2]), len(examples))
        if on_predictions is not None:
            is_padding = np.asarray(batch["weight"]) == 0
            fields = (values.numpy()[~is_padding] for values in predictions)
            on_predictions(LabeledPredictions(*fields))
    return CropErrors.from_totals(totals)


def images_per_step(examples: int, batch_size: int | None, ten_crop: bool) -> int:
    """Return the number of images whose crops make a batch, at least one."""
    crops = min(batch_size or _BATCH_SIZE, examples)
    return max(1, crops // TEN_CROPS) if ten_crop else crops


# Training evaluates the same model after every epoch: its graph is traced once.
@functools.lru_cache(maxsize=1)
def _compiled_step(model: keras.Model, ten_crop: bool) -> Callable[..., Any]:
    """Return a function from a batch to its totals by kind of crop and to its predictions."""
    network, pixels = functools.partial(model, training=False), int(model.input_shape[1])

    @tf.function(reduce_retracing=True)
    def step(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> Any:
        by_crop = crop_probabilities(network, images, pixels, ten_crop=ten_crop)
        totals = tf.stack([batch_totals(each, labels, weights) for each in by_crop])
        return totals, labeled_predictions(by_crop[0], labels)

    return step


def open_target(
    run: PathLike | None = None,
    *,
    model: keras.Model | PathLike | None = None,
    dataset: PathLike | None = None,
    data_dir: PathLike | None = None,
    split: str | None = None,
    batch_size: int | None = None,
    on_progress: Progress | None = None,
    loaded: keras.Model | None = None,
) -> EvaluationTarget:
    """Open a model and a split; arguments and errors are those of `evaluate`.

    `loaded` is the run's model if it is loaded already.
    """
    if isinstance(model, keras.Model):
        if run is not None:
            raise InputError("give a run or a model to evaluate, not both")
        source, network = ModelSource(Path(model.name)), model
    else:
        source = open_model(run, model)
        network = loaded or load_model(source.path)
    dataset = source.dataset if dataset is None else dataset
    if dataset is None:
        raise InputError("name the data set to evaluate the model on: --dataset")
    data_dir = data_dir or source.data_dir
    opened = open_dataset(dataset, data_dir=data_dir, channels=network.input_shape[-1])
    match = check_classes(network, opened)
    record, hold_out, seed = source.record, 0.0, 0
    if record is not None and same_dataset(dataset, record.options.dataset):
        # The run's fraction and seed give the same held-out part as in training.
        hold_out, seed = record.recipe.hold_out, record.seed
        split = split or source.split
    split = split or default_split(opened)
    examples = evaluation_split(opened, split, hold_out, seed).relabeled(match)
    if batch_size is not None and not 1 <= batch_size <= len(examples):
        raise InputError(
            f"batch size must be from 1 to the {split} split's {len(examples)} images. "
            f"Received: {batch_size}"
        )
    scan = scan_images(examples, resized_pixels(network), on_progress, split=split)
    name, damaged = os.fspath(source.path), scan.damaged
    return EvaluationTarget(
        network, name, opened, split, scan.examples, damaged, hold_out, seed, data_dir
    )


def check_classes(model: keras.Model, dataset: DataSet) -> np.ndarray:
    """Check that a model has the classes of a data set, in any order.

    Returns:
      int64 [classes], the model's class index for each label of the data set.

    Raises:
      InputError: The classes differ; the message names the first one that the model does not have.
    """
    theirs = dataset.class_names
    outputs = int(model.output_shape[-1])
    if outputs != len(theirs):
        raise InputError(
            f"the model has {outputs} classes, {dataset.name} has {len(theirs)}: evaluate on the "
            "data set that it was trained on"
        )
    names = tuple(class_names(model) or theirs)  # without names, classes match by index
    match = match_classes(names, theirs)
    if match is None:
        known = set(class_identities(names))
        pairs = zip(class_identities(theirs), theirs, strict=True)
        other = next((name for identity, name in pairs if identity not in known), theirs[0])
        more = ", ..." if len(names) > _LISTED_CLASSES else ""
        raise InputError(
            f"{dataset.name} has the class {other!r}, which the model does not have (its classes: "
            f"{', '.join(map(repr, names[:_LISTED_CLASSES]))}{more}): evaluate on the data set "
            "that it was trained on"
        )
    return match


def same_dataset(dataset: PathLike, own: str | None) -> bool:
    """Return whether a data set is the run's own, for which the run records an absolute path."""
    return own is not None and own in (os.fspath(dataset), os.path.realpath(expanded(dataset)))
