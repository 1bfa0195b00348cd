"""What a report is made of: each part is computed when it is first asked for, and once."""

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
from alexnet_tf.figures.names import drawable
from alexnet_tf.imagenet import readable
from alexnet_tf.model.inspection import class_names, first_kernels
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import load_model
from alexnet_tf.report.feature_plane import plane
from alexnet_tf.report.one_image import Seen, read_square, see
from alexnet_tf.report.sampling import of_each_class, some
from alexnet_tf.run_record import EpochRecord

Counting = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]

# Among which the nearest are looked for: so many, and so many as fit.
MOST_TRAINING_IMAGES, MOST_TRAINING_BYTES = 5000, 2**28
MOST_POINTS = 1500  # of the map of features
QUERIES, NEIGHBOURS = 6, 6  # figure 4 (right) has five test images with six each


@dataclasses.dataclass(frozen=True)
class Kernels:
    """Conv1's kernels.

    Attributes:
      after: float32 [h, w, c, n], of the trained model.
      before: The same before training; None where that cannot be told any more.
      groups: Towers.
    """

    after: np.ndarray
    before: np.ndarray | None
    groups: int


@dataclasses.dataclass(frozen=True)
class Neighbors:
    """Some images and the training images nearest to them by features.

    Attributes:
      queries: uint8 [q, p, p, c].
      query_labels: int64 [q].
      images: uint8 [q, k, p, p, c].
      labels: int64 [q, k].
      distances: float64 [q, k], Euclidean.
      searched: Training images among which they were looked for.
      training: Training images in all.
    """

    queries: np.ndarray
    query_labels: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    distances: np.ndarray
    searched: int
    training: int


@dataclasses.dataclass(frozen=True)
class Plane:
    """Features of some images in two dimensions.

    Attributes:
      points: float64 [n, 2].
      labels: int64 [n].
      method: How they were made flat.
    """

    points: np.ndarray
    labels: np.ndarray
    method: str


