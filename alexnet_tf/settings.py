"""Frozen dataclasses that describe training: `Recipe` and its `Schedule`. No TensorFlow.

`recipe.replace(epochs=3)` returns a changed recipe; `to_json` and `from_json` store one in a run
folder. The named recipes are in `recipes`.
"""

import dataclasses
import math
from typing import Any

from alexnet_tf import paper
from alexnet_tf.errors import InputError, choose
from alexnet_tf.network_settings import Convolution, Network

OPTIMIZERS = ("momentum", "nesterov", "adamw")
INITS = ("paper", "2012", "stable", "caffe", "torchvision", "normal", "xavier", "he")
SCHEDULES = ("plateau", "steps", "cosine", "constant", "2012")
CROPS = ("random", "random-resized")
# Fields of `Network` that options of `train` override; others make it another network.
NETWORK_OVERRIDES = ("activation", "norm", "pooling", "dropout")
# Names of fields in the run.json of earlier versions.
_RENAMED_FIELDS = {
    "lrn_per_tower": "lrn_within_groups",
    "bias_rate_factor": "bias_learning_rate_factor",
    "classifier_rate_factor": "classifier_learning_rate_factor",
}


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
        choose(self.kind, SCHEDULES, "schedule")

    def step_epochs(self, epochs: int) -> tuple[int, ...]:
        """Returns the epochs after which the learning rate is reduced ("steps"), from 1.

        Args:
          epochs: Number of epochs that the schedule is scaled to.
        """
        return tuple(max(1, round(fraction * epochs)) for fraction in self.at_epochs)

    def with_options(
        self, kind: str | None, step_epochs: tuple[int, ...] | None, epochs: int
    ) -> "Schedule":
        """Returns this schedule with the values of `--schedule` and `--step-epochs`.

        Args:
          kind: The kind; None keeps it, or is "steps" if `step_epochs` is given.
          step_epochs: The epochs after which the learning rate is reduced. None: this schedule's,
            or a third and two thirds of all epochs.
          epochs: Number of epochs of the run.

        Raises:
          InputError: The step epochs are not ascending epochs of the run, or another kind of
            schedule is given.
        """
        kind = kind or ("steps" if step_epochs else self.kind)
        if kind != "steps":
            if step_epochs:
                raise InputError(f"--step-epochs needs --schedule steps. Received: {kind}")
            return dataclasses.replace(self, kind=kind)
        if step_epochs is None:
            return dataclasses.replace(self, kind=kind, at_epochs=self.at_epochs or (1 / 3, 2 / 3))
        if list(step_epochs) != sorted(set(step_epochs)) or not (
            step_epochs[0] >= 1 and step_epochs[-1] < epochs
        ):
            text = ",".join(map(str, step_epochs))
            raise InputError(
                f"--step-epochs must be ascending, from 1 to below the {epochs} epochs of the run. "
                f"Received: {text}"
            )
        at_epochs = tuple(epoch / epochs for epoch in step_epochs)
        return dataclasses.replace(self, kind=kind, at_epochs=at_epochs)


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
      crop: How training images are cropped, one of `CROPS`: "random" (section 4.1) or
        "random-resized" (8 to 100% of the resized image's area, sides in a ratio of 3:4 to 4:3,
        resized to the network's input; Szegedy et al., 2015).
      color_jitter: Strength s of random brightness, contrast and saturation, each a factor between
        1 - s and 1 + s; at least 0 and at most 1, and 0 turns it off.
      label_smoothing: Weight of the uniform distribution in the training targets (Szegedy et al.,
        2016), at least 0 and below 1. Reported losses are computed without it.
      patience: Epochs without a better validation result (fewer errors, or as many and a lower
        loss) after which training ends; 0 trains for all epochs. Not the schedule's
        `patience_epochs`.
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
    crop: str = "random"
    color_jitter: float = 0.0
    label_smoothing: float = 0.0
    patience: int = 0

    def __post_init__(self) -> None:
        """Checks the values that a user can set.

        Raises:
          InputError: A value is out of range. The message names it.
        """
        choose(self.init, INITS, "init")
        choose(self.crop, CROPS, "crop")
        choose(self.optimizer, OPTIMIZERS, "optimizer")
        choose(self.lighting_units, ("std", "variance"), "lighting units")
        size, pixels = self.network.input_size, self.resize_pixels
        limits = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "warm_up_epochs": (0 <= self.warm_up_epochs < math.inf, "0 or more, and finite"),
            "momentum": (0 <= self.momentum < 1, "at least 0 and below 1"),
            "weight_decay": (self.weight_decay >= 0, "at least 0"),
            "color_jitter": (0 <= self.color_jitter <= 1, "from 0 to 1"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "at least 0 and below 1"),
            "patience": (self.patience >= 0, "0 or more epochs"),
            "pad_pixels": (0 <= self.pad_pixels < pixels, f"from 0 to below {pixels} pixels"),
            "resize_pixels": (pixels >= size, f"at least the network's input of {size} pixels"),
        }
        for name, (is_allowed, words) in limits.items():
            if not is_allowed:
                raise InputError(f"{name} must be {words}. Received: {getattr(self, name)}")

    def replace(self, **changes: Any) -> "Recipe":
        """Returns a copy with `changes`.

        Those in `NETWORK_OVERRIDES` change the network. `schedule` may be the name of a kind, and
        `step_epochs` gives the epochs of its steps.
        """
        own = {name: changes.pop(name) for name in NETWORK_OVERRIDES if name in changes}
        if own:
            changes["network"] = changes.get("network", self.network).replace(**own)
        step_epochs, kind = changes.pop("step_epochs", None), changes.get("schedule")
        if step_epochs is not None or isinstance(kind, str):
            epochs = changes.get("epochs", self.epochs)
            changes["schedule"] = self.schedule.with_options(kind, step_epochs, epochs)
        return dataclasses.replace(self, **changes)

    def option_value(self, name: str) -> Any:
        """Returns the value that an option of `train` replaces, by the name of the option."""
        if name == "schedule":
            return self.schedule.kind
        if name == "step_epochs":
            return self.schedule.step_epochs(self.epochs)
        return getattr(self.network if name in NETWORK_OVERRIDES else self, name)

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
