"""What a recipe is: frozen dataclasses for the network, the schedule and the whole. No TensorFlow.

`recipe.replace(epochs=3)` makes another recipe; `to_json` and `from_json` carry one through a run
folder. The named ones are in `recipes`.
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
# What of its network a recipe lets a run override; the rest makes another network.
NETWORK_OVERRIDES = ("activation", "norm", "pooling", "dropout")


@dataclasses.dataclass(frozen=True)
class Convolution:
    """One convolution and what follows it.

    Attributes:
      filters: Output maps.
      kernel_size: Side of the square kernel in pixels.
      strides: Step in pixels.
      padding: "same", "valid", "ceil" (the 2012 code: zeros at the right and bottom, so that the
        last window starts inside the image), or the pixels of zeros on each side.
      groups: Towers that do not see each other.
      then: What follows, in order; some of `STEPS_IN_BLOCK`.
    """

    filters: int
    kernel_size: int
    strides: int = 1
    padding: str | int = "same"
    groups: int = 1
    then: tuple[str, ...] = ("activation",)


@dataclasses.dataclass(frozen=True)
class Network:
    """What the network is, without its number of classes.

    Attributes:
      convolutions: The convolutional blocks, conv1 first.
      hidden_units: Units of the fully connected layers between them and the classifier.
      input_size: Side of the square input in pixels.
      channels: 3 (RGB) or 1 (gray).
      activation: One of `ACTIVATIONS`.
      norm: What a block's "norm" is: one of `NORMS`.
      lrn_depth_radius: Maps on each side of the window (TensorFlow's name); n = 2 * radius + 1.
      lrn_bias: k of the paper.
      lrn_alpha: alpha as in the paper's formula, that is not divided by n.
      lrn_beta: beta.
      lrn_per_tower: Whether the window stops at the border of the two towers.
      pooling: "overlapping" (max 3x3, stride 2), "plain" (max 2x2) or "average" (2x2).
      dropout: Share of units dropped.
      dropout_style: "paper" (nothing is scaled in training, outputs are multiplied by 1 - rate at
        test) or "inverted" (scaled up in training).
      dropout_at: "outputs" of the hidden layers, or their "inputs".
      mean: "image" (the training set's mean image is subtracted), or one number per channel on the
        0..255 scale.
      scale: Factor after the mean is subtracted, one per channel or one for all.
      channel_order: "rgb" or "bgr": what conv1 sees. The model's input is always RGB.
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
    lrn_per_tower: bool = False
    pooling: str = "overlapping"
    dropout: float = paper.DROPOUT_RATE
    dropout_style: str = "inverted"
    dropout_at: str = "outputs"
    mean: str | tuple[float, ...] = "image"
    scale: tuple[float, ...] = (1.0,)
    channel_order: str = "rgb"

    def __post_init__(self) -> None:
        """Checks what can be checked without building.

        Raises:
          InputError: A value is none of the known ones, or out of range.
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
        """Returns a copy with `changes`; `groups` is set on every grouped convolution."""
        groups = changes.pop("groups", None)
        if groups is not None:
            changes["convolutions"] = tuple(
                dataclasses.replace(c, groups=groups) if c.groups > 1 else c
                for c in changes.get("convolutions", self.convolutions)
            )
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How the learning rate falls.

    Attributes:
      kind: "constant"; "plateau" (section 5: divided when the validation error stops improving);
        "steps" (at fixed epochs); "cosine" (half a wave down to 0 over the epochs asked for); or
        "2012" (the run's epochs, scaled to the epochs asked for).
      factor: What the rate is multiplied by each time.
      reductions: How often at most ("plateau").
      patience_epochs: Epochs without a better validation top-1 error before it falls ("plateau").
      at_epochs: Epochs after which it falls ("steps"), as shares of the epochs asked for.
    """

    kind: str = "plateau"
    factor: float = 1 / paper.RATE_DIVISOR
    reductions: int = paper.RATE_REDUCTIONS
    patience_epochs: int = 5
    at_epochs: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Raises InputError if the kind is unknown."""
        choose(self.kind, ("constant", "plateau", "steps", "cosine", "2012"), "schedule")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides how a run goes, except the data set, the seed and the machine.

    Attributes:
      name: What `--recipe` takes.
      description: One line for the user.
      network: The network.
      epochs: Passes over the training set.
      batch_size: Images in a global batch.
      learning_rate: The first rate.
      warm_up_epochs: Over so many first epochs the rate rises evenly, update by update, to what the
        schedule says; 0: it is that at once.
      bias_rate_factor: The biases' constant rate as a multiple of `learning_rate`, or None: biases
        follow the weights.
      optimizer: One of `OPTIMIZERS`; "momentum" is the paper's, of "adamw" the decay is decoupled.
      momentum: Of the velocity.
      weight_decay: Inside the velocity, on weights only (section 5).
      schedule: How the rate falls.
      init: One of `INITS`.
      resize_pixels: Shorter side after rescaling, and side of the central crop that random crops
        are taken from.
      pad_pixels: Width of a border, reflected from the image, that training images get before the
        random crop; images that are judged get none.
      flip: Whether training images are reflected at random.
      lighting_std: Standard deviation of the PCA lighting's alpha (section 4.1); 0 is off.
      lighting_units: "std" (alpha times the standard deviation along each component) or "variance"
        (the paper's text to the letter).
      lighting_divisor: The 2012 code's 1.1, or 1.
      hold_out: Share of train held out for validation where a set has none; 0 trains on all of it,
        makes no decision on the way and keeps the last epoch.
      frozen_layers: Layers that do not move; for fine-tuning.
      classifier_rate_factor: What the rates of the last layer are multiplied by: ten for a new one
        on layers that have learned already.
    """

    name: str
    description: str
    network: Network
    epochs: int
    batch_size: int
    learning_rate: float
    bias_rate_factor: float | None = None
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
    classifier_rate_factor: float = 1.0
    warm_up_epochs: float = 0.0

    def __post_init__(self) -> None:
        """Checks the values a user can set.

        Raises:
          InputError: One is out of its range; the message names it.
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
                f"warm-up epochs must be 0 or more, and end. Received: {self.warm_up_epochs}"
            )
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must be at least 0 and below 1. Received: {self.momentum}")
        if not self.weight_decay >= 0:
            raise InputError(f"weight decay must not be negative. Received: {self.weight_decay}")
        if not 0 <= self.pad_pixels < self.resize_pixels:
            raise InputError(
                f"a border must be at least 0 and below the image's {self.resize_pixels} pixels. "
                f"Received: {self.pad_pixels}"
            )
        if self.resize_pixels < self.network.input_size:
            raise InputError(
                f"images resized to {self.resize_pixels} pixels are smaller than the network's "
                f"input of {self.network.input_size}"
            )

    def replace(self, **changes: Any) -> "Recipe":
        """Returns a copy with `changes`; those of `NETWORK_OVERRIDES` are the network's."""
        own = {name: changes.pop(name) for name in NETWORK_OVERRIDES if name in changes}
        if own:
            changes["network"] = changes.get("network", self.network).replace(**own)
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Returns plain dicts, lists, strings and numbers."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Recipe":
        """Returns the recipe that `to_json` gave, also after a trip through JSON."""
        network = dict(_tuples(values["network"]))
        network["convolutions"] = tuple(
            Convolution(**_tuples(c)) for c in values["network"]["convolutions"]
        )
        schedule = Schedule(**_tuples(values["schedule"]))
        return cls(**{**_tuples(values), "network": Network(**network), "schedule": schedule})


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Returns `values` with lists made tuples: JSON knows only lists."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
