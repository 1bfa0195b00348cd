"""Functions that read parts of a built model: class names, logits, features, conv1's kernels."""

from typing import Any

import keras
import numpy as np

from alexnet_tf.model.layers import GroupedConv2D


def class_names(model: keras.Model) -> list[str] | None:
    """Returns the class names of a model in the order of its outputs, or None if it has none."""
    return getattr(model.layers[-1], "class_names", None)


def with_logits(model: keras.Model) -> keras.Model:
    """Returns a model that shares all weights and whose output is the logits before the softmax.

    A cross-entropy computed from logits, cast to float32, keeps digits that one computed from
    probabilities loses.
    """
    return keras.Model(model.input, model.layers[-1].input, name=model.name)


def feature_output(model: keras.Model) -> Any:
    """Returns the output of the last hidden layer, which the paper compares images by (6.1).

    For AlexNet these are the 4096 activations of relu7, before dropout, which at test only scales
    them. A network without hidden layers has the input of its classifier instead.

    Args:
      model: From `build_model` or `load_model`.

    Returns:
      A symbolic tensor [batch, units].
    """
    dense = [i for i, layer in enumerate(model.layers) if isinstance(layer, keras.layers.Dense)]
    between = model.layers[dense[-2] + 1 : dense[-1]] if len(dense) > 1 else []
    for layer in between:
        if isinstance(layer, keras.layers.Activation):
            return layer.output
    return model.layers[dense[-1]].input


def first_kernels(model: keras.Model) -> tuple[np.ndarray, int]:
    """Returns conv1's kernels and the number of groups that they feed.

    In the paper conv1 sees the whole image, but each half of its kernels feeds one of the two
    groups (figure 3). The groups are therefore those of the network: conv1 itself has one.

    Args:
      model: From `build_model` or `load_model`.

    Returns:
      The kernels, float32 [height, width, channels, filters], channels in RGB order even if the
      network computes in BGR; and the number of groups, which divides the filters.

    Raises:
      ValueError: The model has no convolution.
    """
    convolutions = [layer for layer in model.layers if isinstance(layer, GroupedConv2D)]
    if not convolutions:
        raise ValueError(f"The model has no convolution. Received: {model.name}")
    kernels = np.asarray(convolutions[0].kernel, np.float32)
    mean = model.get_layer("mean")
    if mean.channel_order == "bgr":
        kernels = kernels[:, :, ::-1]
    groups = max(convolution.groups for convolution in convolutions)
    return kernels, groups if kernels.shape[-1] % groups == 0 else 1
