"""Frozen dataclasses that describe a network and its training. No TensorFlow.

`recipe.replace(epochs=3)` returns a changed recipe; `to_json` and `from_json` store one in a run
folder. The named recipes are in `recipes`.
"""

import dataclasses
import math
from typing import Any

from alexnet_tf import paper
from alexnet_tf.errors import InputError, choose

ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "tanh", "sigmoid")
NORMS = ("lrn", "batch", "none")
OPTIMIZERS = ("momentum", "nesterov", "adamw")
POOLINGS = ("overlapping", "plain", "average")
INITS = ("paper", "2012", "stable", "caffe", "torchvision", "xavier", "he")
STEPS_IN_BLOCK = ("activation", "norm", "spatial_norm", "pool")
# Fields of `Network` that options of `train` override; others make it another network.
NETWORK_OVERRIDES = ("activation", "norm", "pooling", "dropout")
# Names of fields in the run.json of earlier versions.
_RENAMED_FIELDS = {
    "lrn_per_tower": "lrn_within_groups",
    "bias_rate_factor": "bias_learning_rate_factor",
    "classifier_rate_factor": "classifier_learning_rate_factor",
}


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
      then: The steps that follow, in order, from `STEPS_IN_BLOCK`.
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


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The learning rate schedule.

    Attributes:
      kind: "constant"; "plateau" (section 5: reduced when the validation error stops improving);
        "steps" (reduced after given epochs); "cosine" (half a cosine wave down to 0 over all
        epochs); or "2012" (the epochs of the 2012 run, scaled to the number of epochs).
      factor: The learning rate is multiplied by this at each reduction.
      reductions: Maximum number of reductions ("plateau").
      patience_epochs: Epochs without a lower validation top-1 error before a reduction
        ("plateau").
      at_epochs: Epochs after which the learning rate is reduced ("steps"), as fractions of the
        number of epochs.
    """

    kind: str = "plateau"
    factor: float = 1 / paper.LEARNING_RATE_DIVISOR
    reductions: int = paper.LEARNING_RATE_REDUCTIONS
    patience_epochs: int = 5
    at_epochs: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Raises InputError if the kind is not supported."""
        choose(self.kind, ("constant", "plateau", "steps", "cosine", "2012"), "schedule")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A network and its training: all settings of a run except data set, seed and devices.

    Attributes:
      name: The value of `--recipe`.
      description: One line for the user.
      network: The network.
      epochs: Passes over the training set.
      batch_size: Examples in a global batch.
      learning_rate: The initial learning rate.
      bias_learning_rate_factor: The constant learning rate of the biases as a multiple of
        `learning_rate`; None: the biases use the learning rate of the weights.
      optimizer: One of `OPTIMIZERS`. "momentum" is the paper's; "adamw" has decoupled weight decay.
      momentum: Momentum of the velocity, at least 0 and below 1.
      weight_decay: Weight decay inside the velocity, on weights only (section 5).
      schedule: The learning rate schedule.
      init: Weight initialization, one of `INITS`.
      resize_pixels: Length in pixels to which the shorter side of an image is resized, and side of
        the central square from which random crops are cut.
      pad_pixels: Width in pixels of the reflect padding of training images before the random crop.
        Images in evaluation are not padded.
      flip: Whether training images are flipped horizontally at random.
      lighting_std: Standard deviation of alpha in PCA lighting (section 4.1); 0 turns it off.
      lighting_units: "std" (alpha times the standard deviation along each component) or "variance"
        (alpha times the variance, the literal text of the paper).
      lighting_divisor: Divisor of the pixels while PCA lighting is on: 1.1 in the 2012 code, or 1.
      hold_out: Fraction of the training set used as the held-out validation split if the data set
        has none; 0 trains on the whole set and keeps the last epoch.
      frozen_layers: Names of layers whose weights do not change, for fine-tuning.
      classifier_learning_rate_factor: Factor on the learning rates of the last layer; 10 for a new
        classifier on pretrained layers.
      warm_up_epochs: Number of epochs, which may be a fraction, in which the learning rate rises
        linearly to the schedule's, update by update; 0 turns warm-up off.
    """

    name: str
    description: str
    network: Network
    epochs: int
    batch_size: int
    learning_rate: float
    bias_learning_rate_factor: float | None = None
    optimizer: str = "momentum"
    momentum: float = paper.MOMENTUM
    weight_decay: float = paper.WEIGHT_DECAY
    schedule: Schedule = Schedule()
    init: str = "stable"
    resize_pixels: int = paper.RESIZED_PIXELS
    pad_pixels: int = 0
    flip: bool = True
    lighting_std: float = paper.LIGHTING_STD
    lighting_units: str = "std"
    lighting_divisor: float = 1.0
    hold_out: float = 0.1
    frozen_layers: tuple[str, ...] = ()
    classifier_learning_rate_factor: float = 1.0
    warm_up_epochs: float = 0.0

    def __post_init__(self) -> None:
        """Checks the values that a user can set.

        Raises:
          InputError: A value is out of range. The message names it.
        """
        choose(self.init, INITS, "init")
        choose(self.optimizer, OPTIMIZERS, "optimizer")
        choose(self.lighting_units, ("std", "variance"), "lighting units")
        if self.epochs < 1:
            raise InputError(f"epochs must be at least 1. Received: {self.epochs}")
        if self.batch_size < 1:
            raise InputError(f"batch size must be at least 1. Received: {self.batch_size}")
        if not self.learning_rate > 0:
            raise InputError(f"learning rate must be above 0. Received: {self.learning_rate}")
        if not 0 <= self.warm_up_epochs < math.inf:
            raise InputError(
                f"warm-up epochs must be 0 or more, and finite. Received: {self.warm_up_epochs}"
            )
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must be at least 0 and below 1. Received: {self.momentum}")
        if not self.weight_decay >= 0:
            raise InputError(f"weight decay must be at least 0. Received: {self.weight_decay}")
        if not 0 <= self.pad_pixels < self.resize_pixels:
            raise InputError(
                f"padding must be at least 0 and below the image's {self.resize_pixels} pixels. "
                f"Received: {self.pad_pixels}"
            )
        if self.resize_pixels < self.network.input_size:
            raise InputError(
                f"resize pixels must be at least the network's input of "
                f"{self.network.input_size} pixels. Received: {self.resize_pixels}"
            )

    def replace(self, **changes: Any) -> "Recipe":
        """Returns a copy with `changes`; those in `NETWORK_OVERRIDES` change the network."""
        own = {name: changes.pop(name) for name in NETWORK_OVERRIDES if name in changes}
        if own:
            changes["network"] = changes.get("network", self.network).replace(**own)
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Returns dicts, lists, strings and numbers for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Recipe":
        """Returns the recipe that `to_json` converted, also in a version with other field names."""
        network = _fields(values["network"])
        network["convolutions"] = tuple(
            Convolution(**_fields(convolution)) for convolution in values["network"]["convolutions"]
        )
        schedule = Schedule(**_fields(values["schedule"]))
        return cls(**{**_fields(values), "network": Network(**network), "schedule": schedule})


def _fields(values: dict[str, Any]) -> dict[str, Any]:
    """Returns `values` with present field names, and with tuples for JSON's lists."""
    return {
        _RENAMED_FIELDS.get(key, key): tuple(value) if isinstance(value, list) else value
        for key, value in values.items()
    }
