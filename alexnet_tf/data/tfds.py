"""Data sets of TensorFlow Datasets (TFDS): found by name, downloaded if necessary, and read."""

import contextlib
import dataclasses
import difflib
import functools
import logging
import os
import re
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from alexnet_tf.console import ProgressReporter
from alexnet_tf.data.crop import empty_images
from alexnet_tf.data.examples import ArrayExamples, Examples
from alexnet_tf.data.images import decode_content, to_channels
from alexnet_tf.data.records import RecordExamples
from alexnet_tf.data.remote import (
    any_reachable,
    first_line,
    local_copy,
    locked,
    storage_address,
    storage_errors,
)
from alexnet_tf.data.splits import SPLIT_NAMES, DataSet, Splits
from alexnet_tf.errors import InputError
from alexnet_tf.files import expanded

IN_MEMORY_BYTES = 2**30


def open_tfds(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    channels: int = 3,
    reporter: ProgressReporter | None = None,
) -> DataSet:
    """Opens a TFDS image classification data set; downloads and prepares it if necessary.

    For arguments, see `sources.open_dataset`; "name/config" and "name:version" are TFDS names too.

    Raises:
      InputError: The data set does not exist, does not have labeled images, or is not prepared and
        cannot be downloaded.
    """
    found = find_builder(name, data_dir=data_dir, reporter=reporter)
    readers = {
        split: functools.partial(_read, found, tfds_name, channels)
        for split, tfds_name in found.splits.items()
    }
    info = found.builder.info
    class_names = tuple(info.features[found.label_key].names)
    return DataSet(name, class_names, Splits(readers), info.full_name, channels)


@dataclasses.dataclass(frozen=True)
class PreparedBuilder:
    """TFDS's builder of a prepared image classification data set."""

    builder: Any
    image_key: str  # names of features
    label_key: str
    splits: dict[str, str]  # TFDS's names of "train", "validation" and "test"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences TFDS's warnings about folders that do not exist yet and its own old names."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@_quiet()
def find_builder(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    reporter: ProgressReporter | None = None,
) -> PreparedBuilder:
    """Finds a data set and prepares it if necessary; see `open_tfds`."""
    reporter, address = reporter or ProgressReporter(), storage_address(data_dir)
    folder = address or (None if data_dir is None else str(expanded(data_dir, "--data-dir")))
    with storage_errors(address):
        builder = _find(name, folder)
        image_key, label_key = _keys(name, builder.info)
    if address is not None:
        builder = tfds.builder_from_directory(local_copy(builder, address, reporter))
    elif not builder.is_prepared():
        builder = _prepare(name, builder, folder, reporter)
    available = builder.info.splits
    splits = {
        split: next(n for n in names if n in available)
        for split, names in SPLIT_NAMES.items()
        if any(n in available for n in names)
    }
    if not splits:
        raise InputError(f"--dataset {name} has no train, validation or test split")
    info = builder.info
    if info.file_format.value != "tfrecord":
        raise InputError(
            f"{info.full_name} is prepared as {info.file_format.value}: prepare it as tfrecord"
        )
    return PreparedBuilder(builder, image_key, label_key, splits)


def is_tfds_name(name: str) -> bool:
    """Returns whether TFDS or this package has a data set of that name."""
    return name in _known_names()


def _known_names() -> list[str]:
    return ["shapes", *tfds.list_builders(with_community_datasets=False)]