class Material:
    """The parts of a run's report.

    Args:
      run: The run's folder.
      counting: From a name for the screen to a progress bar, as `ProgressReporter.progress`.
      data_dir: Folder of prepared TFDS data sets, or None: the run's own.
      split: As `evaluate` takes it.
      batch_size: Crops in a step, or None: up to 128.
      ten_crop: Whether ten crops are judged too.
      image: The file whose activations are shown, or None: the split's first image.

    Raises:
      InputError: The folder is no run's, or has no model; or the image cannot be read. What is
        asked for later raises what `evaluate` raises.
    """

    def __init__(
        self,
        run: Path,
        counting: Counting,
        *,
        data_dir: str | None = None,
        split: str | None = None,
        batch_size: int | None = None,
        ten_crop: bool = True,
        image: str | None = None,
    ) -> None:
        self.run = run
        self.record = runs.read_run(run)
        self.model_path = runs.model_file(run)
        self._counting = counting
        self._data_dir = data_dir
        self._split = split
        self._batch_size = batch_size
        self._ten_crop = ten_crop
        self.seed = self.record.seed
        self.network: keras.Model = load_model(self.model_path)
        self.resize_pixels = resized_pixels(self.network)
        # Read now: what is wrong with it is told before hours of work.
        self._image = None if image is None else (image, read_square(image, self.network))
        named = class_names(self.network) or self.record.class_names
        self.class_names = readable(named)
        self.drawable_names = drawable(self.class_names)

    @functools.cached_property
    def history(self) -> list[EpochRecord]:
        """The run's records, one an epoch."""
        return runs.read_history(self.run)

    @functools.cached_property
    def target(self) -> EvaluationTarget:
        """What is judged."""
        with self._counting("reading the images") as on_progress:
            return open_target(
                self.run,
                data_dir=self._data_dir,
                split=self._split,
                batch_size=self._batch_size,
                on_progress=on_progress,
                loaded=self.network,
            )

    @functools.cached_property
    def judged(self) -> tuple[Evaluation, LabeledPredictions]:
        """The errors, and what each image was answered, from one pass."""
        target, parts = self.target, list[LabeledPredictions]()
        with self._counting("judging") as on_progress:
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
    def evaluation(self) -> Evaluation:
        """The errors."""
        return self.judged[0]

    @property
    def answers(self) -> LabeledPredictions:
        """What each image was answered."""
        return self.judged[1]

    @functools.cached_property
    def class_errors(self) -> ClassErrors:
        """Each class's errors."""
        return class_errors(self.answers, len(self.class_names))

    @functools.cached_property
    def calibration(self) -> Calibration:
        """How far the confidences can be trusted."""
        return calibration(self.answers)

    @functools.cached_property
    def kernels(self) -> Kernels:
        """Conv1's kernels, before and after training."""
        after, groups = first_kernels(self.network)
        before = self._kernels_before()
        if before is not None and before.shape != after.shape:
            before = None
        return Kernels(after, before, groups)

    def _kernels_before(self) -> np.ndarray | None:
        """Returns what conv1 started from: the run's initialization again, or its weights' file."""
        weights = self.record.options.weights
        if weights is not None:
            path = Path(weights)
            try:
                path = runs.model_file(path) if path.is_dir() else path
                return first_kernels(load_model(path))[0]
            except InputError:  # not there any more
                return None
        recipe = self.record.recipe
        return first_kernels(build_model(recipe, classes=len(self.class_names), seed=self.seed))[0]

    def squares(self, examples: Examples) -> np.ndarray:
        """Returns examples as the network's crops are cut from: uint8 [n, p, p, c]."""
        batches = evaluation_batches(examples, self.resize_pixels, min(32, len(examples)))
        images = np.concatenate([batch["image"] for batch in batches.as_numpy_iterator()])
        return images[: len(examples)]

    def pixels_of(self, numbers: np.ndarray) -> np.ndarray:
        """Returns images of the split by number: uint8 [n, p, p, c]; n may be 0."""
        if not len(numbers):
            return np.zeros((0, 1, 1, 3), np.uint8)
        return self.squares(self.target.examples.subset(np.asarray(numbers)))

    @functools.cached_property
    def _extractor(self) -> FeatureExtractor:
        return FeatureExtractor(self.network)

    def _features(self, examples: Examples, what: str) -> np.ndarray:
        """Returns float32 [n, units]."""
        with self._counting(what) as on_progress:
            return np.concatenate(list(self._extractor.of_examples(examples, on_progress)))

    @functools.cached_property
    def neighbors(self) -> Neighbors | None:
        """Some images with the nearest training images; None where there is no train split."""
        training = self.target.training_examples
        if training is None:
            return None
        fit = MOST_TRAINING_BYTES // (self.resize_pixels**2 * training.channels)
        sample = some(training, min(MOST_TRAINING_IMAGES, max(NEIGHBOURS, fit)), self.seed)
        with self._counting("reading training images") as on_progress:
            sample = scan_images(sample, self.resize_pixels, on_progress).examples
        labels = self.target.examples.labels
        asked = of_each_class(labels, QUERIES)
        queries = self.target.examples.subset(asked)
        numbers, distances = nearest_rows(
            self._features(sample, "features of training images"),
            self._features(queries, "features"),
            NEIGHBOURS,
        )
        found = self.squares(sample.subset(numbers.ravel()))
        return Neighbors(
            self.squares(queries),
            labels[asked],
            found.reshape(*numbers.shape, *found.shape[1:]),
            sample.labels[numbers],
            distances,
            len(sample),
            len(training),
        )

    @functools.cached_property
    def plane(self) -> Plane:
        """The features of some images of the split in two dimensions."""
        sample = some(self.target.examples, MOST_POINTS, self.seed)
        points, method = plane(self._features(sample, "features"), self.seed)
        return Plane(points, sample.labels, method)

    @functools.cached_property
    def seen(self) -> Seen:
        """What the layers make of one image."""
        if self._image is not None:
            name, square = self._image
        else:
            name = f"The first {self.target.split} image"
            square = self.pixels_of(np.array([0]))[0]
        pixels = int(self.network.input_shape[1])
        return see(self.network, name, np.asarray(center_crop(square[None], pixels))[0])
