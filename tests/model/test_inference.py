"""The compiled forward pass returns the model's probabilities."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.errors import InputError
from alexnet_tf.model.inference import inference_function
from alexnet_tf.model.layers import GroupedConv2D, LocalResponseNormalization
from alexnet_tf.model.layers.compiled import training_kernels
from alexnet_tf.model.networks import build_model


@pytest.fixture(scope="module")
def model():
    network = build_model("shapes", classes=10, mean=[120.0, 110.0, 100.0])
    kernel = network.layers[-2].kernel
    kernel.assign(30 * kernel)  # so that the images get different probabilities
    return network


@pytest.fixture(scope="module")
def images():
    blocks = np.random.default_rng(0).integers(0, 256, (6, 2, 2, 3), np.uint8)
    return blocks.repeat(32, axis=1).repeat(32, axis=2)


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-2), ("float16", 2e-3)]
)
def test_inference_function_matches_the_model(model, images, precision, tolerance):
    expected = model(images.astype(np.float32), training=False).numpy()
    got = inference_function(model, precision)(images)
    assert got.dtype == tf.float32
    np.testing.assert_allclose(got, expected, atol=tolerance)
    assert np.ptp(expected, axis=0).max() > 5 * tolerance


def test_model_keeps_its_weights_and_dtype(model, images):
    before = model.get_weights()
    inference_function(model, "bfloat16")(images)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert {weight.dtype for weight in model.weights} == {"float32"}


def test_exported_graphs_are_not_compiled(model, images):
    inference_function(model)(images)
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(
        tf.TensorSpec((None, 64, 64, 3), tf.float32)
    )
    compiled = [
        f for f in graph.graph.as_graph_def().library.function if "_XlaMustCompile" in f.attr
    ]
    assert not compiled


def test_training_kernels_give_the_output_of_the_formula_and_one_convolution():
    x = np.random.default_rng(0).normal(0, 60, (2, 5, 5, 8)).astype(np.float32)
    for layer in (GroupedConv2D(6, 3, groups=2, padding=1), LocalResponseNormalization(groups=2)):
        expected = layer(x).numpy()
        with training_kernels():
            graph = tf.function(lambda x, layer=layer: layer(x)).get_concrete_function(x).graph
            got = layer(x)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)
        is_convolution = isinstance(layer, GroupedConv2D)
        count = [operation.type for operation in graph.get_operations()].count("Conv2D")
        assert count == is_convolution


def test_unsupported_precision_is_rejected(model):
    with pytest.raises(InputError, match="float64"):
        inference_function(model, "float64")
