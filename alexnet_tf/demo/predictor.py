"""Compute what the page shows for an image: classes, kernels, similar images. No Gradio."""

import dataclasses
import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.images import center_crop
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import from_model
from alexnet_tf.evaluation.features import FeatureExtractor, FeatureIndex, open_index
from alexnet_tf.evaluation.predict import Damaged, TopPrediction, predict
from alexnet_tf.evaluation.similarity import Neighbor, nearest, neighbor_pixels
from alexnet_tf.evaluation.target import PathLike, Progress
from alexnet_tf.figures.kernels import kernel_grid
from alexnet_tf.model.inspection import first_kernels
from alexnet_tf.model.layers.grouped_convolution import GroupedConv2D
from alexnet_tf.model.persistence import load_model

MAX_UPLOAD_BYTES = 20 * 2**20
_KERNELS = 8
_SIMILAR = 8


@dataclasses.dataclass(frozen=True)
class ActiveKernel:
    """A kernel of conv1 and its activations for an image.

    Attributes:
      number: The kernel's number, from 1, as in the picture of all kernels.
      pixels: uint8 [h, w, 3], the kernel as an image.
      activations: float32 [rows, columns], its activations divided by their maximum.
      max_activation: Its largest activation.
    """

    number: int
    pixels: np.ndarray
    activations: np.ndarray
    max_activation: float


@dataclasses.dataclass(frozen=True)
class ImageResult:
    """Everything that the page shows for one image.

    Attributes:
      top: The most probable classes.
      kernels: The kernels of conv1 with the largest activations.
      similar: The nearest images, uint8 [r, r, c], and their names and distances, in ascending
        order of distance.
    """

    top: tuple[TopPrediction, ...]
    kernels: tuple[ActiveKernel, ...]
    similar: tuple[tuple[np.ndarray, Neighbor], ...]


class Predictor:
    """Computes predictions, strongest kernels and similar images for image files.

    Args:
      model_path: The `.keras` file.
      dataset: The data set to search for similar images, as for `open_index`; None: no search.
      data_dir: Folder of prepared TFDS data sets; None: TFDS's default.
      on_progress: Called while the data set's features are computed.

    Attributes:
      name: The model's file.
      class_names: Names by class number.
      index: The data set's features, or None.
    """

    def __init__(
        self,
        model_path: PathLike,
        dataset: PathLike | None = None,
        *,
        data_dir: PathLike | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        model = load_model(model_path)
        self.name = os.fspath(model_path)
        self._classifier = from_model(model, self.name)
        self.class_names = self._classifier.class_names
        self._features = FeatureExtractor(model)
        self._kernels, _ = first_kernels(model)
        conv1 = next(layer for layer in model.layers if isinstance(layer, GroupedConv2D))
        self._conv1 = keras.Model(model.input, conv1.output)
        self.index: FeatureIndex | None = None
        if dataset is not None:
            self.index = open_index(
                model_path,
                dataset,
                extractor=self._features,
                data_dir=data_dir,
                on_progress=on_progress,
            )

    def predict(self, path: PathLike, ten_crops: bool = False) -> ImageResult:
        """Computes the results for an image file.

        Args:
          path: A JPEG, PNG, WebP, BMP or GIF file (of animations, the first frame is used).
          ten_crops: Whether to average over ten crops (section 4.1) instead of the center crop.

        Returns:
          The results.

        Raises:
          InputError: The file is too large, damaged or not an image; the page shows the message.
        """
        named = [("the image", _content(Path(path)))]
        (found,) = predict(self._classifier, named, ten_crop=ten_crops)
        if isinstance(found, Damaged):
            raise InputError(f"This image cannot be read: {found.reason}.")
        return ImageResult(found.top, self._kernels_of(found.pixels), self._similar(found.pixels))

    def _kernels_of(self, square: np.ndarray) -> tuple[ActiveKernel, ...]:
        """Returns the kernels with the largest activations, in descending order."""
        pixels = self._classifier.preprocessing.input_pixels
        crop = tf.cast(center_crop(square[None], pixels), tf.float32)
        channels = np.maximum(self._conv1(crop, training=False).numpy()[0], 0)
        largest = channels.max(axis=(0, 1))
        return tuple(
            ActiveKernel(
                int(n) + 1,
                np.round(255 * kernel_grid(self._kernels[..., n : n + 1])[1:-1, 1:-1]).astype(
                    np.uint8
                ),
                channels[..., n] / (largest[n] or 1),
                float(largest[n]),
            )
            for n in np.argsort(-largest, kind="stable")[:_KERNELS]
        )

    def _similar(self, square: np.ndarray) -> tuple[tuple[np.ndarray, Neighbor], ...]:
        """Returns the nearest images of the data set."""
        if self.index is None:
            return ()
        (found,) = nearest(self.index, self._features(square[None]), _SIMILAR)
        side = square.shape[0]
        return tuple((neighbor_pixels(self.index, n, side), n) for n in found)


def _content(path: Path) -> bytes:
    """Returns an uploaded file's bytes, as `predict` reads them.

    Raises:
      InputError: The file is too large.
    """
    if path.stat().st_size > MAX_UPLOAD_BYTES:
        raise InputError(f"This file is too large: more than {MAX_UPLOAD_BYTES // 2**20} MB.")
    return path.read_bytes()
