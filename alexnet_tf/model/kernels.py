"""The first convolution's kernels, as pictures need them."""

import keras
import numpy as np

from alexnet_tf.model.grouped_convolution import GroupedConv2D


def first_kernels(model: keras.Model) -> tuple[np.ndarray, int]:
    """Returns conv1's kernels and the towers they belong to.

    In the paper conv1 sees the whole image, but each half of its kernels feeds a tower of its own
    (figure 3): the towers are those of the network, not of conv1.

    Args:
      model: From `build_model` or `load_model`.

    Returns:
      float32 [h, w, c, n] in RGB order, whatever order the network computes in; and the groups,
      which divide n.

    Raises:
      ValueError: The model has no convolution.
    """
    convolutions = [layer for layer in model.layers if isinstance(layer, GroupedConv2D)]
    if not convolutions:
        raise ValueError(f"the model has no convolution. Received: {model.name}")
    kernels = np.asarray(convolutions[0].kernel, np.float32)
    mean = model.get_layer("mean")
    if mean.channel_order == "bgr":
        kernels = kernels[:, :, ::-1]
    groups = max(convolution.groups for convolution in convolutions)
    return kernels, groups if kernels.shape[-1] % groups == 0 else 1
