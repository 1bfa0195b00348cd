"""The settings that determine a run's results: its options and the recipe they give."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from alexnet_tf.errors import InputError
from alexnet_tf.files import STORAGE, check_utf8_path, expanded
from alexnet_tf.options import flag_name
from alexnet_tf.recipes import get_recipe, recipe_for
from alexnet_tf.run_record import RunRecord
from alexnet_tf.settings import Recipe
from alexnet_tf.train_options import TrainOptions

# Set by --weights, whatever the recipe has.
_SET_BY_WEIGHTS = {
    "network",
    "resize_pixels",
    "frozen_layers",
    "learning_rate",
    "classifier_learning_rate_factor",
}


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """The settings that determine a run's results, apart from the devices.

    Attributes:
      options: The options given, with absolute paths and the defaults of `resolved_options`.
      recipe: The recipe with every option applied; its schedule is scaled to its epochs.
      epochs: Epochs to train for; a resumed run may train for more or fewer than the recipe's.
    """

    options: TrainOptions
    recipe: Recipe
    epochs: int

    @property
    def dataset(self) -> str:
        """A TFDS name, "shapes", or the absolute path of a folder."""
        return self.options.dataset or "shapes"

    @property
    def seed(self) -> int:
        """Seed of the initialization, the held-out split, the order, augmentation and dropout."""
        return self.options.seed or 0


def new_settings(options: TrainOptions) -> RunSettings:
    """Returns the settings of a new run; raises InputError if a value cannot be used."""
    options = resolved_options(options)
    recipe = options.apply_to(base_recipe(options))
    return RunSettings(options, recipe, recipe.epochs)


def resolved_options(options: TrainOptions) -> TrainOptions:
    """Returns options with absolute paths and with defaults that do not depend on the recipe."""
    changes: dict[str, Any] = {
        "dataset": _absolute_dataset(options.dataset or "shapes"),
        "seed": options.seed or 0,
        "precision": options.precision or "auto",
        "class_weights": options.class_weights or "none",
        "learning_rate_scaling": options.learning_rate_scaling or "none",
    }
    if options.data_dir is not None:
        changes["data_dir"] = _absolute_data_dir(options.data_dir)
    if options.weights is not None:
        changes["weights"] = str(expanded(options.weights).absolute())
    for name in ("dataset", "data_dir", "weights"):
        if name in changes:
            check_utf8_path(changes[name], flag_name(name))
    return options.replace(**changes)


def base_recipe(options: TrainOptions) -> Recipe:
    """Returns the given recipe, or the data set's own, before any option is applied."""
    recipe = options.recipe
    if recipe is None:
        return recipe_for(options.dataset or "shapes")
    return recipe if isinstance(recipe, Recipe) else get_recipe(recipe)


def resumed_settings(record: RunRecord, given: TrainOptions) -> RunSettings:
    """Returns the settings of a run that resumes: the recorded ones, perhaps with other epochs.

    A folder that has moved may be named by its new path. Raises InputError as `check_resume`.
    """
    began = record.options
    recorded = Path(began.dataset or "")
    if given.dataset is not None and recorded.is_absolute() and not recorded.exists():
        began = began.replace(dataset=_absolute_dataset(given.dataset))
    check_resume(given, began, record.recipe)
    if given.data_dir is not None:
        began = began.replace(data_dir=_absolute_data_dir(given.data_dir))
    return RunSettings(began, record.recipe, given.epochs or record.epochs)


def check_resume(given: TrainOptions, began: TrainOptions, recipe: Recipe) -> None:
    """Checks that a run may be resumed with these options.

    Options of the process, such as the devices, may differ, and so may the number of epochs, which
    `Run.restore` compares with the epochs done. Every other given option must equal the value that
    the run began with, or the recipe's where the run was given none.

    Args:
      given: The options given now.
      began: The options that the run began with.
      recipe: The run's recipe, with those options applied.

    Raises:
      InputError: An option or the recipe differs from the run's; the message names both values.
    """
    remedy = "resume without it, or start a new run in another folder"
    if given.dataset is not None:
        given = given.replace(dataset=_absolute_dataset(given.dataset))
    of_recipe = given.given("recipe")
    for name, value in given.given("run", "recipe").items():
        if name in ("recipe", "epochs") or (name == "precision" and value == "auto"):
            continue
        before = getattr(began, name)
        if before is None and name in of_recipe:
            before = recipe.option_value(name)
        if value != before:
            raise InputError(f"{flag_name(name)} {value} differs from the run's {before}: {remedy}")
    own = given.recipe
    if own is None:
        return
    name = own.name if isinstance(own, Recipe) else own
    if name != recipe.name:
        raise InputError(f"--recipe {name} differs from the run's {recipe.name}: {remedy}")
    if isinstance(own, Recipe):
        expected = began.apply_to(own)
        ignored = {"description"} | (_SET_BY_WEIGHTS if began.weights is not None else set())
        names = [f.name for f in dataclasses.fields(Recipe) if f.name not in ignored]
        different = [n for n in names if getattr(expected, n) != getattr(recipe, n)]
        if different:
            raise InputError(
                f"the recipe {recipe.name} differs from the run's in {', '.join(different)}: "
                f"{remedy}"
            )


def check_epochs(epochs: int, done: int, folder: str | os.PathLike[str]) -> None:
    """Raises InputError if a run is to end before the epochs that it has done."""
    if epochs < done:
        raise InputError(
            f"--epochs {epochs} is less than the {done} epochs that {folder} has done: give at "
            f"least {done}"
        )


def _absolute_dataset(dataset: str) -> str:
    """Returns a folder's absolute path, or a TFDS name as it is."""
    from alexnet_tf.data.sources import means_folder  # which imports TensorFlow

    path = expanded(dataset)
    return str(path.resolve()) if means_folder(dataset) and path.exists() else dataset


def _absolute_data_dir(data_dir: str) -> str:
    """Returns the absolute path of TFDS's data folder, or its address in cloud storage."""
    if data_dir.startswith(STORAGE):
        return data_dir
    # `Path.resolve` fails for a link to itself.
    return os.path.realpath(expanded(data_dir, "--data-dir"))
