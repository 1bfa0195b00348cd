"""Verify exported files against the Keras model: same predictions, size, latency."""

import contextlib
import dataclasses
import os
import statistics
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from alexnet_tf.data.classes import match_classes
from alexnet_tf.data.images import center_crop, resize_and_crop
from alexnet_tf.data.sources import RESTORE_DATA, open_dataset, recorded_data
from alexnet_tf.data.splits import default_split, evaluation_split
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import Classifier
from alexnet_tf.export.tflite import NO_TRAINING_IMAGES
from alexnet_tf.runs import ModelSource

_BATCH_SIZE = 50
_TIMED_IMAGES = 30
_SYNTHETIC_DATASET = "shapes"


@dataclasses.dataclass(frozen=True)
class VerificationImages:
    """Images to compare predictions on.

    Attributes:
      origin: Their data set and split, for the table's title.
      resized: uint8 [m, r, r, c].
      crops: float32 [m, n, n, c], the center crops of `resized`.
      labels: int64 [m], or None if the data set's classes differ from the network's.
      training_crops: float32 [k, n, n, c], training images to calibrate int8 with; k may be 0.
    """

    origin: str
    resized: np.ndarray
    crops: np.ndarray
    labels: np.ndarray | None
    training_crops: np.ndarray


@dataclasses.dataclass(frozen=True)
class Verification:
    """How one exported file compares with the Keras model.

    Attributes:
      form: Format and precision: "SavedModel", "TFLite int8".
      path: The file, or the SavedModel's folder.
      size_bytes: Size of the file, or of all files in the folder.
      images: Number of images compared.
      largest_difference: Largest absolute difference of a probability, over images and classes.
      agreements: Number of images with the same most probable class.
      top1_errors: Number of images whose most probable class is not the label; None without labels.
      milliseconds: Median latency of a batch of one image, without reading and resizing.
    """

    form: str
    path: str
    size_bytes: int
    images: int
    largest_difference: float
    agreements: int
    top1_errors: int | None
    milliseconds: float


class Verifier:
    """Compares classifiers with a reference, the Keras model, on the same images."""

    def __init__(self, reference: Classifier, images: VerificationImages) -> None:
        self._images = images
        self._expected = _all_probabilities(reference, images.crops)

    def compare(self, form: str, classifier: Classifier, path: Path) -> Verification:
        """Returns how a classifier compares with the reference."""
        probabilities = _all_probabilities(classifier, self._images.crops)
        top, labels = probabilities.argmax(axis=1), self._images.labels
        files = [Path(classifier.name), *Path(classifier.name).rglob("*")]
        return Verification(
            form,
            os.fspath(path),
            sum(file.stat().st_size for file in files if file.is_file()),
            len(probabilities),
            float(np.abs(probabilities - self._expected).max()),
            int(np.sum(top == self._expected.argmax(axis=1))),
            None if labels is None else int(np.sum(top != labels)),
            _median_milliseconds(classifier, self._images.crops),
        )


def load_images(
    source: ModelSource,
    reference: Classifier,
    dataset: str | os.PathLike[str] | None,
    data_dir: str | os.PathLike[str] | None,
    count: int,
    training_count: int,
) -> VerificationImages:
    """Loads images of the requested data set, of the run's own, or synthetic images.

    Args:
      source: The exported model, with the run that it comes from.
      reference: The Keras model.
      dataset: Requested data set, or None.
      data_dir: Folder of prepared TFDS data sets; None: the run's, or TFDS's default.
      count: Most images of the run's validation split, or of the default split.
      training_count: Most training images to calibrate int8 with.

    Raises:
      InputError: The data set cannot be opened, no image can be read, or training images are
        required of synthetic ones, which would calibrate int8 to wrong ranges.
    """
    is_synthetic = dataset is None and source.record is None
    if is_synthetic and training_count:
        raise InputError(NO_TRAINING_IMAGES)
    preprocessing = reference.preprocessing
    recorded_in = source.run if dataset is None else None
    with recorded_data(recorded_in, f"{RESTORE_DATA}; --dataset takes another"):
        opened = open_dataset(
            dataset or source.dataset or _SYNTHETIC_DATASET,
            data_dir=data_dir or source.data_dir,
            channels=preprocessing.channels,
        )
    record = source.record if dataset is None else None
    hold_out, seed = (0.0, 0) if record is None else (record.recipe.hold_out, record.seed)
    split = (None if record is None else source.split) or default_split(opened)

    def load(split: str, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns resized images, crops and labels of evenly spaced examples that are readable."""
        examples = evaluation_split(opened, split, hold_out, seed)
        images, labels = [], []
        for index in np.unique(np.linspace(0, len(examples) - 1, count).astype(np.int64)):
            with contextlib.suppress(tf.errors.OpError):
                image = examples.load(tf.constant(index))
                images.append(resize_and_crop(image, preprocessing.resize_pixels).numpy())
                labels.append(examples.labels[index])
        if not images:
            raise InputError(f"{opened.name}: no image can be read")
        resized = np.stack(images)
        crops = center_crop(resized, preprocessing.input_pixels).astype(np.float32)
        return resized, crops, np.asarray(labels)

    resized, crops, labels = load(split, count)
    match = match_classes(reference.class_names, opened.class_names)
    return VerificationImages(
        "synthetic images" if is_synthetic else f"{opened.name}, {split} images",
        resized,
        crops,
        None if match is None else match[labels],
        load("train", training_count)[1] if training_count else crops[:0],
    )


def _all_probabilities(classifier: Classifier, crops: np.ndarray) -> np.ndarray:
    """Returns the probabilities of all crops, computed in batches."""
    parts = [crops[start : start + _BATCH_SIZE] for start in range(0, len(crops), _BATCH_SIZE)]
    # TFLite and ONNX do not round to TF32, as TensorFlow does on GPUs: the difference would exceed
    # that of the conversion.
    config = tf.config.experimental
    was_enabled = config.tensor_float_32_execution_enabled()
    config.enable_tensor_float_32_execution(False)
    try:
        return np.concatenate([classifier.probabilities(part) for part in parts])
    finally:
        config.enable_tensor_float_32_execution(was_enabled)


def _median_milliseconds(classifier: Classifier, crops: np.ndarray) -> float:
    """Returns the median latency of one image, after a first call that allocates memory."""
    classifier.probabilities(crops[:1])
    seconds = []
    for index in range(_TIMED_IMAGES):
        image = crops[index % len(crops)][np.newaxis]
        started = time.perf_counter()
        classifier.probabilities(image)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)
