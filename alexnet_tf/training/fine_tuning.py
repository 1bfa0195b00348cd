"""Fine-tuning: a run that starts from trained weights, with a new classifier (section 6)."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from alexnet_tf.data.classes import match_classes
from alexnet_tf.errors import InputError, choose
from alexnet_tf.evaluation.classifiers import resized_pixels
from alexnet_tf.files import check_utf8_path
from alexnet_tf.model.inspection import class_names, network_of
from alexnet_tf.model.persistence import copy_weights, load_model
from alexnet_tf.runs import model_file
from alexnet_tf.training.run_settings import RunSettings

# A new classifier has the recipe's learning rate, and the trained layers have a tenth of it.
_CLASSIFIER_FACTOR = 10.0
_FIXED = ("activation", "norm", "pooling")  # the weights were trained with them


class StartingWeights:
    """Trained weights that a run starts from: a `.keras` file, or a run folder's best model.

    Raises InputError if the file is not a model of this package.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        given = Path(path)
        self.path = model_file(given) if given.is_dir() else given
        if self.path.suffix != ".keras":
            raise InputError(
                f"--weights {given} is not a .keras file or a run folder: convert other formats "
                "with import-weights"
            )
        check_utf8_path(self.path.absolute(), "--weights")
        self._model: keras.Model = load_model(self.path)

    def settings(self, given: RunSettings) -> RunSettings:
        """Returns a new run's settings with the network of the weights.

        The learning rate becomes a tenth of the recipe's, unless one was given.

        Raises:
          InputError: An option changes the network, or a layer to freeze does not exist.
        """
        options = given.options
        for name in _FIXED:
            if getattr(options, name) is not None:
                raise InputError(
                    f"--{name} and --weights both set the network: give only one of them"
                )
        network = network_of(self._model)
        if options.dropout is not None:
            network = network.replace(dropout=options.dropout)
        layers = [f"conv{i + 1}" for i in range(len(network.convolutions))]
        layers += [f"fc{len(layers) + i + 1}" for i in range(len(network.hidden_units))]
        for name in options.freeze or ():
            choose(name, layers, "layer to --freeze")
        recipe = given.recipe.replace(
            network=network,
            resize_pixels=resized_pixels(self._model),
            frozen_layers=options.freeze or (),
        )
        if options.learning_rate is None:
            recipe = recipe.replace(learning_rate=recipe.learning_rate / _CLASSIFIER_FACTOR)
        # The absolute path: a run killed before its first checkpoint restarts from it.
        options = options.replace(weights=str(self.path.absolute()))
        return dataclasses.replace(given, options=options, recipe=recipe)

    def fits(self, settings: RunSettings) -> bool:
        """Returns whether a run with these settings can have started from these weights."""
        network = network_of(self._model).replace(dropout=settings.recipe.network.dropout)
        return network == settings.recipe.network

    def for_classes(self, settings: RunSettings, names: Sequence[str]) -> tuple[RunSettings, str]:
        """Returns settings with the classifier's learning rate factor, and a message about it."""
        if self._match(names) is not None:
            factor = 1.0
            message = f"keeping the trained classifier of {self.path}: it has the same classes"
        else:
            factor, outputs = _CLASSIFIER_FACTOR, int(self._model.output_shape[-1])
            message = (
                f"replacing the trained classifier of {self.path} ({outputs} classes) by a new one "
                f"for the {len(names)} classes of the data set"
            )
        recipe = settings.recipe.replace(classifier_learning_rate_factor=factor)
        return dataclasses.replace(settings, recipe=recipe), message

    def copy_to(self, model: keras.Model, names: Sequence[str]) -> None:
        """Copies the weights into a new model for the classes of these names."""
        copy_weights(self._model, model, classes=self._match(names))

    def _match(self, names: Sequence[str]) -> np.ndarray | None:
        """Returns the class number of the weights for each name; None if the classes differ."""
        own = class_names(self._model)
        return None if own is None else match_classes(own, names)
