"""Compute the features of a data set once and cache them beside the model."""

import dataclasses
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.console import ProgressReporter
from alexnet_tf.data.examples import Examples, FileExamples, fingerprint_of
from alexnet_tf.data.images import center_crop
from alexnet_tf.data.pipeline import evaluation_batches
from alexnet_tf.data.remote import locked
from alexnet_tf.data.scan import cache_folder, scan_images
from alexnet_tf.data.sources import means_folder, open_dataset
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import resized_pixels
from alexnet_tf.evaluation.evaluate import PathLike, Progress
from alexnet_tf.evaluation.image_files import iterate_images
from alexnet_tf.files import expanded, is_image, is_writable
from alexnet_tf.model.inspection import feature_output
from alexnet_tf.model.persistence import load_model

_BATCH_SIZE = 128
_VERSION = "2"  # of the cached files; raised also when images are decoded to other pixels
_FEATURES, _GOOD = "features.npy", "good.npy"
_RETRY = "retry"  # present if an image could not be read for a reason that may pass


class FeatureExtractor:
    """Computes the activations of a network's last hidden layer.

    Attributes:
      model: The whole network, from `build_model` or `load_model`.
      resize_pixels: Side r of the resized images that the center crop is cut from.
      units: Features per image: 4096 for AlexNet.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.resize_pixels = resized_pixels(model)
        output = feature_output(model)
        self.units = int(output.shape[-1])
        body, pixels = keras.Model(model.input, output), int(model.input_shape[1])

        @tf.function(reduce_retracing=True)
        def extract(images: tf.Tensor) -> tf.Tensor:
            crops = tf.cast(center_crop(images, pixels), tf.float32)
            return tf.cast(body(crops, training=False), tf.float32)

        self._extract = extract

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns the features, float32 [b, units], of resized images, uint8 [b, r, r, c]."""
        return self._extract(tf.convert_to_tensor(images)).numpy()

    def of_examples(
        self, examples: Examples, on_progress: Progress | None = None
    ) -> Iterator[np.ndarray]:
        """Yields the features of all examples in order and in parts: float32 [k, units].

        There must be at least one example, and none may be damaged. `on_progress` is called with
        the images done so far and the number of images.
        """
        done = 0
        batch_size = min(_BATCH_SIZE, len(examples))
        for batch in evaluation_batches(examples, self.resize_pixels, batch_size):
            part = self._extract(batch["image"]).numpy()[: len(examples) - done]
            yield part
            done += len(part)
            if on_progress is not None:
                on_progress(done, len(examples))


@dataclasses.dataclass(frozen=True)
class FeatureIndex:
    """Images and their features.

    Attributes:
      features: float32 [n, units], memory-mapped.
      examples: The n images, without damaged ones.
      class_names: Names ordered by class index; None for a folder of images without classes.
      dataset: The data set's name, or the folder.
      split: "train", "validation" or "test"; "" for a folder without classes.
      folder: The folder of the cached features.
    """

    features: np.ndarray
    examples: Examples
    class_names: tuple[str, ...] | None
    dataset: str
    split: str
    folder: Path

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.features)


