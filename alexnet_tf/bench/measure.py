"""What `bench` measures: the machine's ceiling, training, inference and single layers.

A precision is "float32", "bfloat16" or "float16". Networks have 1000 classes; images are in memory.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.bench.timing import Work, wait_for
from alexnet_tf.model.inference import inference_function
from alexnet_tf.model.inspection import layer_table
from alexnet_tf.model.layers.compiled import native_kernels
from alexnet_tf.model.networks import build_model
from alexnet_tf.settings import Recipe
from alexnet_tf.training.loss_scale import LossScale
from alexnet_tf.training.optimizers import PaperMomentum
from alexnet_tf.training.step import TrainingStep

_MATRIX_SIZE = 2048
# Batch, height, width, input channels, filters, kernel size: conv2 without groups.
_CONVOLUTION = (64, 27, 27, 96, 256, 5)


@dataclasses.dataclass(frozen=True)
class Ceiling:
    """The highest rates seen in one precision during the whole run, in FLOP/s.

    Attributes:
      precision: Of the arithmetic.
      matrix_product: Rate of a product of two 2048 x 2048 matrices.
      convolution: Rate of a 5x5 convolution with the shape of conv2 without groups.
      rate: The highest rate of anything: of these two, of a layer, or of the whole network.
      reached_by: What reached it.
    """

    precision: str
    matrix_product: float
    convolution: float
    rate: float
    reached_by: str


@dataclasses.dataclass(frozen=True)
class Speed:
    """The speed of training or inference.

    Attributes:
      batch_size: Images per call.
      precision: Of the arithmetic.
      images_per_second: Of the median round.
      slowest: Images per second of the slowest round.
      fastest: Images per second of the fastest round.
      fraction_of_ceiling: The median's FLOP/s divided by the ceiling's.
      kernels: "native" or "xla" in training, else "".
    """

    batch_size: int
    precision: str
    images_per_second: float
    slowest: float
    fastest: float
    fraction_of_ceiling: float
    kernels: str = ""


@dataclasses.dataclass(frozen=True)
class LayerTime:
    """One layer's time for a batch: the fastest of the rounds.

    Attributes:
      name: The layer's.
      forward_ms: Milliseconds forward, as in training.
      backward_ms: Milliseconds of the gradients of weights and, after the first convolution, input.
      gflops_per_second: Rate of both together, 0 for layers without products.
    """

    name: str
    forward_ms: float
    backward_ms: float
    gflops_per_second: float


@dataclasses.dataclass(frozen=True)
class LayerWork:
    """The work of one layer: forward, and forward with the gradients."""

    forward: Work
    both: Work

    def time(self) -> LayerTime:
        """Returns the layer's time, after the measurement."""
        forward, both = min(self.forward.seconds), min(self.both.seconds)
        rate = self.both.flop / both / 1e9
        return LayerTime(self.forward.name, 1e3 * forward, 1e3 * max(both - forward, 0), rate)


def ceiling_works(precision: str) -> tuple[Work, Work]:
    """Returns a large matrix product and a large convolution."""
    dtype = tf.dtypes.as_dtype(precision)
    batch, height, width, channels, filters, size = _CONVOLUTION
    matrix = _normal([_MATRIX_SIZE, _MATRIX_SIZE], 0, dtype)
    image = _normal([batch, height, width, channels], 1, dtype)
    kernel = _normal([size, size, channels, filters], 2, dtype)

    @tf.function
    def multiply() -> tf.Tensor:
        return tf.matmul(matrix, matrix)

    @tf.function
    def convolve() -> tf.Tensor:
        return tf.nn.conv2d(image, kernel, 1, "SAME")

    flop = 2 * batch * height * width * channels * filters * size**2
    return (
        Work("matrix product", lambda: wait_for(multiply()), 2 * _MATRIX_SIZE**3, precision),
        Work("convolution", lambda: wait_for(convolve()), flop, precision),
    )


def ceiling_of(precision: str, works: Iterable[Work]) -> Ceiling:
    """Returns the ceiling of a precision from all works measured; those of others are ignored."""
    mine = [work for work in works if work.precision == precision and work.flop]
    rates = {work.name: work.rate for work in mine}
    best = max(mine, key=lambda work: work.rate)
    return Ceiling(precision, rates["matrix product"], rates["convolution"], best.rate, best.name)


def speed_of(work: Work, ceiling: float) -> Speed:
    """Returns the speed of training or inference; `ceiling` is in FLOP/s."""
    return Speed(
        work.batch_size,
        work.precision,
        work.batch_size / work.median_seconds,
        work.batch_size / max(work.seconds),
        work.batch_size / min(work.seconds),
        work.flop / work.median_seconds / ceiling,
        work.kernels,
    )


