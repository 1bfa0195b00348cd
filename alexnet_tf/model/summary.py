"""The layers of a network with their geometry, parameters and multiply-adds."""

import dataclasses
import math
from typing import Any

import keras

from alexnet_tf.model.layers import LocalResponseNormalization, SpatialResponseNormalization

_POOLING = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer.

    Attributes:
      name: "conv1".
      type: The layer's class.
      output_shape: Without the batch: (height, width, channels) or (units,).
      parameters: Number of trainable parameters.
      multiply_adds: Multiply-adds of one image, forward, of convolutions and fully connected
        layers; biases are not counted.
      kernel_size: (height, width) of a convolution's, pooling's or spatial LRN's window in pixels;
        None for other layers.
      strides: (vertical, horizontal) step of a convolution or pooling in pixels, else None.
      padding: "same", "valid", "ceil" or the pixels of zeros on each side, of a convolution or
        pooling, else None.
      groups: Groups of channels of a convolution or LRN layer, else None.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    kernel_size: tuple[int, int] | None = None
    strides: tuple[int, int] | None = None
    padding: str | int | None = None
    groups: int | None = None


@dataclasses.dataclass(frozen=True)
class ModelSummary:
    """All layers of a network, and the totals.

    Attributes:
      layers: In the order in which they are applied, the input layer included.
      non_trainable_parameters: Number of values that are not trained, such as the mean image.
    """

    layers: tuple[LayerRow, ...]
    non_trainable_parameters: int

    @property
    def parameters(self) -> int:
        """Number of trainable parameters of all layers."""
        return sum(row.parameters for row in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one image, forward, of all layers."""
        return sum(row.multiply_adds for row in self.layers)

    def to_json(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            "layers": [dataclasses.asdict(row) for row in self.layers],
            "parameters": self.parameters,
            "non_trainable_parameters": self.non_trainable_parameters,
            "multiply_adds": self.multiply_adds,
        }


def layer_table(model: keras.Model) -> ModelSummary:
    """Returns the summary of a model."""
    return ModelSummary(
        tuple(_row(layer) for layer in model.layers),
        sum(math.prod(weight.shape) for weight in model.non_trainable_weights),
    )


def _row(layer: keras.layers.Layer) -> LayerRow:
    return LayerRow(
        layer.name,
        type(layer).__name__,
        tuple(int(side) for side in layer.output.shape[1:]),
        sum(math.prod(weight.shape) for weight in layer.trainable_weights),
        _multiply_adds(layer),
        **_geometry(layer),
    )


def _geometry(layer: keras.layers.Layer) -> dict[str, Any]:
    """Returns the fields of `LayerRow` that describe a layer's window and groups."""
    if isinstance(layer, keras.layers.Conv2D):
        return {
            "kernel_size": tuple(layer.kernel_size),
            "strides": tuple(layer.strides),
            # The config has this package's paddings, the attribute only Keras' own.
            "padding": layer.get_config()["padding"],
            "groups": layer.groups,
        }
    if isinstance(layer, _POOLING):
        return {
            "kernel_size": tuple(layer.pool_size),
            "strides": tuple(layer.strides),
            "padding": layer.padding,
        }
    if isinstance(layer, LocalResponseNormalization):
        return {"groups": layer.groups}
    if isinstance(layer, SpatialResponseNormalization):
        return {"kernel_size": (layer.size, layer.size)}
    return {}


def _multiply_adds(layer: keras.layers.Layer) -> int:
    """Returns the multiply-adds of a layer's kernel for one image."""
    if isinstance(layer, keras.layers.Conv2D):
        height, width = layer.output.shape[1:3]
        return int(height * width) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.kernel.shape)
    return 0
