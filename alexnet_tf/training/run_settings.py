"""What decides a run's numbers: its options and the recipe that they give, new or resumed."""

import dataclasses
import os
from typing import Any

from alexnet_tf.data.sources import means_folder
from alexnet_tf.errors import InputError
from alexnet_tf.files import expanded, printable
from alexnet_tf.options import flag_name
from alexnet_tf.recipes import get_recipe, recipe_for
from alexnet_tf.run_record import RunRecord
from alexnet_tf.settings import Recipe
from alexnet_tf.train_options import TrainOptions

# What trained weights bring with them, whatever the recipe says.
_SET_BY_WEIGHTS = (
    "network",
    "resize_pixels",
    "frozen_layers",
    "learning_rate",
    "classifier_learning_rate_factor",
)


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What decides a run's numbers, apart from the devices.

    Attributes:
      options: The options given, with absolute paths and the defaults of `resolved_options`.
      recipe: The recipe with every option applied. Its epochs are those that the schedule is scaled
        to.
      epochs: Epochs to train for; a resumed run may train for more than the recipe's.
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

    def replace(self, **changes: Any) -> "RunSettings":
        """Returns a copy with `changes`."""
        return dataclasses.replace(self, **changes)


def new_settings(options: TrainOptions) -> RunSettings:
    """Returns the settings of a new run.

    Raises:
      InputError: An unknown recipe, a value out of range, or a path that cannot be recorded.
    """
    options = resolved_options(options)
    recipe = options.apply_to(base_recipe(options))
    return RunSettings(options, recipe, recipe.epochs)


def resolved_options(options: TrainOptions) -> TrainOptions:
    """Returns options with absolute paths and with defaults that do not depend on the recipe.

    Raises:
      InputError: A path cannot be recorded.
    """
    changes: dict[str, Any] = {
        "dataset": absolute_dataset(options.dataset or "shapes"),
        "seed": options.seed or 0,
        "precision": options.precision or "auto",
        "class_weights": options.class_weights or "none",
        "learning_rate_scaling": options.learning_rate_scaling or "none",
    }
    if options.data_dir is not None:
        # `Path.resolve` fails for a link to itself.
        changes["data_dir"] = os.path.realpath(expanded(options.data_dir))
    if options.weights is not None:
        changes["weights"] = str(expanded(options.weights).absolute())
    for name in ("dataset", "data_dir", "weights"):
        if changes.get(name) is not None:
            check_unicode(flag_name(name), changes[name])
    return options.replace(**changes)


def base_recipe(options: TrainOptions) -> Recipe:
    """Returns the recipe that was named or given, or the data set's own, before any option.

    Raises:
      InputError: The recipe is unknown.
    """
    if isinstance(options.recipe, Recipe):
        return options.recipe
    if options.recipe is not None:
        return get_recipe(options.recipe)
    return recipe_for(options.dataset or "shapes")


def resumed_settings(record: RunRecord, given: TrainOptions) -> RunSettings:
    """Returns the settings of a run that resumes: the recorded ones, perhaps with more epochs.

    Options of the process, such as the devices, may be new. Everything else that is given must be
    as it was.

    Args:
      record: The run's record.
      given: The options given now.

    Raises:
      InputError: An option or the recipe differs from the run's; the message names both values.
    """
    if given.dataset is not None:
        given = given.replace(dataset=absolute_dataset(given.dataset))
    given.check_resumes(record.options, record.recipe)
    _check_recipe(record, given.recipe)
    if given.epochs is not None and given.epochs < record.epochs:
        raise InputError(
            f"--epochs {given.epochs} is less than the run's {record.epochs}: a resumed run may "
            "only train for more"
        )
    data_dir = record.options.data_dir
    if given.data_dir is not None:
        data_dir = os.path.realpath(expanded(given.data_dir))
    return RunSettings(
        record.options.replace(data_dir=data_dir),
        record.recipe,
        given.epochs or record.epochs,
    )


def _check_recipe(record: RunRecord, given: str | Recipe | None) -> None:
    """Checks that the recipe given to a resumed run is the run's.

    Raises:
      InputError: It has another name, or the same name and other values; the message names them.
    """
    name = given.name if isinstance(given, Recipe) else given
    if name is not None and name != record.recipe.name:
        raise InputError(
            f"--recipe {name} differs from the run's {record.recipe.name}: resume without it, or "
            "start a new run in another folder"
        )
    if not isinstance(given, Recipe):
        return
    expected = record.options.apply_to(given)
    set_by_weights = _SET_BY_WEIGHTS if record.options.weights is not None else ()
    ignored = {"description", *set_by_weights}
    different = [
        field.name
        for field in dataclasses.fields(Recipe)
        if field.name not in ignored
        and getattr(expected, field.name) != getattr(record.recipe, field.name)
    ]
    if different:
        raise InputError(
            f"the recipe {name} differs from the run's in {', '.join(different)}: resume without "
            "it, or start a new run in another folder"
        )


def absolute_dataset(dataset: str) -> str:
    """Returns a folder's absolute path, or a TFDS name as it is."""
    path = expanded(dataset)
    return str(path.resolve()) if means_folder(dataset) and path.exists() else dataset


def check_unicode(option: str, path: str) -> None:
    """Raises InputError for a path that the run's record, which is UTF-8, cannot hold."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{option} {printable(path)}: the path is not UTF-8 and cannot be recorded: rename it"
        ) from None