def training_works(
    recipe: Recipe, precision: str, batch_sizes: Sequence[int], kernels: str
) -> list[Work]:
    """Returns complete updates, one work per batch size: forward, backward, momentum.

    `kernels` is "native" or "xla".
    """
    model = _build(recipe, precision)
    optimizer = PaperMomentum(recipe.learning_rate, recipe.momentum, recipe.weight_decay)
    optimizer.build(model.trainable_variables)
    scale = LossScale() if precision == "float16" else None
    step = TrainingStep(
        model,
        optimizer,
        tf.distribute.get_strategy(),
        seed=0,
        loss_scale=scale,
        native=kernels == "native",
        ahead=bool(tf.config.list_logical_devices("GPU")),
    )
    flop = flops_per_image(model, training=True)

    def work(batch_size: int) -> Work:
        batch = {
            "image": _images(model, batch_size),
            "label": np.arange(batch_size, dtype=np.int64) % model.output_shape[-1],
            "weight": np.ones(batch_size, np.float32),
            "offset": np.zeros((batch_size, 3), np.float32),
        }
        batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
        name = f"training, {precision}, batch {batch_size}, {kernels}"
        return Work(
            name,
            lambda: wait_for(step(batches, 1)),
            flop * batch_size,
            precision,
            batch_size,
            kernels,
        )

    return [work(size) for size in batch_sizes]


def inference_works(recipe: Recipe, precision: str, batch_sizes: Sequence[int]) -> list[Work]:
    """Returns the compiled model on uint8 images, one work per batch size."""
    model = _build(recipe, "float32")
    infer = inference_function(model, precision)
    flop = flops_per_image(model, training=False)

    def work(batch_size: int) -> Work:
        images = tf.constant(_images(model, batch_size))
        name = f"inference, {precision}, batch {batch_size}"
        return Work(name, lambda: wait_for(infer(images)), flop * batch_size, precision, batch_size)

    return [work(size) for size in batch_sizes]


def layer_works(
    recipe: Recipe, precision: str, batch_size: int, kernels: str = "xla"
) -> list[LayerWork]:
    """Returns each layer on its own, on input of the shape that it has in the network."""
    model = _build(recipe, precision)
    multiply_adds = {row.name: row.multiply_adds for row in layer_table(model).layers}
    passive = (keras.layers.InputLayer, keras.layers.Flatten)
    layers = [layer for layer in model.layers if not isinstance(layer, passive)]
    first = next(layer for layer in layers if multiply_adds.get(layer.name))
    works = []
    for layer in layers:
        needs_input_gradient = layers.index(layer) > layers.index(first)
        flop = 2 * multiply_adds.get(layer.name, 0) * batch_size
        with native_kernels(kernels == "native"):
            works.append(_layer_work(layer, flop, batch_size, precision, needs_input_gradient))
    return works


def _layer_work(
    layer: keras.layers.Layer,
    flop: int,
    batch_size: int,
    precision: str,
    needs_input_gradient: bool,
) -> LayerWork:
    """Returns the work of a layer; `flop` is that of the forward pass."""
    inputs = _normal([batch_size, *layer.input.shape[1:]], 0, layer.compute_dtype)
    upstream = _normal([batch_size, *layer.output.shape[1:]], 1, layer.compute_dtype)
    variables = [v.value for v in layer.trainable_variables]

    @tf.function
    def forward() -> tf.Tensor:
        return layer(inputs, training=True)

    @tf.function
    def both() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
        sources = [*variables, *([inputs] if needs_input_gradient else [])]
        gradients = tape.gradient(outputs, sources, tf.cast(upstream, outputs.dtype))
        # The outputs too: a convolution's gradient does not need them, so they would be pruned.
        return outputs, [gradient for gradient in gradients if gradient is not None]

    # Traced here: TensorFlow warns of retracing where many functions of one name take turns.
    run_forward, run_both = forward.get_concrete_function(), both.get_concrete_function()
    forward_work = Work(layer.name, lambda: wait_for(run_forward()), flop, precision)
    if not variables and not needs_input_gradient:
        return LayerWork(forward_work, forward_work)
    passes = 3 if needs_input_gradient else 2
    name = f"{layer.name} with gradients"
    both_work = Work(name, lambda: wait_for(run_both()), passes * flop, precision)
    return LayerWork(forward_work, both_work)


def flops_per_image(model: keras.Model, training: bool) -> int:
    """Returns the FLOP of convolutions and dense layers for one image; a multiply-add is two.

    Training takes three times those of inference: forward, the gradient of the weights, and the
    gradient of the input, which the first layer does not need.
    """
    layers = [layer.multiply_adds for layer in layer_table(model).layers if layer.multiply_adds]
    forward = sum(layers)
    return 2 * (3 * forward - layers[0] if training else forward)


def _build(recipe: Recipe, precision: str) -> keras.Model:
    """Builds the recipe's network with 1000 classes."""
    dtype = precision if precision == "float32" else f"mixed_{precision}"
    return build_model(recipe, classes=1000, dtype=dtype)


def _normal(shape: list[int], seed: int, dtype: str | tf.DType) -> tf.Tensor:
    """Returns normally distributed numbers."""
    return tf.cast(tf.random.stateless_normal(shape, [0, seed]), dtype)


def _images(model: keras.Model, batch_size: int) -> np.ndarray:
    """Returns uint8 noise of the model's input shape."""
    shape = (batch_size, *model.input_shape[1:])
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
