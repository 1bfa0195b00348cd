"""Evaluate a model on a split of a data set: center crop and ten-crop averaging (section 4.1)."""

import functools
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.examples import Examples
from alexnet_tf.data.pipeline import evaluation_batches
from alexnet_tf.evaluation.classifiers import (
    Classifier,
    Network,
    crop_probabilities,
    preprocessing_of,
    resized_pixels,
)
from alexnet_tf.evaluation.error_analysis import (
    LabeledPredictions,
    labeled_predictions,
    without_padding,
)
from alexnet_tf.evaluation.metrics import CropErrors, Evaluation, batch_totals
from alexnet_tf.evaluation.prediction_files import CsvTarget, record_predictions
from alexnet_tf.evaluation.target import PathLike, Progress, open_target
from alexnet_tf.model.inference import inference_kernels
from alexnet_tf.paper import TEN_CROPS

_BATCH_SIZE = 128

Crop = Literal["center_crop", "ten_crop"]


def evaluate(
    run: PathLike | None = None,
    *,
    model: keras.Model | PathLike | None = None,
    dataset: PathLike | None = None,
    data_dir: PathLike | None = None,
    split: str | None = None,
    batch_size: int | None = None,
    ten_crop: bool = False,
    per_class: bool = False,
    csv: CsvTarget | None = None,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Evaluates a run's model, or any model of this package, on a split of a data set.

    Args:
      run: A run folder; None without `model`: the newest run under saved_models/.
      model: Instead of a run: a Keras model, a .keras file, or what `export` writes (a SavedModel's
        folder, a .tflite or .onnx file).
      dataset: A name or folder as `train` takes them; None: the run's own.
      data_dir: Folder of prepared TFDS data sets; None: the run's, or TFDS's default.
      split: "train", "validation" (also a held-out part of train) or "test"; None: the split that
        the run was validated on; for another data set validation, else test, else train.
      batch_size: Crops per step; None: up to 128.
      ten_crop: Whether to evaluate ten-crop averaging too.
      per_class: Whether to report precision, recall, F1, confusions and calibration too: of the
        ten-crop average with `ten_crop`, else of the center crop.
      csv: File or stream for one row per image, with the predictions that `per_class` is about; see
        `prediction_files.open_csv`.
      on_progress: Called with the images done so far and the number of images, in two passes over
        image files: the first one finds damaged ones.

    Returns:
      The errors.

    Raises:
      InputError: The run has no model, the data set has other classes than the model, more than 1%
        of the images are damaged, or the batch size is not within 1 and the size of the split.
    """
    with record_predictions(csv, per_class) as recorder:
        target = open_target(
            run,
            model=model,
            dataset=dataset,
            data_dir=data_dir,
            split=split,
            batch_size=batch_size,
            on_progress=on_progress,
        )
        recorder.start(target.image_name, target.class_names)
        with inference_kernels():
            errors = evaluate_examples(
                target.network,
                target.examples,
                batch_size=batch_size,
                ten_crop=ten_crop,
                on_progress=on_progress,
                on_predictions=recorder.add,
                predictions_of="ten_crop" if ten_crop else "center_crop",
            )
        return target.evaluation(errors, recorder.report())


def evaluate_examples(
    model: Network,
    examples: Examples,
    resize_pixels: int | None = None,
    batch_size: int | None = None,
    *,
    ten_crop: bool = False,
    on_progress: Progress | None = None,
    on_predictions: Callable[[LabeledPredictions], None] | None = None,
    predictions_of: Crop = "center_crop",
) -> CropErrors:
    """Evaluates a model on examples.

    Args:
      model: From float32 [b, p, p, c], RGB or gray, 0..255, to probabilities [b, classes].
      examples: At least one example.
      resize_pixels: Side of the resized images that crops are cut from, at least p; None: the
        model's own.
      batch_size: Crops per step, at most the number of examples; None: 128. With ten crops a step
        has a tenth of the images.
      ten_crop: Whether to evaluate ten-crop averaging too.
      on_progress: Called after each step with the images done so far and the number of images.
      on_predictions: Called after each step with the predictions of its images.
      predictions_of: The kind of crop of these predictions; "ten_crop" needs `ten_crop`.

    Returns:
      The errors. The loss is the mean of -log p(label) in nats, of the averaged p for ten crops.
    """
    images = images_per_step(len(examples), batch_size, ten_crop)
    step, totals = _evaluation_step(model, ten_crop), np.zeros((2 if ten_crop else 1, 4))
    for batch in evaluation_batches(examples, resize_pixels or resized_pixels(model), images):
        batch_sums, predictions = step(batch["image"], batch["label"], batch["weight"])
        totals += batch_sums.numpy()
        if on_progress is not None:
            on_progress(int(totals[0, 2]), len(examples))
        if on_predictions is not None:
            fields = predictions[0 if predictions_of == "center_crop" else 1]
            on_predictions(without_padding(fields, batch["weight"]))
    return CropErrors.from_totals(totals)


def images_per_step(examples: int, batch_size: int | None, ten_crop: bool) -> int:
    """Returns the number of images whose crops make a batch, at least one."""
    crops = min(batch_size or _BATCH_SIZE, examples)
    return max(1, crops // TEN_CROPS) if ten_crop else crops


# Training evaluates the same model after every epoch: its graph is traced once.
@functools.lru_cache(maxsize=1)
def _evaluation_step(model: Network, ten_crop: bool) -> Callable[..., Any]:
    """Returns a function from a batch to its totals and its predictions, each by kind of crop."""
    probabilities = probabilities_function(model, ten_crop)

    @compile_for(model)
    def step(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> Any:
        by_crop = probabilities(images)
        totals = tf.stack([batch_totals(each, labels, weights) for each in by_crop])
        return totals, [labeled_predictions(each, labels) for each in by_crop]

    return step


def probabilities_function(model: Network, ten_crop: bool) -> Callable[[tf.Tensor], Any]:
    """Returns `crop_probabilities` of a model as a function of images, not compiled."""
    pixels = preprocessing_of(model).input_pixels

    def network(crops: tf.Tensor) -> tf.Tensor:
        if isinstance(model, Classifier):
            return tf.constant(model.probabilities(crops.numpy()))
        return model(crops, training=False)

    return lambda images: crop_probabilities(network, images, pixels, ten_crop=ten_crop)


def compile_for(model: Network) -> Callable[[Any], Any]:
    """Returns the decorator `tf.function`; for a `Classifier`, which computes in NumPy, none."""
    is_eager = isinstance(model, Classifier)
    return (lambda function: function) if is_eager else tf.function(reduce_retracing=True)
