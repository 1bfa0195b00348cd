"""TensorFlow's own kernels, which GPUs use, give the values and gradients of the CPU's path."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf as an
from alexnet_tf.model.inference import inference_function
from alexnet_tf.model.layers.compiled import native_kernels, uses_native_kernels


def values_and_gradients(layer, inputs, native):
    """The outputs of a layer in training, then the gradients of their weighted sum."""
    inputs = tf.constant(inputs, layer.compute_dtype)
    with native_kernels(native), tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
        weights = np.random.default_rng(1).normal(size=outputs.shape)
        total = tf.reduce_sum(tf.cast(outputs, tf.float32) * tf.constant(weights, tf.float32))
    gradients = tape.gradient(total, [inputs, *layer.trainable_variables])
    return [tf.cast(value, tf.float32).numpy() for value in (outputs, *gradients)]


LAYERS = {
    "norm": lambda dtype: an.LocalResponseNormalization(alpha=0.1, dtype=dtype),
    "norm of groups": lambda dtype: an.LocalResponseNormalization(alpha=0.1, groups=2, dtype=dtype),
    "grouped convolution": lambda dtype: an.GroupedConv2D(6, 3, groups=2, padding=1, dtype=dtype),
    "strided convolution": lambda dtype: an.GroupedConv2D(6, 3, 2, padding="ceil", dtype=dtype),
    "pooling": lambda dtype: an.MaxPooling2D(3, 2, dtype=dtype),
    "mean": lambda dtype: an.MeanSubtraction((0.5,), mean=3.0, dtype=dtype),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 2e-2)])
def test_layer_computes_the_same_with_native_kernels(name, dtype, tolerance):
    keras.utils.set_random_seed(0)
    layer = LAYERS[name](dtype)
    inputs = np.random.default_rng(0).normal(0, 3, (2, 9, 7, 4)).astype(np.float32)
    ours, theirs = (values_and_gradients(layer, inputs, native) for native in (True, False))
    assert len(ours) == (4 if "conv" in name else 2)
    for native, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(native, other, atol=tolerance * np.abs(other).max())


def test_float16_normalization_does_not_overflow_with_native_kernels():
    layer = an.LocalResponseNormalization(dtype="float16")
    inputs = np.full((1, 2, 2, 5), 500.0, np.float16)  # 500 squared is not a float16
    with native_kernels():
        outputs = layer(inputs).numpy()
    sums = 500.0**2 * np.array([3, 4, 5, 4, 3])  # channels in the window
    np.testing.assert_allclose(outputs[0, 0, 0], 500 * (2 + 1e-4 * sums) ** -0.75, rtol=1e-3)


def operations(layer, channels=4, **scope):
    """The types of the operations in a layer's graph of training."""
    with native_kernels(**scope):
        function = tf.function(lambda x: layer(x, training=True))
        graph = function.get_concrete_function(tf.TensorSpec((2, 9, 9, channels))).graph
    return [operation.type for operation in graph.get_operations()]


@pytest.mark.parametrize("native", [False, True])
def test_grouped_convolution_is_one_operation_in_training(native):
    assert operations(an.GroupedConv2D(6, 3, groups=2), native=native).count("Conv2D") == 1


def test_dilated_groups_are_one_operation_only_with_native_kernels():
    layer = an.GroupedConv2D(6, 3, groups=2, dilation_rate=2)
    assert operations(layer).count("Conv2D") == 1
    assert operations(layer, native=False).count("Conv2D") == 2


@pytest.mark.parametrize(
    ("arguments", "is_native"),
    [
        ({}, True),
        ({"depth_radius": 7}, True),
        ({"depth_radius": 8}, False),  # 17 channels: cuDNN sums over at most 16
        ({"bias": 1e-6}, False),
        ({"beta": 0.001}, False),
        ({"dtype": "float64"}, False),
    ],
)
def test_normalization_beyond_the_limits_of_cudnn_does_not_use_its_kernel(arguments, is_native):
    layer = an.LocalResponseNormalization(**arguments)
    assert operations(layer).count("LRN") == is_native


def test_inner_scope_keeps_native_kernels_and_the_outer_one_ends_them():
    with native_kernels():
        with native_kernels(False):
            assert uses_native_kernels()  # of the outer scope
        assert uses_native_kernels()
    assert not uses_native_kernels()


def test_inference_on_gpus_uses_native_kernels_alone(monkeypatch):
    model = an.build_model("shapes", classes=3)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    expected = inference_function(model)(images)
    listed = tf.config.list_logical_devices
    gpu = tf.config.LogicalDevice("/device:GPU:0", "GPU")
    monkeypatch.setattr(
        "tensorflow.config.list_logical_devices",
        lambda kind=None: [gpu] if kind == "GPU" else listed(kind),
    )
    infer = inference_function(model)
    np.testing.assert_allclose(infer(images), expected, rtol=1e-4)
    functions = infer.get_concrete_function(images).graph.as_graph_def().library.function
    assert not any("_XlaMustCompile" in function.attr for function in functions)
