"""Several networks whose predictions are averaged, as the paper's 5 and 7 (section 6)."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.classes import match_classes
from alexnet_tf.data.examples import Examples
from alexnet_tf.data.pipeline import evaluation_batches
from alexnet_tf.data.scan import scan_images
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.splits import evaluation_split
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.ensemble_report import EnsembleEvaluation
from alexnet_tf.evaluation.evaluate import Total, crop_probabilities, images_in_step, judge
from alexnet_tf.evaluation.report import Judgment
from alexnet_tf.evaluation.target import (
    EvaluationTarget,
    PathLike,
    Progress,
    check_classes,
    open_target,
    resized_pixels,
    same_dataset,
)
from alexnet_tf.model.inspection import class_names
from alexnet_tf.model.persistence import load_model
from alexnet_tf.runs import has_seeds, is_run, model_file, read_run, read_seeds, seed_folder

Member: TypeAlias = str | os.PathLike[str] | keras.Model
_Key = tuple[int, int]  # channels, and pixels that images are resized to


def evaluate_ensemble(
    members: Sequence[Member],
    *,
    dataset: PathLike | None = None,
    data_dir: PathLike | None = None,
    split: str | None = None,
    batch_size: int | None = None,
    ten_crop: bool = False,
    on_progress: Progress | None = None,
) -> EnsembleEvaluation:
    """Judges several networks on a split, each alone and with their probabilities averaged.

    They may differ in everything but their classes. All are held in memory; the images stream by
    once, for all networks together.

    Args:
      members: Runs' folders, folders that `train --seeds` made, .keras files or models; two
        networks or more.
      dataset: As of `evaluate`; None: that of the first member, which is then a run.
      data_dir: As of `evaluate`.
      split: As of `evaluate`. Where runs on this data set held out different images of train, or
        only some held any out, none of them is new to all networks: None then means "test", and
        "validation" is refused.
      batch_size: Crops in a step, or None: up to 128.
      ten_crop: Whether to judge ten crops too: averaged over crops and networks.
      on_progress: As of `evaluate`.

    Returns:
      What was found.

    Raises:
      InputError: As of `evaluate`; fewer than two networks, or networks of different classes.
    """
    found = [one for member in members for one in _expand(member)]
    if len(found) < 2:
        raise InputError("an ensemble takes two networks or more: name another --run or --model")
    first = found[0]
    is_file = not isinstance(first, keras.Model) and is_run(Path(first))
    target = open_target(
        first if is_file else None,
        model=None if is_file else first,
        dataset=dataset,
        data_dir=data_dir,
        split=_fair_split(found, dataset, split),
        batch_size=batch_size,
        on_progress=on_progress,
    )
    networks, names = [target.network], [target.name]
    for member in found[1:]:
        network, name = _load(member)
        networks.append(_in_order_of_first(network, name, target))
        names.append(name)
    judgments = _judge_all(networks, _examples(networks, target), batch_size, ten_crop, on_progress)
    *alone, together = judgments
    return EnsembleEvaluation(
        tuple(
            dataclasses.replace(target.evaluation(judgment), model=name)
            for judgment, name in zip(alone, names, strict=True)
        ),
        dataclasses.replace(target.evaluation(together), model=f"average of {len(names)}"),
    )


def _expand(member: Member) -> list[Member]:
    """Returns the networks that a member stands for: several for a folder of runs by seeds."""
    if isinstance(member, keras.Model):
        return [member]
    folder = Path(member)
    if has_seeds(folder) and not is_run(folder):
        return [seed_folder(folder, seed) for seed in read_seeds(folder)["seeds"]]
    return [member]


def _fair_split(
    members: Sequence[Member], dataset: PathLike | None, split: str | None
) -> str | None:
    """Returns the split to judge on, or None: the first run's.

    Only what trained on the data set judged on counts; with None for it, every run does.

    Raises:
      InputError: "validation", where runs held out different images, or only some held any out:
        what one of them held out others have trained on.
    """
    held: set[tuple[float, int] | None] = set()
    for member in members:
        if isinstance(member, keras.Model) or not is_run(Path(member)):
            continue
        record = read_run(Path(member))
        if dataset is not None and not same_dataset(dataset, record.options.dataset):
            continue
        holds_out = record.dataset.holds_out
        # None: it trained on all of train, so on whatever another held out.
        held.add((record.recipe.hold_out, record.seed) if holds_out else None)
    if len(held) < 2 or split not in (None, "validation"):
        return split
    if split == "validation":
        raise InputError(
            "--split validation: the runs did not hold out the same images, so what one held out "
            "others have trained on; judge them on --split test or on another --dataset"
        )
    return "test"


def _load(member: Member) -> tuple[keras.Model, str]:
    """Returns a member's network and what it is called."""
    if isinstance(member, keras.Model):
        return member, member.name
    path = Path(member)
    file = model_file(path) if is_run(path) else path
    return load_model(file), os.fspath(file)


