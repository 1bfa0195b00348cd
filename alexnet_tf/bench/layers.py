"""Time per layer: each on its own, on input of the shape it has in the network."""

import dataclasses

import keras
import tensorflow as tf

from alexnet_tf.bench.ceiling import finish, shortest
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.summary import layer_table
from alexnet_tf.settings import Recipe


@dataclasses.dataclass(frozen=True)
class LayerTime:
    """One layer's time for a batch.

    Attributes:
      name: conv1, norm1, ...
      forward_ms: Milliseconds forward, as in training.
      backward_ms: Milliseconds of the gradients of weights and input; what the first convolution
        would spend on the gradient of the image is left out.
      gflops_per_second: Rate of both together, 0 for layers without products.
    """

    name: str
    forward_ms: float
    backward_ms: float
    gflops_per_second: float


def measure_layers(
    recipe: Recipe, precision: str, batch_size: int, rounds: int = 3
) -> list[LayerTime]:
    """Measures every layer that computes something.

    Args:
      recipe: Its network, with 1000 classes.
      precision: "float32", "bfloat16" or "float16".
      batch_size: Images in a batch.
      rounds: Of each; the fastest counts.
    """
    dtype = precision if precision == "float32" else f"mixed_{precision}"
    model = build_model(recipe, classes=1000, dtype=dtype)
    work = {row.name: row.multiply_adds for row in layer_table(model).layers}
    passive = (keras.layers.InputLayer, keras.layers.Flatten)
    layers = [layer for layer in model.layers if not isinstance(layer, passive)]
    first = next(layer for layer in layers if work.get(layer.name))
    times = []
    for layer in layers:
        needs_input_gradient = layers.index(layer) > layers.index(first)
        forward, both = _measure(layer, batch_size, rounds, needs_input_gradient)
        passes = 3 if needs_input_gradient else 2
        flops = 2 * passes * work.get(layer.name, 0) * batch_size
        times.append(
            LayerTime(layer.name, 1e3 * forward, 1e3 * max(both - forward, 0), flops / both / 1e9)
        )
    return times


def _measure(
    layer: keras.layers.Layer, batch_size: int, rounds: int, needs_input_gradient: bool
) -> tuple[float, float]:
    """Returns the seconds of a layer forward, and forward and backward."""
    shape = (batch_size, *layer.input.shape[1:])
    inputs = tf.cast(tf.random.stateless_normal(shape, [0, 0]), layer.compute_dtype)
    upstream_shape = (batch_size, *layer.output.shape[1:])
    upstream = tf.cast(tf.random.stateless_normal(upstream_shape, [0, 1]), layer.compute_dtype)
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
        # The outputs too: a convolution's gradient does without them, and would leave them out.
        return outputs, [gradient for gradient in gradients if gradient is not None]

    forward_seconds = shortest(lambda: finish(forward()), rounds)
    if not variables and not needs_input_gradient:
        return forward_seconds, forward_seconds
    return forward_seconds, shortest(lambda: finish(both()), rounds)
