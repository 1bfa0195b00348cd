"""Data sets of TensorFlow Datasets (TFDS): found by name, prepared when they can be, and read."""

import contextlib
import dataclasses
import difflib
import functools
import logging
import os
import queue
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from alexnet_tf.data.dataset import SPLIT_NAMES, DataSet, Splits
from alexnet_tf.data.examples import ArrayExamples, Examples
from alexnet_tf.data.images import decode_content, to_channels
from alexnet_tf.data.records import RecordExamples
from alexnet_tf.errors import InputError
from alexnet_tf.files import check_local_path, expanded

IN_MEMORY_BYTES = 2**30
_PROBE_SECONDS = 4.0
_MAX_PROBES = 8


def open_tfds(
    name: str, *, data_dir: str | os.PathLike[str] | None = None, channels: int = 3
) -> DataSet:
    """Opens a TFDS image classification set: prepared ones as they are, others are prepared.

    Args:
      name: "cifar10", "name/config", "name:version"; "shapes" is this package's own.
      data_dir: TFDS's data folder; None is TFDS's default (~/tensorflow_datasets).
      channels: 3 or 1: what images are converted to.

    Returns:
      The data set.

    Raises:
      InputError: There is no such set, it is not one of labeled images, or it is neither prepared
        nor to be downloaded.
    """
    found = find_builder(name, data_dir=data_dir)
    readers = {
        split: functools.partial(
            _read, found.builder, tfds_name, found.image_key, found.label_key, channels
        )
        for split, tfds_name in found.splits.items()
    }
    info = found.builder.info
    class_names = tuple(info.features[found.label_key].names)
    return DataSet(name, class_names, Splits(readers), info.full_name, channels)


@dataclasses.dataclass(frozen=True)
class Found:
    """A TFDS image classification set that is prepared.

    Attributes:
      builder: TFDS's.
      image_key: Name of the image feature.
      label_key: Name of the label feature.
      splits: TFDS's names by ours ("train", "validation", "test").
    """

    builder: Any
    image_key: str
    label_key: str
    splits: dict[str, str]


def find_builder(name: str, *, data_dir: str | os.PathLike[str] | None = None) -> Found:
    """Finds a set and prepares it if it is not; see `open_tfds`."""
    with _quiet():
        builder = _find(name, data_dir)
        image_key, label_key = _keys(name, builder.info)
        prepared = builder.is_prepared()
    if not prepared:
        _prepare(name, builder)
    there = builder.info.splits
    splits = {
        split: next(n for n in names if n in there)
        for split, names in SPLIT_NAMES.items()
        if any(n in there for n in names)
    }
    if not splits:
        raise InputError(f"--dataset {name} has no train, validation or test split")
    return Found(builder, image_key, label_key, splits)


def is_tfds_name(name: str) -> bool:
    """Returns whether TFDS, or this package, has a set of that name (without config or version)."""
    return name in _known_names()


def _known_names() -> list[str]:
    """Returns the names of all sets that can be asked for."""
    return ["shapes", *tfds.list_builders(with_community_datasets=False)]


