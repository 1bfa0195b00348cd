"""Measures the machine's ceiling, training, inference and single layers.

A precision is "float32", "bfloat16" or "float16". Networks have 1000 classes; images are in memory.
"""

import dataclasses
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.model.inference import inference_function
from alexnet_tf.model.layers.compiled import native_kernels
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.summary import layer_table
from alexnet_tf.settings import Recipe
from alexnet_tf.training.loss_scale import LossScale
from alexnet_tf.training.optimizers import PaperMomentum
from alexnet_tf.training.step import TrainingStep

_MATRIX_SIZE = 2048
# Batch, height, width, input channels, filters, kernel size: conv2 without groups.
_CONVOLUTION = (64, 27, 27, 96, 256, 5)
_SHORTEST_SECONDS = 0.05  # of a timed interval: in shorter ones the clock's resolution counts


@dataclasses.dataclass(frozen=True)
class Ceiling:
    """The highest rates measured in one precision, in FLOP/s; a multiply-add is two.

    Attributes:
      matrix_product: Rate of a product of two 2048 x 2048 matrices.
      convolution: Rate of a 5x5 convolution with the shape of conv2 without groups.
    """

    precision: str
    matrix_product: float
    convolution: float

    @property
    def rate(self) -> float:
        """The higher of both rates."""
        return max(self.matrix_product, self.convolution)


@dataclasses.dataclass(frozen=True)
class Speed:
    """The speed of training or inference: the median of the rounds.

    `fraction_of_ceiling` is the achieved FLOP/s divided by those of the ceiling; `kernels` is
    "native" or "xla" in training, else "".
    """

    batch_size: int
    precision: str
    images_per_second: float
    fraction_of_ceiling: float
    kernels: str = ""


@dataclasses.dataclass(frozen=True)
class LayerTime:
    """One layer's time for a batch.

    Attributes:
      forward_ms: Milliseconds forward, as in training.
      backward_ms: Milliseconds of the gradients of weights and, after the first convolution, input.
      gflops_per_second: Rate of both together, 0 for layers without products.
    """

    name: str
    forward_ms: float
    backward_ms: float
    gflops_per_second: float


def measure_ceiling(precision: str, rounds: int = 5) -> Ceiling:
    """Measures the ceiling of one precision; the fastest of the rounds counts."""
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

    convolution_flops = 2 * batch * height * width * channels * filters * size**2
    return Ceiling(
        precision,
        2 * _MATRIX_SIZE**3 / shortest(lambda: wait_for(multiply()), rounds),
        convolution_flops / shortest(lambda: wait_for(convolve()), rounds),
    )


def measure_training(
    recipe: Recipe,
    precision: str,
    batch_size: int,
    rounds: int,
    ceiling: float,
    kernels: str = "xla",
) -> Speed:
    """Measures complete updates: forward, backward, momentum.

    The median of the rounds counts. `ceiling` is the ceiling's rate in FLOP/s, `kernels` "native"
    or "xla".
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
    batch = {
        "image": _images(model, batch_size),
        "label": np.arange(batch_size, dtype=np.int64) % model.output_shape[-1],
        "weight": np.ones(batch_size, np.float32),
        "offset": np.zeros((batch_size, 3), np.float32),
    }
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    rate = batch_size / _median(lambda: step(batches, 1), rounds)
    fraction = rate * flops_per_image(model, training=True) / ceiling
    return Speed(batch_size, precision, rate, fraction, kernels)


def measure_inference(
    recipe: Recipe, precision: str, batch_size: int, rounds: int, ceiling: float
) -> Speed:
    """Measures the compiled model on uint8 images; arguments as for training."""
    model = _build(recipe, "float32")
    infer = inference_function(model, precision)
    images = tf.constant(_images(model, batch_size))
    rate = batch_size / _median(lambda: wait_for(infer(images)), rounds)
    fraction = rate * flops_per_image(model, training=False) / ceiling
    return Speed(batch_size, precision, rate, fraction)


def measure_layers(
    recipe: Recipe, precision: str, batch_size: int, rounds: int = 3, kernels: str = "xla"
) -> list[LayerTime]:
    """Measures each layer on its own, on input of the shape that it has in the network.

    The fastest of the rounds counts. `kernels` is "native" or "xla".
    """
    model = _build(recipe, precision)
    multiply_adds = {row.name: row.multiply_adds for row in layer_table(model).layers}
    passive = (keras.layers.InputLayer, keras.layers.Flatten)
    layers = [layer for layer in model.layers if not isinstance(layer, passive)]
    first = next(layer for layer in layers if multiply_adds.get(layer.name))
    times = []
    for layer in layers:
        needs_input_gradient = layers.index(layer) > layers.index(first)
        with native_kernels(kernels == "native"):
            forward, both = _layer_seconds(layer, batch_size, rounds, needs_input_gradient)
        passes = 3 if needs_input_gradient else 2
        flops = 2 * passes * multiply_adds.get(layer.name, 0) * batch_size
        backward = max(both - forward, 0)
        times.append(LayerTime(layer.name, 1e3 * forward, 1e3 * backward, flops / both / 1e9))
    return times


def _layer_seconds(
    layer: keras.layers.Layer, batch_size: int, rounds: int, needs_input_gradient: bool
) -> tuple[float, float]:
    """Returns the seconds of a layer forward, and forward and backward."""
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

    forward_seconds = shortest(lambda: wait_for(forward()), rounds)
    if not variables and not needs_input_gradient:
        return forward_seconds, forward_seconds
    return forward_seconds, shortest(lambda: wait_for(both()), rounds)


def flops_per_image(model: keras.Model, training: bool) -> int:
    """Returns the FLOP of convolutions and dense layers for one image; a multiply-add is two.

    Training takes three times those of inference: forward, the gradient of the weights, and the
    gradient of the input, which the first layer does not need.
    """
    layers = [layer.multiply_adds for layer in layer_table(model).layers if layer.multiply_adds]
    forward = sum(layers)
    return 2 * (3 * forward - layers[0] if training else forward)


def shortest(run: Callable[[], object], rounds: int) -> float:
    """Returns the seconds of the fastest round, after a warm-up call."""
    run()
    calls, best = 1, float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(calls):
            run()
        seconds = time.perf_counter() - started
        best = min(best, seconds / calls)
        calls = max(1, round(_SHORTEST_SECONDS / best))
    return best


def wait_for(values: object) -> None:
    """Waits until tensors are computed: functions on a device return before they are done."""
    for value in tf.nest.flatten(values):
        if hasattr(value, "numpy"):
            tf.reshape(value, [-1])[:1].numpy()


def _median(run: Callable[[], object], rounds: int) -> float:
    """Returns the median seconds of a call, after two warm-up calls."""
    run()
    run()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


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
