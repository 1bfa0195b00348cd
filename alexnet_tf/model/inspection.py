"""Read parts of a built model: class names, features, conv1's kernels, its network, its layers."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np

from alexnet_tf.model.layers import (
    GroupedConv2D,
    InvertedDropout,
    LocalResponseNormalization,
    MeanSubtraction,
    PaperDropout,
    SpatialResponseNormalization,
)
from alexnet_tf.network_settings import Convolution, Network

_NORMS = (LocalResponseNormalization, keras.layers.BatchNormalization)
_POOLS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
_STEPS = (
    (keras.layers.Activation, "activation"),
    (_NORMS, "norm"),
    (SpatialResponseNormalization, "spatial_norm"),
    (_POOLS, "pool"),
)


def class_names(model: keras.Model) -> list[str] | None:
    """Returns the class names of a model in the order of its outputs, or None if it has none."""
    return getattr(model.layers[-1], "class_names", None)


def feature_output(model: keras.Model) -> Any:
    """Returns the output of the last hidden layer, which the paper compares images by (6.1).

    For AlexNet these are the 4096 activations of relu7, before dropout, which at test only scales
    them. A network without hidden layers has the input of its classifier instead.

    Args:
      model: From `build_model` or `load_model`.

    Returns:
      A symbolic tensor [batch, units].
    """
    dense = [i for i, layer in enumerate(model.layers) if isinstance(layer, keras.layers.Dense)]
    between = model.layers[dense[-2] + 1 : dense[-1]] if len(dense) > 1 else []
    for layer in between:
        if isinstance(layer, keras.layers.Activation):
            return layer.output
    return model.layers[dense[-1]].input


def first_kernels(model: keras.Model) -> tuple[np.ndarray, int]:
    """Returns conv1's kernels and the number of groups that they feed.

    In the paper conv1 sees the whole image, but each half of its kernels feeds one of the two
    groups (figure 3). The groups are therefore those of the network: conv1 itself has one.

    Args:
      model: From `build_model` or `load_model`.

    Returns:
      The kernels, float32 [height, width, channels, filters], channels in RGB order even if the
      network computes in BGR; and the number of groups, which divides the filters.

    Raises:
      ValueError: The model has no convolution.
    """
    convolutions = [layer for layer in model.layers if isinstance(layer, GroupedConv2D)]
    if not convolutions:
        raise ValueError(f"The model has no convolution. Received: {model.name}")
    kernels = np.asarray(convolutions[0].kernel, np.float32)
    mean = model.get_layer("mean")
    if mean.channel_order == "bgr":
        kernels = kernels[:, :, ::-1]
    groups = max(convolution.groups for convolution in convolutions)
    return kernels, groups if kernels.shape[-1] % groups == 0 else 1


def network_of(model: keras.Model) -> Network:
    """Returns the network from which `build_model` builds the layers of a model.

    Its `mean` is always "image", since the model stores the mean as a weight.

    Args:
      model: From `build_model` or `load_model`.

    Returns:
      The network, without the number of classes.
    """
    blocks: list[tuple[Any, list[str]]] = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.Flatten):
            break
        if isinstance(layer, GroupedConv2D):
            blocks.append((layer, []))
        elif blocks:
            blocks[-1][1].append(next(step for kind, step in _STEPS if isinstance(layer, kind)))
    mean = _first(model, MeanSubtraction)
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    activation = _first(model, keras.layers.Activation)
    changes: dict[str, Any] = {
        "convolutions": tuple(
            Convolution(
                layer.filters,
                layer.kernel_size[0],
                layer.strides[0],
                layer.get_config()["padding"],
                layer.groups,
                tuple(steps),
            )
            for layer, steps in blocks
        ),
        "hidden_units": tuple(layer.units for layer in dense[:-1]),
        "input_size": int(model.input_shape[1]),
        "channels": int(model.input_shape[3]),
        "activation": activation.name.rstrip("0123456789"),
        "norm": "none",
        "scale": mean.scale,
        "channel_order": mean.channel_order,
        **_dropout(model),
    }
    pool = _first(model, _POOLS)
    if isinstance(pool, keras.layers.AveragePooling2D):
        changes["pooling"] = "average"
    elif pool is not None and pool.pool_size == pool.strides:
        changes["pooling"] = "plain"
    norm = _first(model, _NORMS)
    if isinstance(norm, LocalResponseNormalization):
        changes |= {
            "norm": "lrn",
            "lrn_depth_radius": norm.depth_radius,
            "lrn_bias": norm.bias,
            "lrn_alpha": norm.alpha,
            "lrn_beta": norm.beta,
            "lrn_within_groups": norm.groups > 1,
        }
    elif norm is not None:
        changes["norm"] = "batch"
    return Network(**changes)


def _first(model: keras.Model, kind: Any) -> Any:
    """Returns the first layer of a class, or None."""
    return next((layer for layer in model.layers if isinstance(layer, kind)), None)


def _dropout(model: keras.Model) -> dict[str, Any]:
    """Returns the network's dropout fields."""
    dropout = _first(model, PaperDropout | InvertedDropout)
    if dropout is None:
        return {"dropout": 0.0}
    names = [layer.name for layer in model.layers]
    before_dense = names[names.index("flatten") + 1] == dropout.name
    return {
        "dropout": dropout.rate,
        "dropout_style": "paper" if isinstance(dropout, PaperDropout) else "inverted",
        "dropout_at": "inputs" if before_dense else "outputs",
    }


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
    rows = (
        LayerRow(
            layer.name,
            type(layer).__name__,
            tuple(int(side) for side in layer.output.shape[1:]),
            sum(math.prod(weight.shape) for weight in layer.trainable_weights),
            _multiply_adds(layer),
            **_geometry(layer),
        )
        for layer in model.layers
    )
    not_trained = sum(math.prod(weight.shape) for weight in model.non_trainable_weights)
    return ModelSummary(tuple(rows), not_trained)


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
    if isinstance(layer, _POOLS):
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
