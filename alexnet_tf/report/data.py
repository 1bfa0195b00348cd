"""The data of a report. Each part is computed on first use, and only once."""

import dataclasses
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import keras
import numpy as np

from alexnet_tf import runs
from alexnet_tf.data.examples import Examples
from alexnet_tf.data.images import center_crop
from alexnet_tf.data.pipeline import evaluation_batches
from alexnet_tf.data.scan import scan_images
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import resized_pixels
from alexnet_tf.evaluation.error_analysis import (
    Calibration,
    ClassErrors,
    LabeledPredictions,
    calibration,
    class_errors,
)
from alexnet_tf.evaluation.evaluate import evaluate_examples
from alexnet_tf.evaluation.features import FeatureExtractor
from alexnet_tf.evaluation.metrics import Evaluation
from alexnet_tf.evaluation.similarity import nearest_rows
from alexnet_tf.evaluation.target import EvaluationTarget, open_target
from alexnet_tf.figures.text import display_names
from alexnet_tf.imagenet import readable
from alexnet_tf.model.inference import inference_kernels
from alexnet_tf.model.inspection import class_names, first_kernels
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import load_model
from alexnet_tf.report.analysis import (
    ImageActivations,
    compute_activations,
    project_features,
    random_sample,
    read_image,
    sample_classes,
)
from alexnet_tf.run_record import EpochRecord

# Returns a progress bar, as `ProgressReporter.progress` does, for a description.
ProgressFactory = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]

# Neighbors are searched among at most so many training images, of at most so many bytes.
_MAX_TRAINING_IMAGES, _MAX_TRAINING_BYTES = 5000, 2**28
_MAX_POINTS = 1500  # of the projection
_QUERIES, _NEIGHBORS = 6, 6  # figure 4 (right) has five test images with six neighbors each


@dataclasses.dataclass(frozen=True)
class Kernels:
    """The kernels of conv1.

    Attributes:
      after: float32 [h, w, c, n], of the trained model.
      before: The same before training; None if they are not known.
      groups: Groups of the convolution.
    """

    after: np.ndarray
    before: np.ndarray | None
    groups: int


@dataclasses.dataclass(frozen=True)
class Neighbors:
    """Query images and the training images whose features are nearest.

    Attributes:
      queries: uint8 [q, r, r, c].
      query_labels: int64 [q].
      images: uint8 [q, k, r, r, c].
      labels: int64 [q, k].
      distances: float64 [q, k], Euclidean.
      searched: Number of training images that were searched.
      training: Number of all training images.
    """

    queries: np.ndarray
    query_labels: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    distances: np.ndarray
    searched: int
    training: int


@dataclasses.dataclass(frozen=True)
class Projection:
    """Features of images in two dimensions.

    Attributes:
      points: float64 [n, 2].
      labels: int64 [n].
      method: "t-SNE" or "PCA".
    """

    points: np.ndarray
    labels: np.ndarray
    method: str


