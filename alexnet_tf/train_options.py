"""`TrainOptions`: every option of training, defined once. No TensorFlow.

The command line, `train(...)`, run.json and the check on resume read the fields of this class, so a
new option is one new field.
"""

import dataclasses
from typing import Any

from alexnet_tf.network_settings import ACTIVATIONS, NORMS, POOLINGS
from alexnet_tf.options import Scope, flag, flag_name, option, option_infos, recipe_option
from alexnet_tf.recipes import RECIPES
from alexnet_tf.settings import CROPS, INITS, OPTIMIZERS, SCHEDULES, Recipe

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
STRATEGIES = ("auto", "single", "mirrored", "multiworker")
PARALLELISMS = ("data", "towers")
KERNELS = ("auto", "native", "xla")
_HELD_OUT_FRACTION = 0.1  # of train, where an option needs a validation split


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of a training run; None leaves the choice to the recipe.

    Every field is an option of `alexnet-tf train` (with dashes for underscores) and a keyword of
    `alexnet_tf.train`. The metadata of a field holds its `OptionInfo`. A `recipe_option` has the
    name of the field that it replaces in the recipe or its network, except `step_epochs`, which
    gives the epochs of the schedule.

    Examples:
      >>> an.TrainOptions(epochs=3, optimizer="adamw").given()
      {'epochs': 3, 'optimizer': 'adamw'}
    """

    dataset: str | None = option(
        "Data set: shapes (built in), a TFDS name, or a folder with train/CLASS/* and val/CLASS/*, "
        "or with class folders alone.",
        default="shapes",
        example="cifar10",
        metavar="NAME|PATH",
    )
    data_dir: str | None = option(
        "Folder of prepared TFDS data sets, also gs:// or s3://; a set that is missing in a local "
        "one is downloaded into it.",
        default="TFDS's own, ~/tensorflow_datasets",
        example="/data/tfds",
        scope="process",
        metavar="PATH",
    )
    recipe: str | Recipe | None = option(
        f"Network and training settings: one of {', '.join(RECIPES)}.",
        default="the data set's own, or photos",
        example="cifar10",
        metavar="NAME",
    )
    epochs: int | None = recipe_option("Passes over the training set.", "3", minimum=1)
    batch_size: int | None = recipe_option(
        "Images per training step, over all devices.", "128", minimum=1
    )
    optimizer: str | None = recipe_option(
        "Update rule: momentum (the paper's), nesterov or adamw (which wants a smaller "
        "--learning-rate, such as 0.0003).",
        "nesterov",
        choices=OPTIMIZERS,
    )
    learning_rate: float | None = recipe_option("Initial learning rate.", "0.01", above=0)
    schedule: str | None = recipe_option(
        "Learning rate schedule: plateau (a tenth when the validation error stops falling), steps "
        "(a tenth after --step-epochs), cosine, constant, or 2012 (which near the end also turns "
        "PCA lighting off and freezes conv1).",
        "cosine",
        choices=SCHEDULES,
    )
    step_epochs: tuple[int, ...] | None = recipe_option(
        "Epochs after which --schedule steps divides the learning rate by ten.",
        "30,60,80",
        default="the recipe's, or a third and two thirds of --epochs",
        metavar="NUMBERS",
    )
    warm_up_epochs: float | None = recipe_option(
        "Raise the learning rate linearly from 0 over this many epochs, for large batches.",
        "5",
        default="the recipe's: 0",
        minimum=0,
    )
    patience: int | None = recipe_option(
        "End training after this many epochs without a better validation result; best.keras is the "
        "best epoch.",
        "10",
        default="train for all epochs",
        minimum=1,
    )
    weight_decay: float | None = recipe_option(
        "Weight decay inside the velocity, on weights only.", "0.0005", minimum=0
    )
    momentum: float | None = recipe_option("Momentum of the velocity.", "0.9", minimum=0, below=1)
    dropout: float | None = recipe_option(
        "Fraction of hidden units dropped in training.", "0.5", minimum=0, below=1
    )
    label_smoothing: float | None = recipe_option(
        "Weight of the uniform distribution in the training targets.",
        "0.1",
        default="the recipe's, mostly 0",
        minimum=0,
        below=1,
    )
    crop: str | None = recipe_option(
        "Crops of training images: random (the paper's), or random-resized: of random size and "
        "aspect ratio, resized.",
        "random-resized",
        choices=CROPS,
    )
    color_jitter: float | None = recipe_option(
        "Strength of random brightness, contrast and saturation, from 0 to 1.",
        "0.4",
        default="the recipe's: 0",
        minimum=0,
        maximum=1,
    )
    lighting_std: float | None = recipe_option(
        "Standard deviation of PCA lighting; 0 turns it off.",
        "0",
        default="the recipe's; the paper's is 0.1",
        minimum=0,
    )
    activation: str | None = recipe_option(
        f"Activation of every layer but the last: {', '.join(ACTIVATIONS)}.",
        "tanh",
        choices=ACTIVATIONS,
    )
    norm: str | None = recipe_option(
        "Normalization where the network has one: lrn (the paper's), batch or none.",
        "batch",
        choices=NORMS,
    )
    pooling: str | None = recipe_option(
        "Pooling: overlapping (3x3 max pooling, stride 2), plain (2x2 max pooling, stride 2) or "
        "average (2x2, stride 2).",
        "plain",
        choices=POOLINGS,
    )
    init: str | None = recipe_option(
        f"Initialization of the weights: {', '.join(INITS)}.", "stable", choices=INITS
    )
    learning_rate_scaling: str | None = option(
        "none, or linear: the learning rate times --batch-size over the recipe's batch size.",
        default="none",
        example="linear --batch-size 1024",
        choices=("none", "linear"),
    )
    weights: str | None = option(
        "Start from a trained model (a .keras file or a run folder): its network and its weights; "
        "other classes get a new classifier with ten times the learning rate of the other layers.",
        default="none: --init",
        example="caffe.keras",
        metavar="PATH",
    )
    freeze: tuple[str, ...] | None = option(
        "Layers of --weights to keep fixed, separated by commas.",
        default="none",
        example="conv1,conv2",
        metavar="NAMES",
    )
    seed: int | None = option(
        "Seed of everything random: weights, order, crops, dropout.",
        default="0",
        example="1",
        minimum=0,
        maximum=2**31 - 1,
    )
    precision: str | None = option(
        "auto, float32, bfloat16 or float16 (saved models are always float32).",
        default="auto: bfloat16, or else float16, where the hardware is faster in it",
        example="float32",
        choices=PRECISIONS,
    )
    deterministic: bool = flag(
        "On GPUs: the same results bit for bit each time, after a resume, too; slower. On a CPU "
        "they are the same anyway."
    )
    kernels: str | None = option(
        "native: TensorFlow's own, on GPUs cuDNN's; or xla: also functions compiled by XLA, which "
        "are reported to fail on several GPUs.",
        default="auto: native on GPUs, xla on CPUs",
        example="xla",
        scope="process",
        choices=KERNELS,
    )
    strategy: str | None = option(
        "How the work is divided: auto, single, mirrored (one machine) or multiworker (TF_CONFIG).",
        default="auto",
        example="mirrored",
        scope="process",
        choices=STRATEGIES,
    )
    devices: str | None = option(
        "GPUs by number, separated by commas, or cpu:2 for two logical CPU devices; the process "
        "uses no others.",
        default="all GPUs, or one CPU",
        example="0,1",
        scope="process",
        metavar="NUMBERS|cpu:N",
    )
    parallelism: str | None = option(
        "What the devices divide: data (the batch) or towers (the network's two halves, as in the "
        "paper).",
        default="data",
        example="towers --devices 0,1",
        scope="process",
        choices=PARALLELISMS,
    )
    limit_train: int | None = option(
        "Use only this many training images.", default="all", example="1000", minimum=1
    )
    limit_val: int | None = option(
        "Use only this many validation images.", default="all", example="200", minimum=1
    )
    class_weights: str | None = option(
        "none, or balanced: every class has the same total weight in the loss.",
        default="none",
        example="balanced",
        choices=("none", "balanced"),
    )
    checkpoint_every: str | None = option(
        "Also save inside an epoch, after this many updates (500) or minutes (10m).",
        default="10m",
        example="500",
        scope="process",
        metavar="N|Nm",
    )
    keep_checkpoints: bool = flag(
        "Keep the last two checkpoints of a finished run, not only the newest.", scope="process"
    )
    tensorboard: bool = flag(
        "Write curves, kernels, histograms, inputs, the graph and a profile for TensorBoard.",
        scope="process",
    )
    quiet: bool = flag("Print only warnings and errors.", scope="process")

    def __post_init__(self) -> None:
        """Raises InputError if a value is not allowed; the message names the option."""
        for name, info in option_infos(type(self)).items():
            info.check(flag_name(name), getattr(self, name))

    def given(self, *scopes: Scope) -> dict[str, Any]:
        """Returns the options that were given, by name.

        Args:
          *scopes: Only options of these scopes; none: of all scopes.
        """
        return {
            name: value
            for name, info in option_infos(type(self)).items()
            if (not scopes or info.scope in scopes)
            and (value := getattr(self, name)) is not None
            and value is not False  # a flag that is off
        }

    def overrides(self) -> dict[str, Any]:
        """Returns the given options that change the recipe's values, by name."""
        names = ("learning_rate_scaling", "weights", "freeze")
        others = {name: getattr(self, name) for name in names}
        return self.given("recipe") | {n: v for n, v in others.items() if v not in (None, "none")}

    def replace(self, **changes: Any) -> "TrainOptions":
        """Returns a copy with `changes`."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Returns the given options as plain values.

        A `Recipe` is replaced by its name: the run's record holds it in full.
        """
        values = self.given()
        if isinstance(self.recipe, Recipe):
            values["recipe"] = self.recipe.name
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TrainOptions":
        """Returns the options that `to_json` converted."""
        lists = {name: tuple(v) for name, v in values.items() if isinstance(v, list)}
        return cls(**{**values, **lists})

    def apply_to(self, recipe: Recipe) -> Recipe:
        """Returns a recipe with these options in place of its own values.

        Raises:
          InputError: The resulting recipe is not valid.
        """
        changed = recipe.replace(**self.given("recipe"))
        needs_validation = self.schedule == "plateau" or self.patience is not None
        if needs_validation and not changed.hold_out:
            # A recipe that trains on all of train has nothing that these options could look at.
            changed = changed.replace(hold_out=_HELD_OUT_FRACTION)
        if self.learning_rate_scaling == "linear":
            factor = changed.batch_size / recipe.batch_size
            changed = changed.replace(learning_rate=changed.learning_rate * factor)
        return changed
