"""What was asked of a run: the recipe, what overrides it, and whether a resumed run may differ."""

import dataclasses
import os
from typing import Any

from alexnet_tf.data.sources import means_folder
from alexnet_tf.errors import InputError, choose
from alexnet_tf.files import expanded, printable
from alexnet_tf.recipes import get_recipe, recipe_for
from alexnet_tf.settings import NETWORK_OVERRIDES, Recipe

CLASS_WEIGHTS = ("none", "balanced")
RATE_SCALINGS = ("none", "linear")


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What decides the numbers of a run, apart from the machine.

    Attributes:
      dataset: TFDS name, "shapes", or the absolute path of a folder.
      data_dir: TFDS folder, or None for TFDS's own.
      recipe: With everything that overrides it.
      overrides: What was given instead of the recipe's values, by name.
      epochs: To train for. The recipe's are those that its schedule was scaled to; these may be
        more after a resume.
      seed: Of the initialization, the held-out examples, the order, augmentation and dropout.
      precision: "float32", "bfloat16" or "float16".
      limit_train: Use at most so many training examples, or None.
      limit_val: Likewise for validation.
      class_weights: "none", or "balanced": rare classes count for more in the loss.
      learning_rate_scaling: "none", or "linear": the rate was multiplied by the batch size over the
        recipe's (Goyal et al., 2017, section 2.1).
    """

    dataset: str
    data_dir: str | None
    recipe: Recipe
    overrides: dict[str, Any]
    epochs: int
    seed: int
    precision: str
    limit_train: int | None
    limit_val: int | None
    class_weights: str = "none"
    learning_rate_scaling: str = "none"

    def to_json(self) -> dict[str, Any]:
        """Returns plain values."""
        return {**dataclasses.asdict(self), "recipe": self.recipe.to_json()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RunOptions":
        """Returns what `to_json` gave."""
        return cls(**{**values, "recipe": Recipe.from_json(values["recipe"])})


def new_options(
    *,
    dataset: str | None,
    data_dir: str | None,
    recipe: str | Recipe | None,
    seed: int | None,
    precision: str,
    limit_train: int | None,
    limit_val: int | None,
    class_weights: str | None = None,
    learning_rate_scaling: str | None = None,
    **overrides: Any,
) -> RunOptions:
    """Returns the options of a new run.

    Raises:
      InputError: An unknown recipe, a value out of range, or a path that cannot be recorded.
    """
    dataset = normal_dataset(dataset or "shapes")
    check_unicode("--dataset", dataset)
    if data_dir is not None:
        check_unicode("--data-dir", _absolute(data_dir))
    chosen = recipe_for(dataset) if recipe is None else recipe
    if isinstance(chosen, str):
        chosen = get_recipe(chosen)
    given = {name: value for name, value in overrides.items() if value is not None}
    for name, limit in (("--limit-train", limit_train), ("--limit-val", limit_val)):
        if limit is not None and limit < 1:
            raise InputError(f"{name} must be at least 1. Received: {limit}")
    class_weights = choose(class_weights or "none", CLASS_WEIGHTS, "--class-weights")
    scaling = choose(learning_rate_scaling or "none", RATE_SCALINGS, "--learning-rate-scaling")
    own_batch_size = chosen.batch_size
    chosen = chosen.replace(**given)
    if scaling == "linear":
        factor = chosen.batch_size / own_batch_size
        chosen = chosen.replace(learning_rate=chosen.learning_rate * factor)
        given["learning_rate_scaling"] = scaling
    return RunOptions(
        dataset=dataset,
        data_dir=None if data_dir is None else _absolute(data_dir),
        recipe=chosen,
        overrides=given,
        epochs=chosen.epochs,
        seed=0 if seed is None else seed,
        precision=precision,
        limit_train=limit_train,
        limit_val=limit_val,
        class_weights=class_weights,
        learning_rate_scaling=scaling,
    )


def resumed_options(
    recorded: RunOptions,
    *,
    dataset: str | None,
    data_dir: str | None,
    recipe: str | Recipe | None,
    seed: int | None,
    precision: str,
    limit_train: int | None,
    limit_val: int | None,
    class_weights: str | None = None,
    learning_rate_scaling: str | None = None,
    epochs: int | None = None,
    **overrides: Any,
) -> RunOptions:
    """Returns the options of a run that goes on: the recorded ones, with more epochs if asked.

    The data may have moved (`data_dir`); everything else that is given must be as it was.

    Raises:
      InputError: Something given differs from the run's; the message names both.
    """
    asked: dict[str, Any] = {
        "dataset": None if dataset is None else normal_dataset(dataset),
        "recipe": recipe.name if isinstance(recipe, Recipe) else recipe,
        "seed": seed,
        "precision": None if precision == "auto" else precision,
        "limit_train": limit_train,
        "limit_val": limit_val,
        "class_weights": class_weights,
        "learning_rate_scaling": learning_rate_scaling,
        **overrides,
    }
    had = {
        **{name: getattr(recorded, name) for name in asked if hasattr(recorded, name)},
        **{name: _value(recorded.recipe, name) for name in overrides},
        "recipe": recorded.recipe.name,
    }
    if recorded.learning_rate_scaling != "none" and "learning_rate" in recorded.overrides:
        had["learning_rate"] = recorded.overrides["learning_rate"]  # before the scaling
    for name, value in asked.items():
        if value is not None and value != had[name]:
            option = "--" + name.replace("_", "-")
            raise InputError(
                f"{option} {value} differs from the run's {had[name]}: resume without it, "
                "or start a new run in another folder"
            )
    if epochs is not None and epochs < recorded.epochs:
        raise InputError(
            f"--epochs {epochs} is less than the run's {recorded.epochs}: "
            "a resumed run may only get more"
        )
    return dataclasses.replace(
        recorded,
        data_dir=_absolute(data_dir) if data_dir else recorded.data_dir,
        epochs=epochs or recorded.epochs,
    )


def _value(recipe: Recipe, name: str) -> Any:
    """Returns what a recipe, or its network, has under an override's name."""
    return getattr(recipe.network if name in NETWORK_OVERRIDES else recipe, name)


def normal_dataset(dataset: str) -> str:
    """Returns a folder's absolute path, and a TFDS name as it is."""
    path = expanded(dataset)
    return str(path.resolve()) if means_folder(dataset) and path.exists() else dataset


def check_unicode(option: str, path: str) -> None:
    """Raises InputError for a path that the run's record, which is UTF-8, cannot hold."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{option} {printable(path)}: bytes of this path are no UTF-8, and a run must record "
            "it: rename it"
        ) from None


def _absolute(folder: str) -> str:
    """Returns a folder's path as it is valid from everywhere."""
    return os.path.realpath(expanded(folder))  # `resolve` fails at a link to itself