class ReportData:
    """The data of the report of a run.

    Args:
      run: The run's folder.
      progress: Returns a progress bar for a description, as `ProgressReporter.progress`.
      data_dir: Folder of prepared TFDS data sets; None: the run's own.
      split: As for `evaluate`.
      batch_size: Crops per step; None: up to 128.
      ten_crop: Whether ten crops are evaluated too.
      image: The file whose activations are shown; None: the first image of the split.

    Raises:
      InputError: The folder is not a run or has no model, or the image cannot be read. Properties
        raise what `evaluate` raises.
    """

    def __init__(
        self,
        run: Path,
        progress: ProgressFactory,
        *,
        data_dir: str | None = None,
        split: str | None = None,
        batch_size: int | None = None,
        ten_crop: bool = True,
        image: str | None = None,
    ) -> None:
        self.run = run
        self.record = runs.read_run(run)
        self._progress = progress
        self._data_dir = data_dir
        self._split = split
        self._batch_size = batch_size
        self._ten_crop = ten_crop
        self.seed = self.record.seed
        self.network: keras.Model = load_model(runs.model_file(run))
        self.resize_pixels = resized_pixels(self.network)
        # Read first, so that a damaged file is reported before a long evaluation.
        self._image = None if image is None else (image, read_image(image, self.network))
        self.class_names = readable(class_names(self.network) or self.record.class_names)
        self.display_names = display_names(self.class_names)

    @functools.cached_property
    def history(self) -> list[EpochRecord]:
        """The records of the epochs."""
        return runs.read_history(self.run)

    @functools.cached_property
    def target(self) -> EvaluationTarget:
        """The network and the images to evaluate."""
        with self._progress("reading the images") as on_progress:
            return open_target(
                self.run,
                data_dir=self._data_dir,
                split=self._split,
                batch_size=self._batch_size,
                on_progress=on_progress,
                loaded=self.network,
            )

    @functools.cached_property
    def _evaluated(self) -> tuple[Evaluation, LabeledPredictions]:
        """The errors and the predictions, from one pass over the images."""
        target, parts = self.target, list[LabeledPredictions]()
        with inference_kernels(), self._progress("evaluating") as on_progress:
            found = evaluate_examples(
                target.network,
                target.examples,
                batch_size=self._batch_size,
                ten_crop=self._ten_crop,
                on_progress=on_progress,
                on_predictions=parts.append,
            )
        return target.evaluation(found), LabeledPredictions.concatenate(parts)

    @property
    def is_evaluated(self) -> bool:
        """Whether the errors have been computed."""
        return "_evaluated" in vars(self)

    @property
    def evaluation(self) -> Evaluation:
        """The errors."""
        return self._evaluated[0]

    @property
    def predictions(self) -> LabeledPredictions:
        """The predictions of all images of the split."""
        return self._evaluated[1]

    @functools.cached_property
    def class_errors(self) -> ClassErrors:
        """The errors of each class."""
        return class_errors(self.predictions, len(self.class_names))

    @functools.cached_property
    def calibration(self) -> Calibration:
        """Accuracy by confidence."""
        return calibration(self.predictions)

    @functools.cached_property
    def kernels(self) -> Kernels:
        """The kernels of conv1, before and after training."""
        after, groups = first_kernels(self.network)
        before = self._kernels_before()
        if before is not None and before.shape != after.shape:
            before = None
        return Kernels(after, before, groups)

    def _kernels_before(self) -> np.ndarray | None:
        """Returns conv1's initial kernels, from the run's weights file or its initialization."""
        weights = self.record.options.weights
        if weights is not None:
            path = Path(weights)
            try:
                path = runs.model_file(path) if path.is_dir() else path
                return first_kernels(load_model(path))[0]
            except InputError:  # deleted since
                return None
        recipe = self.record.recipe
        return first_kernels(build_model(recipe, classes=len(self.class_names), seed=self.seed))[0]

    def _resized_images(self, examples: Examples) -> np.ndarray:
        """Returns examples resized for the network, not cropped: uint8 [n, r, r, c]."""
        batches = evaluation_batches(examples, self.resize_pixels, min(32, len(examples)))
        images = np.concatenate([batch["image"] for batch in batches.as_numpy_iterator()])
        return images[: len(examples)]

    def images_at(self, indices: np.ndarray) -> np.ndarray:
        """Returns images of the split by index: uint8 [n, r, r, c]; n may be 0."""
        if not len(indices):
            return np.zeros((0, 1, 1, 3), np.uint8)
        return self._resized_images(self.target.examples.subset(np.asarray(indices)))

    @functools.cached_property
    def _extractor(self) -> FeatureExtractor:
        return FeatureExtractor(self.network)

    def _features(self, examples: Examples, description: str) -> np.ndarray:
        """Returns float32 [n, units]."""
        with self._progress(description) as on_progress:
            return np.concatenate(list(self._extractor.of_examples(examples, on_progress)))

    @functools.cached_property
    def neighbors(self) -> Neighbors | None:
        """Images and their nearest training images; None without a train split."""
        training = self.target.training_examples
        if training is None:
            return None
        fit = _MAX_TRAINING_BYTES // (self.resize_pixels**2 * training.channels)
        count = min(_MAX_TRAINING_IMAGES, max(_NEIGHBORS, fit))
        sample = random_sample(training, count, self.seed)
        with self._progress("reading training images") as on_progress:
            sample = scan_images(sample, self.resize_pixels, on_progress).examples
        labels = self.target.examples.labels
        chosen = sample_classes(labels, _QUERIES)
        queries = self.target.examples.subset(chosen)
        indices, distances = nearest_rows(
            self._features(sample, "features of training images"),
            self._features(queries, "features"),
            _NEIGHBORS,
        )
        found = self._resized_images(sample.subset(indices.ravel()))
        return Neighbors(
            self._resized_images(queries),
            labels[chosen],
            found.reshape(*indices.shape, *found.shape[1:]),
            sample.labels[indices],
            distances,
            len(sample),
            len(training),
        )

    @functools.cached_property
    def projection(self) -> Projection:
        """The features of a sample of the split in two dimensions."""
        sample = random_sample(self.target.examples, _MAX_POINTS, self.seed)
        points, method = project_features(self._features(sample, "features"), self.seed)
        return Projection(points, sample.labels, method)

    @functools.cached_property
    def activations(self) -> ImageActivations:
        """The activations for one image."""
        if self._image is not None:
            name, image = self._image
        else:
            name = f"The first {self.target.split} image"
            image = self.images_at(np.array([0]))[0]
        crop = np.asarray(center_crop(image[None], int(self.network.input_shape[1])))[0]
        return compute_activations(self.network, name, crop)
