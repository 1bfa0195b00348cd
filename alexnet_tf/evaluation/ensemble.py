"""Evaluate several networks whose probabilities are averaged, as in the paper (section 6)."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.examples import Examples
from alexnet_tf.data.pipeline import evaluation_batches
from alexnet_tf.data.scan import scan_images
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.splits import evaluation_split
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import (
    Classifier,
    Network,
    open_network,
    preprocessing_of,
    resized_pixels,
)
from alexnet_tf.evaluation.error_analysis import labeled_predictions, without_padding
from alexnet_tf.evaluation.evaluate import compile_for, images_per_step, probabilities_function
from alexnet_tf.evaluation.metrics import CropErrors, Evaluation, batch_totals
from alexnet_tf.evaluation.prediction_files import (
    CsvTarget,
    PredictionRecorder,
    record_predictions,
)
from alexnet_tf.evaluation.target import (
    EvaluationTarget,
    PathLike,
    Progress,
    check_classes,
    open_target,
    same_dataset,
)
from alexnet_tf.model.inference import inference_kernels
from alexnet_tf.runs import ModelSource, open_model, runs_of

Member: TypeAlias = str | os.PathLike[str] | keras.Model
_InputKey = tuple[int, int]  # channels, and the side of resized images


class Gain(NamedTuple):
    """How much averaging lowers an error, as a fraction of all images; negative if it raises it.

    Attributes:
      over_best: The error of the best network minus the ensemble's.
      over_mean: The mean of the networks' errors minus the ensemble's.
    """

    over_best: float
    over_mean: float


@dataclasses.dataclass(frozen=True)
class EnsembleEvaluation:
    """The errors of several networks and of their averaged probabilities on the same split.

    Attributes:
      members: Each network alone.
      ensemble: All networks together.
    """

    members: tuple[Evaluation, ...]
    ensemble: Evaluation

    @property
    def crops(self) -> tuple[str, ...]:
        """The kinds of crop: "center_crop", and "ten_crop" if evaluated."""
        return ("center_crop",) if self.ensemble.ten_crop is None else ("center_crop", "ten_crop")

    def gain(self, crop: str, error: str = "top1_error") -> Gain:
        """Returns how much averaging lowers an error.

        Args:
          crop: One of `crops`.
          error: "top1_error" or "top5_error".
        """
        alone = [getattr(getattr(member, crop), error) for member in self.members]
        together = getattr(getattr(self.ensemble, crop), error)
        return Gain(min(alone) - together, sum(alone) / len(alone) - together)

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        ensemble = self.ensemble.to_json()
        common = {name: ensemble.pop(name) for name in ("dataset", "split", "skipped")}
        members = [member.to_json() for member in self.members]
        return {
            **common,
            "members": [{k: v for k, v in m.items() if k not in common} for m in members],
            "ensemble": ensemble,
            "gain": {
                crop: {e: self.gain(crop, e)._asdict() for e in ("top1_error", "top5_error")}
                for crop in self.crops
            },
        }


def evaluate_ensemble(
    members: Sequence[Member],
    *,
    dataset: PathLike | None = None,
    data_dir: PathLike | None = None,
    split: str | None = None,
    batch_size: int | None = None,
    ten_crop: bool = False,
    per_class: bool = False,
    csv: CsvTarget | None = None,
    on_progress: Progress | None = None,
) -> EnsembleEvaluation:
    """Evaluates several networks on a split, each alone and with their probabilities averaged.

    They may differ in everything but their classes. All are held in memory, and each image is read
    once for all of them.

    Args:
      members: At least two networks: run folders, folders of `train --seeds` (all their runs),
        Keras models, .keras files, or what `export` writes.
      dataset: As for `evaluate`; None: that of the first member, which must be a run.
      data_dir: As for `evaluate`.
      split: As for `evaluate`. If the runs on this data set have different held-out images, some
        have trained on those of others: None then means "test", and "validation" is rejected.
      batch_size: Crops per step; None: up to 128.
      ten_crop: Whether to evaluate ten-crop averaging too: over all crops and networks.
      per_class: As for `evaluate`, of the ensemble.
      csv: As for `evaluate`, of the ensemble.
      on_progress: As for `evaluate`.

    Returns:
      The errors of each network and of the average.

    Raises:
      InputError: As for `evaluate`; or there is only one network, or the classes differ.
    """
    found = [network for member in members for network in _expand(member)]
    if len(found) < 2:
        raise InputError("an ensemble needs at least two networks: add another --run or --model")
    # As in `open_target`, the source of a Keras model is its name alone.
    sources = [
        ModelSource(Path(m.name)) if isinstance(m, keras.Model) else open_model(model=m)
        for m in found
    ]
    with record_predictions(csv, per_class) as recorder:
        target = open_target(
            model=found[0],
            dataset=dataset,
            data_dir=data_dir,
            split=_common_split(sources, dataset, split),
            batch_size=batch_size,
            on_progress=on_progress,
        )
        networks, names = [target.network], [target.name]
        for member, source in zip(found[1:], sources[1:], strict=True):
            network = member if isinstance(member, keras.Model) else open_network(source.path)
            names.append(os.fspath(source.path))
            networks.append(_with_classes_of_first(network, target))
        examples = _examples_by_input(networks, target)
        recorder.start(target.image_name, target.class_names)
        with inference_kernels():
            *alone, together = _evaluate_all(
                networks, examples, batch_size, ten_crop, on_progress, recorder
            )
        return EnsembleEvaluation(
            tuple(
                target.evaluation(errors, model=name)
                for errors, name in zip(alone, names, strict=True)
            ),
            target.evaluation(together, recorder.report(), f"average of {len(names)}"),
        )


def _expand(member: Member) -> list[Member]:
    """Returns the runs of a folder of `train --seeds`, or the member alone."""
    if isinstance(member, keras.Model):
        return [member]
    return list(runs_of(member))


def _common_split(
    sources: Sequence[ModelSource], dataset: PathLike | None, split: str | None
) -> str | None:
    """Returns the split to evaluate on; None: that of the first run."""
    held_out: set[tuple[float, int] | None] = set()
    for source in sources:
        record = source.record
        if record and (dataset is None or same_dataset(dataset, record.options.dataset)):
            # None: it trained on all of train, also on the held-out images of other runs.
            held = record.dataset.holds_out
            held_out.add((record.recipe.hold_out, record.seed) if held else None)
    if len(held_out) < 2 or split not in (None, "validation"):
        return split
    if split == "validation":
        raise InputError(
            "--split validation: the runs have different held-out images, so that some have "
            "trained on those of others; evaluate on --split test or on another --dataset"
        )
    return "test"


def _with_classes_of_first(network: Network, target: EvaluationTarget) -> Network:
    """Returns a network with its outputs in the order of the first network's classes."""
    of_label, first_of_label = (check_classes(n, target.dataset) for n in (network, target.network))
    order = of_label[np.argsort(first_of_label)]
    if (order == np.arange(len(order))).all():
        return network
    if isinstance(network, Classifier):
        file = network
        return dataclasses.replace(
            file,
            class_names=tuple(file.class_names[index] for index in order),
            probabilities=lambda images: file.probabilities(images)[:, order],
        )
    return keras.Model(network.input, keras.ops.take(network.output, order, axis=-1))


