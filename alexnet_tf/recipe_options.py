"""The options of training that replace values of the recipe. No TensorFlow."""

import dataclasses

from alexnet_tf.network_settings import ACTIVATIONS, NORMS, POOLINGS
from alexnet_tf.options import option
from alexnet_tf.settings import CROPS, INITS, OPTIMIZERS, SCHEDULES

_RECIPES_OWN = "the recipe's"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """The options of `TrainOptions` that replace a value of the recipe or of its network.

    Each has the name of the field that it replaces, except `step_epochs`, which gives the epochs of
    the schedule.
    """

    epochs: int | None = option(
        "Passes over the training set.",
        default=_RECIPES_OWN,
        example="3",
        scope="recipe",
        minimum=1,
    )
    batch_size: int | None = option(
        "Images per training step, over all devices.",
        default=_RECIPES_OWN,
        example="128",
        scope="recipe",
        minimum=1,
    )
    optimizer: str | None = option(
        "Update rule: momentum (the paper's), nesterov or adamw (which wants a smaller "
        "--learning-rate, such as 0.0003).",
        default=_RECIPES_OWN,
        example="nesterov",
        scope="recipe",
        choices=OPTIMIZERS,
        metavar="NAME",
    )
    learning_rate: float | None = option(
        "Initial learning rate.",
        default=_RECIPES_OWN,
        example="0.01",
        scope="recipe",
        above=0,
    )
    schedule: str | None = option(
        "Learning rate schedule: plateau (a tenth when the validation error stops falling), steps "
        "(a tenth after --step-epochs), cosine, constant, or 2012 (which near the end also turns "
        "PCA lighting off and freezes conv1).",
        default=_RECIPES_OWN,
        example="cosine",
        scope="recipe",
        choices=SCHEDULES,
        metavar="NAME",
    )
    step_epochs: tuple[int, ...] | None = option(
        "Epochs after which --schedule steps divides the learning rate by ten.",
        default="the recipe's, or a third and two thirds of --epochs",
        example="30,60,80",
        scope="recipe",
        metavar="NUMBERS",
    )
    warm_up_epochs: float | None = option(
        "Raise the learning rate linearly from 0 over this many epochs, for large batches.",
        default="the recipe's: 0",
        example="5",
        scope="recipe",
        minimum=0,
    )
    patience: int | None = option(
        "End training after this many epochs without a better validation result; best.keras is the "
        "best epoch.",
        default="train for all epochs",
        example="10",
        scope="recipe",
        minimum=1,
    )
    weight_decay: float | None = option(
        "Weight decay inside the velocity, on weights only.",
        default=_RECIPES_OWN,
        example="0.0005",
        scope="recipe",
        minimum=0,
    )
    momentum: float | None = option(
        "Momentum of the velocity.",
        default=_RECIPES_OWN,
        example="0.9",
        scope="recipe",
        minimum=0,
        below=1,
    )
    dropout: float | None = option(
        "Fraction of hidden units dropped in training.",
        default=_RECIPES_OWN,
        example="0.5",
        scope="recipe",
        minimum=0,
        below=1,
    )
    label_smoothing: float | None = option(
        "Weight of the uniform distribution in the training targets.",
        default=f"{_RECIPES_OWN}, mostly 0",
        example="0.1",
        scope="recipe",
        minimum=0,
        below=1,
    )
    crop: str | None = option(
        "Crops of training images: random (the paper's), or random-resized: of random size and "
        "aspect ratio, resized.",
        default=_RECIPES_OWN,
        example="random-resized",
        scope="recipe",
        choices=CROPS,
        metavar="NAME",
    )
    color_jitter: float | None = option(
        "Strength of random brightness, contrast and saturation, from 0 to 1.",
        default=f"{_RECIPES_OWN}: 0",
        example="0.4",
        scope="recipe",
        minimum=0,
        maximum=1,
    )
    lighting_std: float | None = option(
        "Standard deviation of PCA lighting; 0 turns it off.",
        default=f"{_RECIPES_OWN}; the paper's is 0.1",
        example="0",
        scope="recipe",
        minimum=0,
    )
    activation: str | None = option(
        f"Activation of every layer but the last: {', '.join(ACTIVATIONS)}.",
        default=_RECIPES_OWN,
        example="tanh",
        scope="recipe",
        choices=ACTIVATIONS,
        metavar="NAME",
    )
    norm: str | None = option(
        "Normalization where the network has one: lrn (the paper's), batch or none.",
        default=_RECIPES_OWN,
        example="batch",
        scope="recipe",
        choices=NORMS,
        metavar="NAME",
    )
    pooling: str | None = option(
        "Pooling: overlapping (3x3 max pooling, stride 2), plain (2x2 max pooling, stride 2) or "
        "average (2x2, stride 2).",
        default=_RECIPES_OWN,
        example="plain",
        scope="recipe",
        choices=POOLINGS,
        metavar="NAME",
    )
    init: str | None = option(
        f"Initialization of the weights: {', '.join(INITS)}.",
        default=_RECIPES_OWN,
        example="stable",
        scope="recipe",
        choices=INITS,
        metavar="NAME",
    )
