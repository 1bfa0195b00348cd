"""Transfer between models: read the network of a model, copy its weights into another."""

from typing import Any

import keras
import numpy as np

from alexnet_tf.errors import InputError
from alexnet_tf.model.layers import (
    GroupedConv2D,
    InvertedDropout,
    LocalResponseNormalization,
    MeanSubtraction,
    PaperDropout,
    SpatialResponseNormalization,
)
from alexnet_tf.settings import Convolution, Network

_NORMS = (LocalResponseNormalization, keras.layers.BatchNormalization)
_POOLS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
_STEPS = (
    (keras.layers.Activation, "activation"),
    (_NORMS, "norm"),
    (SpatialResponseNormalization, "spatial_norm"),
    (_POOLS, "pool"),
)


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
        "convolutions": tuple(_convolution(layer, steps) for layer, steps in blocks),
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


def copy_weights(source: keras.Model, target: keras.Model, *, classes: np.ndarray | None) -> None:
    """Copies the weights of a model layer by layer, including the mean.

    Args:
      source: A trained model.
      target: A model of the same network; its number of classes may differ.
      classes: int64, the source's class number for each class of the target; None: the last layer
        is not copied.

    Raises:
      InputError: The networks differ. The message names the first layer that differs.
    """
    for ours, theirs in zip(target.layers, source.layers, strict=False):
        if ours.name != theirs.name:
            raise InputError(
                f"the network of the weights differs: it has the layer {theirs.name} where this "
                f"network has {ours.name}"
            )
    last = [layer.name for layer in target.layers if isinstance(layer, keras.layers.Dense)][-1]
    for ours, theirs in zip(target.layers, source.layers, strict=True):
        if isinstance(ours, PaperDropout | InvertedDropout) or (
            ours.name == last and classes is None
        ):
            continue
        for weight, value in zip(ours.weights, theirs.get_weights(), strict=True):
            if ours.name == last:
                value = value[..., classes]
            if tuple(weight.shape) != np.shape(value):
                raise InputError(
                    f"the weights of {ours.name} must have shape {tuple(weight.shape)}. "
                    f"Received: {np.shape(value)}"
                )
            weight.assign(value)


def _first(model: keras.Model, kind: Any) -> Any:
    """Returns the first layer of a class, or None."""
    return next((layer for layer in model.layers if isinstance(layer, kind)), None)


def _convolution(layer: Any, steps: list[str]) -> Convolution:
    config = layer.get_config()
    return Convolution(
        layer.filters,
        layer.kernel_size[0],
        layer.strides[0],
        config["padding"],
        layer.groups,
        tuple(steps),
    )


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