def _examples_by_input(
    networks: Sequence[Network], target: EvaluationTarget
) -> dict[_InputKey, Examples]:
    """Returns the split's examples for every number of channels and size of the networks."""
    found = {_input_key(target.network): target.examples}
    for key in map(_input_key, networks):
        if key in found:
            continue
        channels, pixels = key
        opened = open_dataset(target.dataset.name, data_dir=target.data_dir, channels=channels)
        examples = evaluation_split(opened, target.split, target.hold_out, target.seed)
        examples = examples.relabeled(check_classes(target.network, opened))
        found[key] = scan_images(examples, pixels, split=target.split).examples
    return found


def _input_key(network: Network) -> _InputKey:
    """Returns the number of channels and the size of the images that a network needs."""
    return preprocessing_of(network).channels, resized_pixels(network)


def _evaluate_all(
    networks: Sequence[Network],
    examples: dict[_InputKey, Examples],
    batch_size: int | None,
    ten_crop: bool,
    on_progress: Progress | None,
    recorder: PredictionRecorder,
) -> list[CropErrors]:
    """Returns the errors of each network, and at the end those of their average."""
    size = len(next(iter(examples.values())))
    images = images_per_step(size, batch_size, ten_crop)
    # One graph per network: in a common graph all would run, and need memory, at the same time.
    steps = [compile_for(n)(probabilities_function(n, ten_crop)) for n in networks]
    totals = np.zeros((len(networks) + 1, 2 if ten_crop else 1, 4))
    streams = [evaluation_batches(e, pixels, images) for (_, pixels), e in examples.items()]
    for batches in zip(*streams, strict=True):
        by_input = dict(zip(examples, (batch["image"] for batch in batches), strict=True))
        probabilities = [
            step(by_input[_input_key(network)])
            for step, network in zip(steps, networks, strict=True)
        ]
        labels, weights = batches[0]["label"], batches[0]["weight"]
        batch_sums, predictions = _totals(probabilities, labels, weights)
        totals += batch_sums.numpy()
        recorder.add(without_padding(predictions, weights))
        if on_progress is not None:
            on_progress(int(totals[0, 0, 2]), size)
    return [CropErrors.from_totals(each) for each in totals]


@tf.function(reduce_retracing=True)
def _totals(probabilities: Any, labels: tf.Tensor, weights: tf.Tensor) -> Any:
    """Returns the totals of each network, then of their average: float64 [n + 1, crops, 4].

    The second result are the predictions of the average, by ten crops if there are any.
    """
    networks = len(probabilities)
    averages = [tf.add_n(list(crop)) / networks for crop in zip(*probabilities, strict=True)]
    totals = [[batch_totals(p, labels, weights) for p in e] for e in (*probabilities, averages)]
    return tf.stack(totals), labeled_predictions(averages[-1], labels)