def _in_order_of_first(network: keras.Model, name: str, target: EvaluationTarget) -> keras.Model:
    """Returns a network with its outputs in the order of the first network's classes.

    Raises:
      InputError: It has other classes.
    """
    check_classes(network, target.dataset)
    ours, theirs = class_names(network), class_names(target.network)
    if not ours or not theirs:
        return network
    match = match_classes(ours, theirs)
    if match is None:
        raise InputError(f"{name} has other classes than {target.name}")
    if (match == np.arange(len(match))).all():
        return network
    return keras.Model(network.input, keras.ops.take(network.output, match, axis=-1))


def _examples(networks: Sequence[keras.Model], target: EvaluationTarget) -> dict[_Key, Examples]:
    """Returns the split for every color and size that the networks take."""
    found = {_key(target.network): target.examples}
    for network in networks:
        channels, pixels = key = _key(network)
        if key in found:
            continue
        opened = open_dataset(target.dataset.name, data_dir=target.data_dir, channels=channels)
        examples = evaluation_split(opened, target.split, target.hold_out, target.seed)
        examples = examples.relabeled(check_classes(target.network, opened))
        found[key] = scan_images(examples, pixels, split=target.split).examples
    return found


def _key(network: keras.Model) -> _Key:
    """Returns what images a network takes."""
    return int(network.input_shape[-1]), resized_pixels(network)


def _judge_all(
    networks: Sequence[keras.Model],
    examples: dict[_Key, Examples],
    batch_size: int | None,
    ten_crop: bool,
    on_progress: Progress | None,
) -> list[Judgment]:
    """Returns what each network comes to, and last what their average does."""
    size = len(next(iter(examples.values())))
    rows = images_in_step(size, batch_size, ten_crop)
    # A graph for each: in one for all, they would run, and take memory, at the same time.
    steps = [_probabilities(network, ten_crop) for network in networks]
    ways = 2 if ten_crop else 1
    totals = [[Total() for _ in range(ways)] for _ in range(len(networks) + 1)]
    streams = [evaluation_batches(e, pixels, rows) for (_, pixels), e in examples.items()]
    for batches in zip(*streams, strict=True):
        images = dict(zip(examples, (batch["image"] for batch in batches), strict=True))
        answers = [
            step(images[_key(network)]) for step, network in zip(steps, networks, strict=True)
        ]
        counts = _count(answers, batches[0]["label"], batches[0]["weight"])
        for of_one, counted in zip(totals, counts, strict=True):
            for total, count in zip(of_one, counted, strict=True):
                total.add(count)
        if on_progress is not None:
            on_progress(totals[0][0].examples, size)
    return [Judgment(*(total.errors() for total in of_one)) for of_one in totals]


def _probabilities(network: keras.Model, ten_crop: bool) -> Any:
    """Returns a compiled function of images, uint8 [b, r, r, c]; see `crop_probabilities`."""
    return tf.function(
        lambda images: crop_probabilities(network, images, ten_crop), reduce_retracing=True
    )


@tf.function(reduce_retracing=True)
def _count(answers: Any, labels: tf.Tensor, weights: tf.Tensor) -> Any:
    """Returns the counts of each network and of their average, for each way of cropping."""
    averages = [tf.add_n(list(ways)) / len(answers) for ways in zip(*answers, strict=True)]
    return [[judge(p, labels, weights) for p in ways] for ways in (*answers, averages)]
