"""`paper` and `2012`, layer by layer, against NumPy and SciPy written from the descriptions.

The networks are the recipes' own with fewer channels and units and a smaller input, in float64; the
weights are random and large enough that normalization matters.
"""

import dataclasses

import keras
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import scipy.special

from alexnet_tf.model.networks import build_model
from alexnet_tf.recipes import get_recipe

PIXELS = 70  # conv1's last windows overhang: 1 + ceil((70 - 11) / 4) = 16, one pixel too far
FILTERS = (8, 16, 24, 24, 16)
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


def small(name):
    network = get_recipe(name).network
    convolutions = tuple(
        dataclasses.replace(convolution, filters=filters)
        for convolution, filters in zip(network.convolutions, FILTERS, strict=True)
    )
    changes = {"convolutions": convolutions, "hidden_units": (32, 32), "input_size": PIXELS}
    model = build_model(name, classes=7, dtype="float64", **changes)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.trainable_weights:
            kernel, bias = layer.get_weights()
            std = 1.5 / np.sqrt(np.prod(kernel.shape[:-1]))
            layer.set_weights([rng.normal(0, std, kernel.shape), rng.normal(0, 1, bias.shape)])
    model.get_layer("mean").set_mean(rng.uniform(100, 150, (PIXELS, PIXELS, 3)))
    return model, rng.integers(0, 256, (2, PIXELS, PIXELS, 3)).astype(np.float64)


def convolve(x, weights, pad, stride=1, overhang=0, groups=1):
    """Correlates all channels with each kernel by SciPy, then keeps each stride-th window."""
    kernel, bias = weights
    x = np.pad(x, [(0, 0), (pad, pad + overhang), (pad, pad + overhang), (0, 0)])
    ins, outs = x.shape[-1] // groups, kernel.shape[-1] // groups
    outputs = []
    for o in range(kernel.shape[-1]):
        first = o // outs * ins
        group = x[..., first : first + ins]
        cube = kernel[None, :, :, :, o]
        outputs.append(scipy.signal.correlate(group, cube, "valid", "direct")[..., 0] + bias[o])
    return np.stack(outputs, -1)[:, ::stride, ::stride]


def pool(x):
    """3x3 max pooling at stride 2, whole windows only."""
    rows, columns = ((side - 3) // 2 + 1 for side in x.shape[1:3])
    largest = scipy.ndimage.maximum_filter(x, (1, 3, 3, 1))
    return largest[:, 1::2, 1::2][:, :rows, :columns]


def response_norm(x, alpha, groups):
    """K = 2, n = 5, beta = .75 over the channels of each group."""
    parts = []
    for part in np.split(x, groups, -1):
        sums = scipy.ndimage.correlate1d(part**2, np.ones(5), -1, mode="constant")
        parts.append(part / (2 + alpha * sums) ** 0.75)
    return np.concatenate(parts, -1)


def response_norm_in_map(x):
    """5 x 5, alpha .001 / 25, k = 1, beta = .75 in each channel."""
    sums = scipy.ndimage.correlate(x**2, np.ones((1, 5, 5, 1)), mode="constant")
    return x / (1 + 0.001 / 25 * sums) ** 0.75


def relu(x):
    return np.where(x > 0, x, 0)


def reference(name, weights, mean, image):
    """Every layer's output by its name."""
    run = name == "2012"
    out, x = {}, image

    def put(layer, value):
        nonlocal x
        out[layer] = x = value

    put("mean", image - mean)
    put("conv1", convolve(x, weights["conv1"], 0, stride=4, overhang=1))
    if run:
        put("norm1", response_norm(x, 2e-5, 2))
        put("pool1", pool(x))
        put("relu1", relu(x))
    else:
        put("relu1", relu(x))
        put("norm1", response_norm(x, 1e-4, 1))
        put("pool1", pool(x))
    put("conv2", convolve(x, weights["conv2"], 2, groups=2))
    put("relu2", relu(x))
    put("norm2", response_norm(x, 2e-5 if run else 1e-4, 2 if run else 1))
    if run:
        put("spatial_norm2", response_norm_in_map(x))
    put("pool2", pool(x))
    for layer, groups in (("3", 1), ("4", 2), ("5", 2)):
        put(f"conv{layer}", convolve(x, weights[f"conv{layer}"], 1, groups=groups))
        put(f"relu{layer}", relu(x))
    put("pool5", pool(x))
    put("flatten", x.reshape(len(x), -1))
    for layer in ("6", "7"):
        kernel, bias = weights[f"fc{layer}"]
        put(f"fc{layer}", x @ kernel + bias)
        put(f"relu{layer}", relu(x))
        put(f"dropout{layer}", x * 0.5)
    kernel, bias = weights["fc8"]
    put("fc8", x @ kernel + bias)
    put("prob", scipy.special.softmax(x, -1))
    return out


@pytest.mark.parametrize("name", ["paper", "2012"])
def test_every_layer_matches_the_description(name):
    model, image = small(name)
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    expected = reference(name, weights, weights["mean"][0], image)
    layers = [layer for layer in model.layers if layer.name in expected]
    results = keras.Model(model.input, [layer.output for layer in layers])(image)
    for layer, result in zip(layers, results, strict=True):
        wanted = expected[layer.name]
        if layer.name in ("relu5", "pool5") and name == "2012":
            continue  # pooled before they are rectified there, which gives the same pool
        np.testing.assert_allclose(result, wanted, err_msg=layer.name, **TOLERANCE)
    assert {layer.name for layer in model.layers} == {"image", *expected}
    assert np.abs(expected["fc8"]).std() > 0.1  # not all the same


@pytest.mark.parametrize("name", ["paper", "2012"])
def test_comparison_has_activations_that_lrn_changes(name):
    model, image = small(name)
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    out = reference(name, weights, weights["mean"][0], image)
    before, after = out["conv1" if name == "2012" else "relu1"], out["norm1"]
    weakened = after[before != 0] / before[before != 0]
    assert weakened.min() < 0.9 * 2**-0.75
