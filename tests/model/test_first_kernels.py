"""The kernels of conv1 and their groups."""

import keras
import numpy as np
import pytest

from alexnet_tf.model.inspection import first_kernels
from alexnet_tf.model.networks import build_model
from alexnet_tf.settings import Convolution, Network

NETWORK = Network(
    convolutions=(Convolution(4, 3, strides=2), Convolution(4, 3, groups=2)),
    hidden_units=(),
    input_size=9,
    norm="none",
)


def test_first_kernels_have_the_groups_of_the_network():
    model = build_model(NETWORK, classes=2)
    kernels, groups = first_kernels(model)
    assert groups == 2
    np.testing.assert_array_equal(kernels, model.get_layer("conv1").kernel)
    assert first_kernels(build_model(NETWORK.replace(groups=1), classes=2))[1] == 1


def test_first_kernels_of_a_bgr_network_are_in_rgb_order():
    model = build_model(NETWORK, classes=2, channel_order="bgr")
    kernels, _ = first_kernels(model)
    np.testing.assert_array_equal(kernels[:, :, 0], model.get_layer("conv1").kernel[:, :, 2])


def test_model_without_convolutions_is_rejected():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="no convolution"):
        first_kernels(model)
