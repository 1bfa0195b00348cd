"""Images per second in training and inference, by batch size, and the share of the ceiling."""

import dataclasses
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.bench.ceiling import finish
from alexnet_tf.model.inference import inference_function
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.summary import layer_table
from alexnet_tf.settings import Recipe
from alexnet_tf.training.optimizers import PaperMomentum
from alexnet_tf.training.step import LossScale, TrainingStep


@dataclasses.dataclass(frozen=True)
class Speed:
    """One measurement.

    Attributes:
      batch_size: Images in a step.
      precision: "float32", "bfloat16" or "float16".
      images_per_second: The median of the rounds.
      share_of_peak: Of the machine's ceiling in that precision, 0..1.
    """

    batch_size: int
    precision: str
    images_per_second: float
    share_of_peak: float


def flops_per_image(model: keras.Model, training: bool) -> int:
    """Returns the work of convolutions and dense layers on one image, a multiply-add being two.

    Training takes three times that of inference: forward, the gradient of the weights, and the
    gradient of the input, which the first layer does not need.
    """
    layers = [layer.multiply_adds for layer in layer_table(model).layers if layer.multiply_adds]
    forward = sum(layers)
    return 2 * (3 * forward - layers[0] if training else forward)


def measure_training(
    recipe: Recipe, precision: str, batch_size: int, rounds: int, peak: float
) -> Speed:
    """Measures whole updates: forward, backward, momentum; the data is at hand.

    Args:
      recipe: Its network, with 1000 classes, and its rule of update.
      precision: "float32", "bfloat16" or "float16".
      batch_size: Images in an update.
      rounds: Updates timed; the median counts.
      peak: The ceiling in FLOP/s.
    """
    model = _model(recipe, precision)
    optimizer = PaperMomentum(recipe.learning_rate, recipe.momentum, recipe.weight_decay)
    optimizer.build(model.trainable_variables)
    scale = LossScale() if precision == "float16" else None
    step = TrainingStep(model, optimizer, tf.distribute.get_strategy(), seed=0, loss_scale=scale)
    images = _images(model, batch_size)
    batch = {
        "image": images,
        "label": np.arange(batch_size, dtype=np.int64) % model.output_shape[-1],
        "weight": np.ones(batch_size, np.float32),
        "offset": np.zeros((batch_size, 3), np.float32),
    }
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    seconds = _median(lambda: step(batches, 1), rounds)
    return _speed(batch_size, precision, seconds, flops_per_image(model, training=True), peak)


def measure_inference(
    recipe: Recipe, precision: str, batch_size: int, rounds: int, peak: float
) -> Speed:
    """Measures the compiled model on uint8 images that are at hand; arguments as for training."""
    model = _model(recipe, "float32")
    infer = inference_function(model, precision)
    images = tf.constant(_images(model, batch_size))
    seconds = _median(lambda: finish(infer(images)), rounds)
    return _speed(batch_size, precision, seconds, flops_per_image(model, training=False), peak)


def _model(recipe: Recipe, precision: str) -> keras.Model:
    """Builds the recipe's network with 1000 classes."""
    dtype = precision if precision == "float32" else f"mixed_{precision}"
    return build_model(recipe, classes=1000, dtype=dtype)


def _images(model: keras.Model, batch_size: int) -> np.ndarray:
    """Returns uint8 noise of the model's input shape."""
    shape = (batch_size, *model.input_shape[1:])
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _median(run: Callable[[], object], rounds: int) -> float:
    """Returns the median seconds of some rounds, after two that do not count."""
    run()
    run()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def _speed(batch_size: int, precision: str, seconds: float, flops: int, peak: float) -> Speed:
    """Returns a measurement from the seconds of one batch."""
    rate = batch_size / seconds
    return Speed(batch_size, precision, rate, rate * flops / peak)
