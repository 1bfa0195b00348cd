"""The last hidden layer, which the paper compares images by (section 6.1)."""

from typing import Any

import keras


def feature_output(model: keras.Model) -> Any:
    """Returns the tensor [batch, units] of the last hidden layer after its activation.

    For AlexNet the 4096 numbers of relu7: before dropout, which at test is a factor at most. A
    network without hidden layers gives what goes into its classifier.

    Args:
      model: From `build_model` or `load_model`.
    """
    dense = [i for i, layer in enumerate(model.layers) if isinstance(layer, keras.layers.Dense)]
    between = model.layers[dense[-2] + 1 : dense[-1]] if len(dense) > 1 else []
    for layer in between:
        if isinstance(layer, keras.layers.Activation):
            return layer.output
    return model.layers[dense[-1]].input