def open_index(
    model_path: PathLike,
    dataset: PathLike,
    *,
    extractor: FeatureExtractor | None = None,
    data_dir: PathLike | None = None,
    split: str | None = None,
    on_progress: Progress | None = None,
) -> FeatureIndex:
    """Opens the features of a data set; computes them if they are missing or outdated.

    They are cached in `<model>.features/` beside the model, or in the user's cache folder if the
    model's folder is read-only, under a name that includes a checksum of the model and of the data.
    Outdated ones are removed.

    Args:
      model_path: The `.keras` file.
      dataset: A name or folder as `train` takes them, or a folder of images without classes.
      extractor: The extractor of this model if it is loaded already.
      data_dir: Folder of prepared TFDS data sets; None: TFDS's default.
      split: "train", "validation" or "test"; None: the first of these that exists.
      on_progress: Called while images are read, and while features are computed.

    Returns:
      The features, float32 [images, 4096] for the paper's fc7, with the images' names and labels.

    Raises:
      InputError: The model, data set or split cannot be used; the message names it.
      OSError: The features cannot be written.
    """
    model_path = Path(model_path)
    extractor = extractor or FeatureExtractor(load_model(model_path))
    channels = int(extractor.model.input_shape[-1])
    examples, class_names, split = _open(dataset, data_dir, split, channels)
    name = os.fspath(dataset)
    checksum = fingerprint_of(np.fromfile(model_path, np.uint8))
    key = fingerprint_of(_VERSION, checksum, examples.fingerprint(), str(extractor.resize_pixels))
    prefix = _folder_prefix(name, split)
    folder = model_path.with_suffix(".features") / f"{prefix}-{key}"
    if not _is_complete(folder) and not is_writable(folder.parent):
        model_key = fingerprint_of(str(model_path.resolve()))[:8]
        folder = cache_folder() / "features" / f"{model_path.stem}-{model_key}" / folder.name
    if not _is_complete(folder):
        with locked(folder.parent / ".lock", f"the features of {name}", ProgressReporter()):
            if not _is_complete(folder):  # else another process has computed them meanwhile
                _compute(extractor, examples, split, folder, on_progress)
                for old in folder.parent.glob(f"{prefix}-*"):
                    if old != folder:
                        shutil.rmtree(old)
    try:
        good = np.load(folder / _GOOD)
        features = np.load(folder / _FEATURES, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{folder} is damaged ({error}): remove it") from None
    if len(good) < len(examples):
        examples = examples.subset(good)
    return FeatureIndex(features, examples, class_names, name, split, folder)


def _is_complete(folder: Path) -> bool:
    """Returns whether features of all images are in a folder."""
    return folder.is_dir() and not (folder / _RETRY).exists()


def _compute(
    extractor: FeatureExtractor,
    examples: Examples,
    split: str,
    folder: Path,
    on_progress: Progress | None,
) -> None:
    """Writes the features and the indices of the undamaged images; the caller holds the lock."""
    for leftover in folder.parent.glob(".*.writing"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}.writing")
    temporary.mkdir()
    try:
        scan = scan_images(examples, extractor.resize_pixels, on_progress, split=split or "indexed")
        if not scan.is_final:
            (temporary / _RETRY).touch()
        np.save(temporary / _GOOD, scan.indices)
        # Not with a memory-mapped file: on a full disk, writing to it kills the process.
        with (temporary / _FEATURES).open("wb") as file:
            shape = (len(scan.examples), extractor.units)
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for part in extractor.of_examples(scan.examples, on_progress):
                file.write(part.astype("<f4", copy=False).tobytes())
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _open(
    dataset: PathLike, data_dir: PathLike | None, split: str | None, channels: int
) -> tuple[Examples, tuple[str, ...] | None, str]:
    """Returns examples, class names and the split's name."""
    folder = expanded(dataset)
    entries = list(folder.iterdir()) if means_folder(dataset) and folder.is_dir() else []
    # An image beside the class folders does not make them a folder of images without classes.
    has_classes = split == "train" and any(path.is_dir() for path in entries)
    is_dataset = has_classes or (folder / "train").is_dir()
    if any(is_image(path.name) for path in entries) and not is_dataset:
        if split is not None:
            raise InputError(f"--split {split}: {dataset} is a folder of images without splits")
        paths = list(iterate_images([str(folder)]))
        return FileExamples(paths, np.zeros(len(paths)), channels=channels), None, ""
    opened = open_dataset(dataset, data_dir=data_dir, channels=channels)
    split = split or next(s for s in ("train", "validation", "test") if s in opened.splits)
    if split not in opened.splits:
        raise InputError(
            f"data set {opened.name} has no split {split!r}: choose one of "
            f"{', '.join(opened.splits)}"
        )
    return opened.splits[split], opened.class_names, split


def _folder_prefix(name: str, split: str) -> str:
    """Returns the prefix of a data set's feature folders, for any state of its files."""
    absolute = str(expanded(name).resolve()) if means_folder(name) else name
    word = re.sub(r"\W+", "-", Path(name).name).strip("-")
    return "-".join(part for part in (word, split, fingerprint_of(absolute)[:8]) if part)
