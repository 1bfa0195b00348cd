"""Images to check exports on, and to calibrate them with."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from alexnet_tf.data.examples import Examples
from alexnet_tf.data.images import center_crop, resize_and_crop
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.splits import default_split, evaluation_split
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.preprocessing import Preprocessing
from alexnet_tf.runs import ModelSource

_DRAWN = "shapes"


@dataclasses.dataclass(frozen=True)
class CheckImages:
    """Validation images, ready for the network.

    Attributes:
      origin: What they are, for the table's title.
      squares: uint8 [m, r, r, c], resized.
      crops: float32 [m, n, n, c], their centers.
      labels: int64 [m], or None where the data set's classes are not the network's.
    """

    origin: str
    squares: np.ndarray
    crops: np.ndarray
    labels: np.ndarray | None


class ImageSource:
    """The data set that a model is checked on: the one asked for, the run's own, or drawn pictures.

    Args:
      model: The exported model, with the run it comes from.
      dataset: What was asked for, or None.
      data_dir: Folder of prepared TFDS data sets, or None.
      preprocessing: The network's.

    Raises:
      InputError: The data set cannot be opened.
    """

    def __init__(
        self,
        model: ModelSource,
        dataset: str | os.PathLike[str] | None,
        data_dir: str | os.PathLike[str] | None,
        preprocessing: Preprocessing,
    ) -> None:
        self._preprocessing = preprocessing
        self._model = model if dataset is None and model.record is not None else None
        self.is_drawn = dataset is None and self._model is None
        self._dataset = open_dataset(
            dataset or model.dataset or _DRAWN,
            data_dir=data_dir or model.data_dir,
            channels=preprocessing.channels,
        )

    def validation(self, count: int, class_names: tuple[str, ...]) -> CheckImages:
        """Returns up to `count` images of the split that the run was watched on, or the like."""
        split = self._watched_split()
        squares, labels = self._load(self._examples(split), count)
        known = tuple(self._dataset.class_names) == class_names
        origin = "drawn pictures" if self.is_drawn else f"{self._dataset.name}, {split} images"
        return CheckImages(origin, squares, self._crops(squares), labels if known else None)

    def training_crops(self, count: int) -> np.ndarray:
        """Returns up to `count` crops of training images: float32 [m, n, n, c].

        Raises:
          InputError: There is no data set but the drawn pictures, which show no real ranges.
        """
        if self.is_drawn:
            raise InputError("--quantize int8 needs training images: name a --dataset")
        return self._crops(self._load(self._examples("train"), count)[0])

    def _crops(self, squares: np.ndarray) -> np.ndarray:
        return center_crop(squares, self._preprocessing.input_pixels).astype(np.float32)

    def _watched_split(self) -> str:
        """Returns validation (what was held out goes by that name), test or train."""
        own = None if self._model is None else self._model.split
        return own or default_split(self._dataset)

    def _examples(self, split: str) -> Examples:
        record = None if self._model is None else self._model.record
        hold_out, seed = (0.0, 0) if record is None else (record.recipe.hold_out, record.seed)
        return evaluation_split(self._dataset, split, hold_out, seed)

    def _load(self, examples: Examples, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns (squares, labels) of examples spread evenly over all; damaged ones are left out.

        Raises:
          InputError: None can be read.
        """
        chosen = np.unique(np.linspace(0, len(examples) - 1, count).astype(np.int64))
        squares, labels = [], []
        for index in chosen:
            try:
                image = examples.load(tf.constant(index))
            except tf.errors.OpError:
                continue
            squares.append(resize_and_crop(image, self._preprocessing.resize_pixels).numpy())
            labels.append(examples.labels[index])
        if not squares:
            raise InputError(f"none of {self._dataset.name}'s images can be read")
        return np.stack(squares), np.asarray(labels)
