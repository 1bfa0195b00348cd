"""The model and the images of an evaluation: opened by name, with matching classes."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from alexnet_tf.data.classes import class_identities, match_classes
from alexnet_tf.data.examples import Examples
from alexnet_tf.data.scan import scan_images
from alexnet_tf.data.sources import RESTORE_DATA, open_dataset, recorded_data
from alexnet_tf.data.splits import DataSet, default_split, evaluation_split
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import (
    Network,
    names_of,
    open_network,
    preprocessing_of,
    resized_pixels,
)
from alexnet_tf.evaluation.metrics import ClassReport, CropErrors, Evaluation
from alexnet_tf.files import expanded
from alexnet_tf.model.inspection import class_names
from alexnet_tf.runs import ModelSource, open_model

_LISTED_CLASSES = 3  # in a message

PathLike = str | os.PathLike[str]
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class EvaluationTarget:
    """A model and the examples to evaluate it on.

    Attributes:
      network: The model, or a file of `export`.
      name: The model's file, or its name if it was given as a Keras model.
      dataset: The data set.
      split: As in `Evaluation`.
      examples: The split's examples, without damaged ones.
      image_name: Function from an example's index to its file's path, or its split and number.
      skipped: As in `Evaluation`.
      hold_out: Held-out fraction of train; 0 for another data set than the run's.
      seed: Seed of the run; 0 for another data set.
      data_dir: Folder of prepared TFDS data sets; None: TFDS's default.
    """

    network: Network
    name: str
    dataset: DataSet
    split: str
    examples: Examples
    image_name: Callable[[int], str]
    skipped: tuple[tuple[str, str], ...]
    hold_out: float
    seed: int
    data_dir: PathLike | None

    @property
    def training_examples(self) -> Examples | None:
        """The examples that the run trained on; None if the data set has no train split."""
        if "train" not in self.dataset.splits:
            return None
        return evaluation_split(self.dataset, "train", self.hold_out, self.seed)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the model's classes, which the examples' labels are numbers of."""
        return _class_names(self.network, self.dataset)

    def evaluation(
        self, errors: CropErrors, per_class: ClassReport | None = None, model: str | None = None
    ) -> Evaluation:
        """Returns errors with the names of the model (None: the target's), data set and split."""
        names = model or self.name, self.dataset.name, self.split
        return Evaluation(*names, *errors, self.skipped, per_class, len(self.class_names))


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
    """Opens a model and a split; arguments and errors are those of `evaluate.evaluate`.

    `loaded` is the run's model if it is loaded already.
    """
    if isinstance(model, keras.Model):
        if run is not None:
            raise InputError("give a run or a model to evaluate, not both")
        source, network = ModelSource(Path(model.name)), model
    else:
        source = open_model(run, model)
        network = loaded or open_network(source.path)
    recorded_in = source.run if dataset is None else None
    dataset = source.dataset if dataset is None else dataset
    if dataset is None:
        raise InputError("name the data set to evaluate the model on: --dataset")
    data_dir = data_dir or source.data_dir
    with recorded_data(recorded_in, f"{RESTORE_DATA}; evaluate --dataset takes another"):
        channels = preprocessing_of(network).channels
        opened = open_dataset(dataset, data_dir=data_dir, channels=channels)
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
    return EvaluationTarget(
        network,
        os.fspath(source.path),
        opened,
        split,
        scan.examples,
        lambda index: examples.name(int(scan.indices[index])),
        scan.damaged,
        hold_out,
        seed,
        data_dir,
    )


def check_classes(model: Network, dataset: DataSet) -> np.ndarray:
    """Checks that a model has the classes of a data set, in any order.

    Returns:
      int64 [classes], the model's class index for each label of the data set.

    Raises:
      InputError: The classes differ; the message names the first one that the model does not have.
    """
    theirs = dataset.class_names
    names = _class_names(model, dataset)
    if len(names) != len(theirs):
        raise InputError(
            f"the model has {len(names)} classes, {dataset.name} has {len(theirs)}: evaluate on "
            "the data set that it was trained on"
        )
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


def _class_names(model: Network, dataset: DataSet) -> tuple[str, ...]:
    """Returns a model's class names; the data set's if a Keras model has as many without names."""
    is_nameless = isinstance(model, keras.Model) and class_names(model) is None
    names = names_of(model)
    return dataset.class_names if is_nameless and len(names) == len(dataset.class_names) else names


def same_dataset(dataset: PathLike, own: str | None) -> bool:
    """Returns whether a data set is the run's own, for which the run records an absolute path."""
    return own is not None and own in (os.fspath(dataset), os.path.realpath(expanded(dataset)))
