"""Frozen dataclasses that describe a network, layer by layer. No TensorFlow.

The networks themselves are in `architectures`; `Recipe` in `settings` adds the training.
"""

import dataclasses
from typing import Any

from alexnet_tf import paper
from alexnet_tf.errors import InputError, choose

ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "tanh", "sigmoid")
NORMS = ("lrn", "batch", "none")
POOLINGS = ("overlapping", "plain", "average")


@dataclasses.dataclass(frozen=True)
class Convolution:
    """One convolution and the layers that follow it.

    Attributes:
      filters: Output channels.
      kernel_size: Side of the square kernel in pixels.
      strides: Step in pixels.
      padding: "same", "valid", "ceil" (the 2012 code: zeros at the right and the bottom, so that
        the last window starts inside the image), or the pixels of zeros on each side.
      groups: Groups of channels that are convolved separately.
      then: The steps that follow, in order: "activation", "norm", "spatial_norm" or "pool".
    """

    filters: int
    kernel_size: int
    strides: int = 1
    padding: str | int = "same"
    groups: int = 1
    then: tuple[str, ...] = ("activation",)


@dataclasses.dataclass(frozen=True)
class Network:
    """A network without its number of classes.

    Attributes:
      convolutions: The convolutional blocks; conv1 first.
      hidden_units: Units of each hidden fully connected layer.
      input_size: Side of the square input in pixels.
      channels: 3 (RGB) or 1 (gray).
      activation: One of `ACTIVATIONS`.
      norm: The layer for the step "norm", one of `NORMS`: "lrn", "batch" (batch normalization) or
        "none".
      lrn_depth_radius: Channels on each side of the LRN window; the paper's n is
        `2 * lrn_depth_radius + 1`.
      lrn_bias: k in the paper.
      lrn_alpha: alpha in the paper's formula; it is not divided by n.
      lrn_beta: beta in the paper.
      lrn_within_groups: Whether the LRN window stays inside a group of the network.
      pooling: "overlapping" (3x3 max pooling, stride 2), "plain" (2x2 max pooling) or "average"
        (2x2 average pooling).
      dropout: Fraction of units dropped, at least 0 and below 1.
      dropout_style: "paper" (no scaling in training, outputs times 1 - rate at test) or "inverted"
        (scaled up in training).
      dropout_at: Whether dropout applies to the "outputs" or the "inputs" of the hidden layers.
      mean: "image" (the training set's mean image is subtracted), or one number per channel on the
        0..255 scale.
      scale: Factor after the subtraction: one, or one per channel.
      channel_order: "rgb" or "bgr": the order in which conv1 sees the channels. The model's input
        is always RGB.
    """

    convolutions: tuple[Convolution, ...]
    hidden_units: tuple[int, ...]
    input_size: int
    channels: int = 3
    activation: str = "relu"
    norm: str = "lrn"
    lrn_depth_radius: int = paper.LRN_N // 2
    lrn_bias: float = paper.LRN_K
    lrn_alpha: float = paper.LRN_ALPHA
    lrn_beta: float = paper.LRN_BETA
    lrn_within_groups: bool = False
    pooling: str = "overlapping"
    dropout: float = paper.DROPOUT_RATE
    dropout_style: str = "inverted"
    dropout_at: str = "outputs"
    mean: str | tuple[float, ...] = "image"
    scale: tuple[float, ...] = (1.0,)
    channel_order: str = "rgb"

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
          InputError: A value is not supported or out of range.
        """
        choose(self.activation, ACTIVATIONS, "activation")
        choose(self.norm, NORMS, "norm")
        choose(self.pooling, POOLINGS, "pooling")
        choose(self.dropout_style, ("paper", "inverted"), "dropout style")
        choose(self.dropout_at, ("outputs", "inputs"), "dropout position")
        choose(self.channel_order, ("rgb", "bgr"), "channel order")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must be at least 0 and below 1. Received: {self.dropout}")
        if self.channels not in (1, 3):
            raise InputError(f"channels must be 1 (gray) or 3 (RGB). Received: {self.channels}")

    def replace(self, **changes: Any) -> "Network":
        """Returns a copy with `changes`; `groups` replaces those of every grouped convolution."""
        groups = changes.pop("groups", None)
        if groups is not None:
            changes["convolutions"] = tuple(
                dataclasses.replace(c, groups=groups) if c.groups > 1 else c
                for c in changes.get("convolutions", self.convolutions)
            )
        return dataclasses.replace(self, **changes)