def _find(name: str, folder: str | None) -> Any:
    """Returns the builder; raise InputError if the name, version or config does not exist."""
    if name == "shapes":
        from alexnet_tf.data.shapes import Shapes

        return Shapes(data_dir=folder)
    if re.search(r":(?![\d*])", name):
        raise InputError(
            f"--dataset {name}: what follows a colon is a version, as in cifar10:3.0.2"
        )
    try:
        return tfds.builder(name, data_dir=folder)
    except tfds.core.registered.DatasetNotFoundError:
        close = difflib.get_close_matches(name, _known_names(), n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise InputError(
            f"unknown data set {name!r}: neither a folder nor a TFDS name{hint}"
        ) from None
    except (ValueError, AssertionError) as error:
        # The version or config does not exist: TFDS lists those that do.
        raise InputError(f"--dataset {name}: {first_line(error)}") from None


def _keys(name: str, info: Any) -> tuple[str, str]:
    """Returns the names of the image and label features; raises InputError if there are none."""
    features = info.features if isinstance(info.features, tfds.features.FeaturesDict) else {}
    keys = info.supervised_keys
    if not (keys and len(keys) == 2 and all(isinstance(k, str) and k in features for k in keys)):
        images = [k for k, f in features.items() if isinstance(f, tfds.features.Image)]
        labels = [k for k, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
        keys = (images[0], labels[0]) if images and labels else None
    if keys:
        image, label = features[keys[0]], features[keys[1]]
        right = isinstance(image, tfds.features.Image) and image.np_dtype == np.uint8
        if right and isinstance(label, tfds.features.ClassLabel):
            return keys
    raise InputError(
        f"--dataset {name} is not an image classification data set (8-bit images with a label)"
    )


def _prepare(name: str, builder: Any, data_dir: str | None, reporter: ProgressReporter) -> Any:
    """Downloads and prepares a data set, or draws `shapes`; raises InputError if that fails.

    If another process prepares it, wait for that and return a builder of what it has prepared.
    """
    urls = builder.url_infos or {}
    # The data folder is above <name>/[<config>/]<version>.
    folder = Path(builder.data_dir).parents[builder.info.full_name.count("/")]
    here = f" (the folder here is ./{name})" if Path(name).is_dir() else ""
    where = f"--dataset {name}{here} is not prepared under {folder}"
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        manual = folder / "downloads" / "manual"
        if not manual.is_dir() or not any(manual.iterdir()):
            raise InputError(
                f"{where} and must be downloaded by hand into {manual} (see its page in the TFDS "
                "catalog); --data-dir names a folder that holds it prepared"
            )
    elif urls and not any_reachable(tuple(urls)):
        hosts = sorted({urllib.parse.urlparse(url).netloc for url in urls})
        raise InputError(
            f"{where} and cannot be downloaded ({', '.join(hosts[:3])} not reachable); "
            "--data-dir names a folder that holds it prepared"
        )
    try:
        with locked(folder / f".{name.replace('/', '-')}.lock", name, reporter):
            builder = _find(name, data_dir)
            if name == "shapes" and not builder.is_prepared():
                builder.draw(reporter)
            elif not builder.is_prepared():
                # TFDS prints progress to stdout, which is for results.
                with contextlib.redirect_stdout(sys.stderr):
                    builder.download_and_prepare()
            return builder
    except (tfds.core.download.DownloadError, OSError) as error:
        # OSErrors with a number come from the disk (full, no permission), not from the network.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{where} and its download failed: {first_line(error)}") from None


def _read(found: PreparedBuilder, split: str, channels: int) -> Examples:
    """Reads a split: into memory if its images have one size and fit, else by record."""
    builder, image_key, label_key = found.builder, found.image_key, found.label_key
    info = builder.info.splits[split]
    features = builder.info.features
    origin = f"{builder.info.full_name} {split}"
    height, width, _ = features[image_key].shape
    if height and width and info.num_examples * height * width * channels <= IN_MEMORY_BYTES:
        examples: Examples = _read_arrays(found, split, channels, origin)
    else:

        def decode_image(serialized: tf.Tensor) -> tf.Tensor:
            skip = {image_key: tfds.decode.SkipDecoding()}
            content = features.deserialize_example(serialized, decoders=skip)[image_key]
            return decode_content(content, channels)

        shards = [Path(path) for path in info.filepaths]
        examples = RecordExamples(shards, decode_image, label_key, channels=channels, origin=origin)
    if len(examples) == 0 or examples.labels.min() < 0:
        raise InputError(f"split {split} of {builder.info.full_name} has no labeled images")
    return examples


@_quiet()
def _read_arrays(found: PreparedBuilder, split: str, channels: int, origin: str) -> ArrayExamples:
    """Reads a split into memory, in the order of its shards; raises InputError if it is damaged."""
    builder, image_key, label_key = found.builder, found.image_key, found.label_key
    count = builder.info.splits[split].num_examples
    height, width, _ = builder.info.features[image_key].shape
    images = empty_images((count, height, width, channels))
    labels = np.empty(count, np.int64)
    dataset = builder.as_dataset(
        split=split,
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        decoders=tfds.decode.PartialDecoding({image_key: True, label_key: True}),
    )
    read = 0
    try:
        for batch in dataset.batch(1024):
            converted = to_channels(batch[image_key], channels).numpy()
            images[read : read + len(converted)] = converted
            labels[read : read + len(converted)] = batch[label_key].numpy()
            read += len(converted)
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError):
        remedy = f"remove {builder.data_dir} and prepare it again"
        raise InputError(f"{origin} is damaged: {remedy}") from None
    return ArrayExamples(images[:read], labels[:read], origin=origin)
