"""What is judged: a model and the examples of a split, opened from what the user named."""

import dataclasses
import os
from collections.abc import Callable

import keras
import numpy as np

from alexnet_tf.data.classes import class_identities, match_classes
from alexnet_tf.data.dataset import DataSet
from alexnet_tf.data.examples import Examples
from alexnet_tf.data.scan import scan_images
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.splits import default_split, evaluation_split
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.report import Evaluation, Judgment
from alexnet_tf.files import expanded
from alexnet_tf.model.inspection import class_names
from alexnet_tf.model.persistence import load_model
from alexnet_tf.runs import open_model

Progress = Callable[[int, int], None]
_NAMED = 3  # class names in a message
PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class EvaluationTarget:
    """A model and what it is judged on.

    Attributes:
      network: The model.
      name: The model's file, or its name where it was given as a model.
      dataset: The data set.
      split: The split: "validation" may be the part of train that was held out.
      examples: The split's examples, without damaged ones.
      left_out: Damaged images, with the reason.
      hold_out: Share of train that the run held out; 0 for another data set than the run's own.
      seed: Of the run.
      data_dir: Folder of prepared TFDS data sets, or None: TFDS's own.
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
        """What the run trained on, or would have; None where the data set has no train split."""
        if "train" not in self.dataset.splits:
            return None
        return evaluation_split(self.dataset, "train", self.hold_out, self.seed)

    def evaluation(self, found: Judgment) -> Evaluation:
        """Returns what was found, with what it was found on."""
        return Evaluation(
            self.name,
            self.dataset.name,
            self.split,
            found.center_crop,
            found.ten_crop,
            self.left_out,
        )


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
    """Opens a model and a split; see `evaluate.evaluate` for the arguments and errors.

    `loaded` is the run's model where the caller has it already.
    """
    if isinstance(model, keras.Model):
        if run is not None:
            raise InputError("give a run or a model to evaluate, not both")
        source, network, name = None, model, model.name
    else:
        source = open_model(run, model)
        network, name = loaded or load_model(source.path), os.fspath(source.path)
    own = None if source is None else source.record
    if own is None and dataset is None:
        raise InputError("name the data set to evaluate the model on: --dataset")
    is_own = own is not None and (dataset is None or same_dataset(dataset, own.options.dataset))
    if source is not None:
        data_dir = data_dir or source.data_dir
    chosen = own.options.dataset if own is not None and dataset is None else dataset
    assert chosen is not None
    opened = open_dataset(chosen, data_dir=data_dir, channels=network.input_shape[-1])
    match = check_classes(network, opened)
    hold_out, seed = 0.0, 0
    if own is not None and source is not None and is_own:
        # The held-out part is the same again with the run's own fraction and seed.
        hold_out, seed = own.recipe.hold_out, own.seed
        split = split or source.split
    split = split or default_split(opened)
    examples = evaluation_split(opened, split, hold_out, seed).relabeled(match)
    if batch_size is not None and not 1 <= batch_size <= len(examples):
        raise InputError(
            f"batch size must be from 1 to the {split} split's {len(examples)} images. "
            f"Received: {batch_size}"
        )
    scan = scan_images(examples, resized_pixels(network), on_progress, split=split)
    return EvaluationTarget(
        network, name, opened, split, scan.examples, scan.damaged, hold_out, seed, data_dir
    )


def resized_pixels(model: keras.Model) -> int:
    """Returns the side in pixels to which images are resized before a model's crops are cut."""
    for layer in model.layers:
        if layer.name == "mean" and layer.resize_pixels:
            return int(layer.resize_pixels)
    return int(model.input_shape[1])


def check_classes(model: keras.Model, dataset: DataSet) -> np.ndarray:
    """Checks that a model has the classes of a data set, in whatever order.

    Returns:
      int64 [classes]: the model's class number for each label of the data set.

    Raises:
      InputError: The classes differ; the message names the first that the model does not have.
    """
    theirs = dataset.class_names
    outputs = int(model.output_shape[-1])
    if outputs != len(theirs):
        raise InputError(
            f"the model has {outputs} classes, {dataset.name} has {len(theirs)}: evaluate on the "
            "data set that it was trained on"
        )
    names = tuple(class_names(model) or theirs)  # without names the number must do
    match = match_classes(names, theirs)
    if match is None:
        known = set(class_identities(names))
        pairs = zip(class_identities(theirs), theirs, strict=True)
        other = next((name for identity, name in pairs if identity not in known), theirs[0])
        raise InputError(
            f"{dataset.name} has the class {other!r}, which the model does not have (its classes: "
            f"{', '.join(map(repr, names[:_NAMED]))}{', ...' if len(names) > _NAMED else ''}): "
            "evaluate on the data set that it was trained on"
        )
    return match


def same_dataset(asked: PathLike, own: str | None) -> bool:
    """Returns whether a data set is the run's own, which has the absolute path of a folder."""
    return own is not None and own in (os.fspath(asked), os.path.realpath(expanded(asked)))
