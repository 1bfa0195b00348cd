"""AlexNet for Keras and TensorFlow.

The names below are loaded when first used: importing the package imports no TensorFlow.
"""

import importlib
from typing import Any

__version__ = "0.2.0"

PUBLIC_NAMES = {
    "GroupedConv2D": "alexnet_tf.model.layers",
    "LocalResponseNormalization": "alexnet_tf.model.layers",
    "SpatialResponseNormalization": "alexnet_tf.model.layers",
    "BatchNormalization": "alexnet_tf.model.layers",
    "MaxPooling2D": "alexnet_tf.model.layers",
    "MeanSubtraction": "alexnet_tf.model.layers",
    "PaperDropout": "alexnet_tf.model.layers",
    "build_model": "alexnet_tf.model.networks",
    "inference_function": "alexnet_tf.model.inference",
    "custom_objects": "alexnet_tf.model.persistence",
    "load_model": "alexnet_tf.model.persistence",
    "save_model": "alexnet_tf.model.persistence",
    "PaperMomentum": "alexnet_tf.training.optimizers",
    "train": "alexnet_tf.training.train",
    "evaluate": "alexnet_tf.evaluation.evaluate",
    "evaluate_ensemble": "alexnet_tf.evaluation.ensemble",
    "train_seeds": "alexnet_tf.training.seeds",
    "open_classifier": "alexnet_tf.evaluation.classifiers",
    "predict": "alexnet_tf.evaluation.predict",
    "open_index": "alexnet_tf.evaluation.features",
    "nearest": "alexnet_tf.evaluation.similarity",
    "import_weights": "alexnet_tf.model.weight_files.import_weights",
    "get_recipe": "alexnet_tf.recipes",
    "InputError": "alexnet_tf.errors",
    "TrainOptions": "alexnet_tf.train_options",
}

__all__ = ["__version__", *PUBLIC_NAMES]


def __getattr__(name: str) -> Any:
    """Loads a public name from where it lives."""
    if name not in PUBLIC_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(PUBLIC_NAMES[name]), name)


def __dir__() -> list[str]:
    """Lists the public names."""
    return sorted(__all__)
