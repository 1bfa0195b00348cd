"""What a network is made of and costs, layer by layer."""

import dataclasses
import math
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer.

    Attributes:
      name: "conv1".
      type: The layer's class.
      output_shape: Without the batch: (height, width, maps) or (units,).
      parameters: Trainable ones.
      multiply_adds: Of one image, forward; convolutions and dense layers only, biases not counted.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclasses.dataclass(frozen=True)
class ModelSummary:
    """All layers, and the totals.

    Attributes:
      layers: In the order they are applied.
      non_trainable_parameters: Such as the mean image.
    """

    layers: tuple[LayerRow, ...]
    non_trainable_parameters: int

    @property
    def parameters(self) -> int:
        """Trainable parameters of all layers."""
        return sum(row.parameters for row in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Of one image, forward, all layers."""
        return sum(row.multiply_adds for row in self.layers)

    def to_json(self) -> dict[str, Any]:
        """Returns plain dicts, lists, strings and numbers."""
        return {
            "layers": [
                {**dataclasses.asdict(row), "output_shape": list(row.output_shape)}
                for row in self.layers
            ],
            "parameters": self.parameters,
            "non_trainable_parameters": self.non_trainable_parameters,
            "multiply_adds": self.multiply_adds,
        }


def layer_table(model: keras.Model) -> ModelSummary:
    """Returns what a model is made of, its input layer included."""
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
    )


def _multiply_adds(layer: keras.layers.Layer) -> int:
    """Returns the multiplications of a layer's kernel with one image's activations."""
    if isinstance(layer, keras.layers.Conv2D):
        height, width = layer.output.shape[1:3]
        return int(height * width) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.kernel.shape)
    return 0
