"""The softmax is computed in float32 and carries the class names."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from alexnet_tf.model.inspection import class_names
from alexnet_tf.model.layers import Probabilities
from alexnet_tf.model.networks import build_model


def test_softmax_in_float32_from_bfloat16():
    scores = tf.constant([[1000.0, 1001.0, -1000.0], [0.0, 0.0, 0.0]], tf.bfloat16)
    result = Probabilities(dtype="mixed_bfloat16")(scores)
    assert result.dtype == tf.float32
    expected = scipy.special.softmax(np.float32(scores), -1)
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_class_names_are_stored_and_counted():
    layer = Probabilities(["cat", "dog"], name="prob")
    assert Probabilities.from_config(layer.get_config()).class_names == ["cat", "dog"]
    with pytest.raises(ValueError, match="class_names=2, classes=3"):
        layer(np.zeros((1, 3), np.float32))


def test_class_names_of_a_model():
    names = ["cat", "dog", "emu"]
    assert class_names(build_model("lenet", class_names=names)) == names
    assert class_names(build_model("lenet", classes=3)) is None