def _find(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    """Returns the set's builder.

    Raises:
      InputError: There is none of that name, version or config.
    """
    if data_dir is None:
        check_local_path(os.environ.get("TFDS_DATA_DIR", ""), "TFDS_DATA_DIR")
    folder = None if data_dir is None else str(expanded(data_dir, "--data-dir"))
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
        # A version or config that does not exist: TFDS says which there are.
        raise InputError(f"--dataset {name}: {_first_line(error)}") from None


def _keys(name: str, info: Any) -> tuple[str, str]:
    """Returns the names of the image and label features.

    Raises:
      InputError: There are none.
    """
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
    raise InputError(f"--dataset {name} is no image classification set (8-bit images with a label)")


def _prepare(name: str, builder: Any) -> None:
    """Downloads and prepares a set, or draws `shapes`; progress goes to stderr.

    Raises:
      InputError: It cannot be downloaded.
    """
    urls = builder.url_infos or {}
    # The data folder is above <name>/[<config>/]<version>.
    folder = Path(builder.data_dir).parents[builder.info.full_name.count("/")]
    where = f"--dataset {name} is not prepared under {folder}"
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        manual = folder / "downloads" / "manual"
        if not manual.is_dir() or not any(manual.iterdir()):
            raise InputError(
                f"{where} and must be downloaded by hand into {manual} (see its page in the TFDS "
                "catalog); --data-dir names a folder that holds it prepared"
            )
    elif urls and not _any_reachable(tuple(urls)):
        hosts = sorted({urllib.parse.urlparse(url).netloc for url in urls})
        raise InputError(
            f"{where} and cannot be downloaded ({', '.join(hosts[:3])} not reachable); "
            "--data-dir names a folder that holds it prepared"
        )
    try:
        # TFDS announces on stdout, which is for results.
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare()
    except (tfds.core.download.DownloadError, OSError) as error:
        # OSErrors with a number are the disk's (full, no permission), not the network's.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{where} and its download failed: {_first_line(error)}") from None


def _any_reachable(urls: tuple[str, ...], seconds: float = _PROBE_SECONDS) -> bool:
    """Returns whether a host of `urls` answers in time; TFDS itself would try for minutes.

    One request per host, all at once, in threads that nothing waits for: a name server that does
    not answer has no time limit of its own.
    """
    hosts = {urllib.parse.urlparse(url).netloc: url for url in urls}
    deadline = time.monotonic() + seconds + 0.5
    answers: queue.Queue[bool] = queue.Queue()

    def probe(url: str) -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=seconds).close()
        except urllib.error.HTTPError:
            answers.put(True)  # an answer all the same: some hosts refuse HEAD
        except (OSError, ValueError):
            answers.put(False)
        else:
            answers.put(True)

    probed = list(hosts.values())[:_MAX_PROBES]
    for url in probed:
        threading.Thread(target=probe, args=(url,), daemon=True).start()
    try:
        return any(answers.get(timeout=max(deadline - time.monotonic(), 0)) for _ in probed)
    except queue.Empty:
        return False


def _read(builder: Any, split: str, image_key: str, label_key: str, channels: int) -> Examples:
    """Reads a split: into memory if its images have one size and fit, else by record.

    Raises:
      InputError: Its shards are not TFRecords; labels are missing.
    """
    info = builder.info.splits[split]
    features = builder.info.features
    origin = f"{builder.info.full_name} {split}"
    if builder.info.file_format.value != "tfrecord":
        raise InputError(
            f"{origin} is prepared as {builder.info.file_format.value}: prepare it as tfrecord"
        )
    height, width, _ = features[image_key].shape
    if height and width and info.num_examples * height * width * channels <= IN_MEMORY_BYTES:
        examples: Examples = _read_arrays(builder, split, image_key, label_key, channels, origin)
    else:

        def decode_image(serialized: tf.Tensor) -> tf.Tensor:
            skip = {image_key: tfds.decode.SkipDecoding()}
            content = features.deserialize_example(serialized, decoders=skip)[image_key]
            return decode_content(content, channels)

        shards = [Path(path) for path in info.filepaths]
        examples = RecordExamples.scan(
            shards, decode_image, label_key, channels=channels, origin=origin
        )
    if len(examples) == 0 or examples.labels.min() < 0:
        raise InputError(f"split {split} of {builder.info.full_name} has no labeled images")
    return examples


def _read_arrays(
    builder: Any, split: str, image_key: str, label_key: str, channels: int, origin: str
) -> ArrayExamples:
    """Reads a split into memory, in the order of its shards; refuses a damaged one."""
    count = builder.info.splits[split].num_examples
    height, width, _ = builder.info.features[image_key].shape
    images = np.empty((count, height, width, channels), np.uint8)
    labels = np.empty(count, np.int64)
    with _quiet():
        dataset = builder.as_dataset(
            split=split,
            shuffle_files=False,
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
            decoders=tfds.decode.PartialDecoding({image_key: True, label_key: True}),
        )
    at = 0
    try:
        for batch in dataset.batch(1024):
            converted = to_channels(batch[image_key], channels).numpy()
            images[at : at + len(converted)] = converted
            labels[at : at + len(converted)] = batch[label_key].numpy()
            at += len(converted)
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError):
        again = f"remove {builder.data_dir} and prepare it again"
        raise InputError(f"{origin} is damaged: {again}") from None
    return ArrayExamples(images[:at], labels[:at], origin=origin)


def _first_line(error: BaseException) -> str:
    """Returns the first line of TFDS's message, without the call that it repeats."""
    message = re.sub(r'^Failed to construct dataset .*?\}": ', "", str(error))
    message = message.split(" Here are")[0]  # a list that goes on over lines
    return next((line.strip() for line in message.splitlines() if line.strip()), repr(error))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TFDS from warning about folders not there yet, and about its own old names."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
