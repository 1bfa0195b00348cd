"""The input normalization: exact, in float32 at every precision, not trained."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.model.layers.inputs import MeanSubtraction

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3))
MEAN = np.random.default_rng(1).uniform(90, 140, (4, 4, 3)).astype(np.float32)


def test_mean_image_is_subtracted_from_pixels_of_any_dtype():
    layer = MeanSubtraction(mean=MEAN)
    for dtype in (np.uint8, np.float32, np.int64):
        result = layer(PIXELS.astype(dtype))
        np.testing.assert_array_equal(result, PIXELS.astype(np.float32) - MEAN)


def test_scale_is_applied_before_the_channels_are_reversed():
    layer = MeanSubtraction(scale=(1.0, 2.0, 3.0), channel_order="bgr", mean=MEAN)
    expected = ((PIXELS - MEAN) * [1, 2, 3])[..., ::-1]
    np.testing.assert_allclose(layer(PIXELS.astype(np.uint8)), expected, rtol=1e-6)


def test_bfloat16_rounds_once_at_the_end():
    layer = MeanSubtraction(mean=MEAN, dtype="mixed_bfloat16")
    expected = tf.cast(PIXELS.astype(np.float32) - MEAN, tf.bfloat16)
    for inputs in (PIXELS.astype(np.uint8), PIXELS.astype(np.float32)):
        result = layer(inputs)
        assert result.dtype == tf.bfloat16
        np.testing.assert_array_equal(result.numpy(), expected.numpy())


def test_mean_is_a_non_trainable_weight():
    layer = MeanSubtraction()
    layer.build((None, 4, 4, 3))
    assert layer.trainable_weights == []
    assert layer.mean.shape == (4, 4, 3)
    np.testing.assert_array_equal(layer(PIXELS.astype(np.uint8)), PIXELS.astype(np.float32))
    layer.set_mean([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(layer.mean.numpy()[2, 1], [1, 2, 3])


def test_layer_is_rebuilt_from_its_config():
    layer = MeanSubtraction((0.5,), "bgr", 256, name="mean")
    copy = MeanSubtraction.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert (copy.scale, copy.channel_order, copy.resize_pixels) == ((0.5,), "bgr", 256)


def test_invalid_arguments_are_rejected():
    with pytest.raises(ValueError, match="channel_order='rbg'"):
        MeanSubtraction(channel_order="rbg")
    with pytest.raises(ValueError, match="channels=3"):
        MeanSubtraction(scale=(1.0, 2.0)).build((None, 4, 4, 3))
    with pytest.raises(ValueError, match=r"shape=\(5, 5, 3\)"):
        MeanSubtraction(mean=np.zeros((5, 5, 3))).build((None, 4, 4, 3))
