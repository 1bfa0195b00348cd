"""From one trained network to the next: what a model's network is, and its weights in another."""

from typing import Any

import keras
import numpy as np

from alexnet_tf.errors import InputError
from alexnet_tf.model.dropout import InvertedDropout, PaperDropout
from alexnet_tf.model.grouped_convolution import GroupedConv2D
from alexnet_tf.model.inputs import MeanSubtraction
from alexnet_tf.model.local_response_normalization import LocalResponseNormalization
from alexnet_tf.model.spatial_response_normalization import SpatialResponseNormalization
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
    """Returns the network that `build_model` would make a model's layers of.

    What it subtracts from the pixels is always given as "image": the model has it as a weight.

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
        "convolutions": tuple(_convolution(layer, then) for layer, then in blocks),
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
            "lrn_per_tower": norm.groups > 1,
        }
    elif norm is not None:
        changes["norm"] = "batch"
    return Network(**changes)


def copy_weights(source: keras.Model, target: keras.Model, *, classifier: bool) -> None:
    """Copies weights layer by layer, what is subtracted from the pixels included.

    Args:
      source: A trained model.
      target: A model of the same network; it may have another number of classes.
      classifier: Whether the last layer is copied too.

    Raises:
      InputError: The networks differ; the message names the first layer that does.
    """
    for ours, theirs in zip(target.layers, source.layers, strict=False):
        if ours.name != theirs.name:
            raise InputError(f"the weights' network has {theirs.name} in the place of {ours.name}")
    last = [layer.name for layer in target.layers if isinstance(layer, keras.layers.Dense)][-1]
    for ours, theirs in zip(target.layers, source.layers, strict=True):
        if isinstance(ours, PaperDropout | InvertedDropout) or (
            ours.name == last and not classifier
        ):
            continue
        for weight, value in zip(ours.weights, theirs.get_weights(), strict=True):
            if tuple(weight.shape) != np.shape(value):
                raise InputError(
                    f"the weights of {ours.name} are {np.shape(value)}, {tuple(weight.shape)} here"
                )
            weight.assign(value)


def _first(model: keras.Model, kind: Any) -> Any:
    """Returns the first layer of a kind, or None."""
    return next((layer for layer in model.layers if isinstance(layer, kind)), None)


def _convolution(layer: Any, then: list[str]) -> Convolution:
    config = layer.get_config()
    return Convolution(
        layer.filters,
        layer.kernel_size[0],
        layer.strides[0],
        config["padding"],
        layer.groups,
        tuple(then),
    )


def _dropout(model: keras.Model) -> dict[str, Any]:
    """Returns the network's fields about dropout."""
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
