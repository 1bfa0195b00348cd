"""Fine-tuning: a run that starts from trained weights, its classifier new (as in section 6)."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import keras

from alexnet_tf.errors import InputError, choose
from alexnet_tf.evaluation.subject import resized_pixels
from alexnet_tf.model.inspection import class_names
from alexnet_tf.model.persistence import load_model
from alexnet_tf.model.transfer import copy_weights, network_of
from alexnet_tf.runs import model_file
from alexnet_tf.training.options import RunOptions, check_unicode

# A new classifier has ten times the rate of the layers that have learned already; it has the
# recipe's, so that theirs is a tenth of it.
RATE_FACTOR = 10.0
_FIXED = ("activation", "norm", "pooling")  # part of what the weights were trained in


class StartingWeights:
    """Weights to start from.

    Args:
      path: A `.keras` file, or a run's folder: its best model.

    Raises:
      InputError: It cannot be read as a model of this package.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        given = Path(path)
        self.path = model_file(given) if given.is_dir() else given
        if self.path.suffix != ".keras":
            raise InputError(
                f"--weights {given}: expected a .keras file or a run's folder; import-weights "
                "makes a .keras file of others' weights"
            )
        check_unicode("--weights", str(self.path.absolute()))
        self._model: keras.Model = load_model(self.path)

    def options(self, asked: RunOptions, freeze: Sequence[str]) -> RunOptions:
        """Returns a new run's options with the weights' network in place of the recipe's.

        Args:
          asked: What was asked of the run.
          freeze: Layers that are not to move, such as "conv1".

        Raises:
          InputError: A change of the network was asked for, or there is no such layer to freeze.
        """
        for name in _FIXED:
            if name in asked.overrides:
                raise InputError(
                    f"--{name} changes the network that --weights brings: leave one of them out"
                )
        network = network_of(self._model)
        if "dropout" in asked.overrides:
            network = network.replace(dropout=asked.overrides["dropout"])
        layers = [f"conv{i + 1}" for i in range(len(network.convolutions))]
        layers += [f"fc{len(layers) + i + 1}" for i in range(len(network.hidden_units))]
        for name in freeze:
            choose(name, layers, "layer to --freeze")
        recipe = dataclasses.replace(
            asked.recipe,
            network=network,
            resize_pixels=resized_pixels(self._model),
            frozen_layers=tuple(freeze),
        )
        if "learning_rate" not in asked.overrides:
            recipe = recipe.replace(learning_rate=recipe.learning_rate / RATE_FACTOR)
        # In full: a run killed before its first checkpoint takes them again, from any folder.
        overrides = {**asked.overrides, "weights": str(self.path.absolute())}
        if freeze:
            overrides["freeze"] = ",".join(freeze)
        return dataclasses.replace(asked, recipe=recipe, overrides=overrides)

    def fits(self, options: RunOptions) -> bool:
        """Returns whether a run with these options can have begun with these weights."""
        network = network_of(self._model).replace(dropout=options.recipe.network.dropout)
        return network == options.recipe.network

    def has_classes(self, names: Sequence[str]) -> bool:
        """Returns whether the weights' classifier tells the same classes apart, in the same order.

        Such a classifier is kept.
        """
        return tuple(class_names(self._model) or ()) == tuple(names)

    def with_rates(self, options: RunOptions, names: Sequence[str]) -> RunOptions:
        """Returns the options with the rate of a new classifier, where there is to be one."""
        factor = 1.0 if self.has_classes(names) else RATE_FACTOR
        recipe = dataclasses.replace(options.recipe, classifier_learning_rate_factor=factor)
        return dataclasses.replace(options, recipe=recipe)

    def copy_to(self, model: keras.Model, names: Sequence[str]) -> None:
        """Copies the weights into a new model for the classes of these names."""
        copy_weights(self._model, model, classifier=self.has_classes(names))
