"""The builder: shapes and names of each recipe, changes by the user, invalid arguments."""

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from logits import with_logits

from alexnet_tf.errors import InputError
from alexnet_tf.model.networks import build_model
from alexnet_tf.network_settings import Convolution, Network
from alexnet_tf.recipes import RECIPES, get_recipe
from alexnet_tf.settings import INITS

SMALL = {
    "convolutions": (
        Convolution(8, 5, strides=2, padding="ceil", then=("activation", "norm", "pool")),
        Convolution(16, 3, groups=2, then=("activation", "norm", "spatial_norm", "pool")),
    ),
    "hidden_units": (16,),
    "input_size": 32,
}


def small(**changes):
    return build_model("paper", **{"classes": 5, "seed": 1, **SMALL, **changes})


def names(model):
    return [layer.name for layer in model.layers]


def test_layer_names_and_order_follow_the_paper():
    network = get_recipe("shapes").network
    assert names(build_model(network, classes=3)) == [
        "image",
        "mean",
        "conv1",
        "relu1",
        "norm1",
        "pool1",
        "conv2",
        "relu2",
        "norm2",
        "pool2",
        "conv3",
        "relu3",
        "conv4",
        "relu4",
        "conv5",
        "relu5",
        "pool5",
        "flatten",
        "fc6",
        "relu6",
        "dropout6",
        "fc7",
        "relu7",
        "dropout7",
        "fc8",
        "prob",
    ]


def test_layers_are_numbered_consecutively_in_smaller_networks():
    assert names(build_model("lenet", classes=10)) == [
        "image",
        "mean",
        "conv1",
        "sigmoid1",
        "pool1",
        "conv2",
        "sigmoid2",
        "pool2",
        "flatten",
        "fc3",
        "sigmoid3",
        "fc4",
        "sigmoid4",
        "fc5",
        "prob",
    ]


def test_dropout_precedes_the_layer_whose_inputs_it_drops():
    order = names(build_model("cifar10", classes=10, hidden_units=(8, 8)))
    assert order[order.index("flatten") :] == [
        "flatten",
        "dropout6",
        "fc6",
        "relu6",
        "dropout7",
        "fc7",
        "relu7",
        "fc8",
        "prob",
    ]


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_dropout_is_unscaled_in_the_papers_networks_and_inverted_in_others(recipe):
    kinds = {type(x).__name__ for x in build_model(recipe, classes=3, hidden_units=(8, 8)).layers}
    papers = ("paper", "2012", "photos", "shapes", "cifar10-small")
    wanted = "PaperDropout" if recipe in papers else None
    wanted = wanted or (None if recipe in ("lenet", "four-layer") else "InvertedDropout")
    assert {kind for kind in kinds if "Dropout" in kind} == ({wanted} if wanted else set())


@pytest.mark.parametrize(
    ("recipe", "shapes"),
    [
        ("fashion-mnist", {"conv1": (54, 54, 96), "pool1": 26, "pool2": 12, "flatten": 6400}),
        ("cifar10", {"conv1": (32, 32, 64), "pool1": 15, "pool2": 7, "pool5": 3, "flatten": 2304}),
        ("lenet", {"conv1": (28, 28, 6), "pool1": 14, "pool2": 5, "flatten": 400}),
        ("caffe", {"conv1": (55, 55, 96), "pool1": 27, "pool2": 13, "pool5": 6, "flatten": 9216}),
    ],
)
def test_shapes_match_the_published_ones(recipe, shapes):
    model = build_model(recipe, classes=10, hidden_units=(8, 8))
    for name, shape in shapes.items():
        output = tuple(model.get_layer(name).output.shape[1:])
        assert output == shape or output[0] == shape, name


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_recipe_returns_probabilities_for_any_number_of_classes(recipe):
    model = build_model(recipe, classes=3, hidden_units=(8, 8))
    network = RECIPES[recipe].network
    shape = (2, network.input_size, network.input_size, network.channels)
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    y = model(images).numpy()
    assert (y.shape, y.dtype) == ((2, 3), np.float32)
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-5)
    assert model.get_layer("mean").resize_pixels == RECIPES[recipe].resize_pixels


@pytest.mark.parametrize("recipe", ["paper", "torchvision", "caffe"])
def test_gray_input_is_built_with_the_option_channels(recipe):
    model = build_model(recipe, classes=3, hidden_units=(8,), channels=1)
    size = model.input_shape[1]
    assert model(np.full((1, size, size, 1), 7, np.uint8)).shape == (1, 3)


def test_options_change_the_layers():
    model = small(activation="tanh", norm="batch", pooling="plain", dropout=0.0, groups=1)
    assert "tanh1" in names(model)
    assert type(model.get_layer("norm1")).__name__ == "BatchNormalization"
    assert model.get_layer("pool1").pool_size == (2, 2)
    assert model.get_layer("conv2").groups == 1
    assert not [name for name in names(model) if name.startswith(("dropout", "spatial"))]
    assert "spatial_norm2" in names(small())
    plain = names(small(norm="none"))
    assert not [name for name in plain if "norm" in name]
    assert type(small(pooling="average").get_layer("pool1")).__name__ == "AveragePooling2D"


def test_training_updates_the_moving_averages():
    model = small(norm="batch")
    model(np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)), training=True)
    assert np.abs(model.get_layer("norm1").moving_mean).max() > 0


@pytest.mark.parametrize("init", INITS)
def test_weights_are_a_function_of_the_seed(init):
    one, same, other = small(init=init), small(init=init), small(init=init, seed=2)
    for a, b in zip(one.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (one.get_layer("conv1").kernel.numpy() != other.get_layer("conv1").kernel.numpy()).all()


def test_mean_is_the_central_part_of_the_mean_image():
    image = np.random.default_rng(0).uniform(0, 255, (40, 40, 3)).astype(np.float32)
    model = small(mean=image)
    np.testing.assert_array_equal(model.get_layer("mean").mean, image[4:36, 4:36])
    per_channel = small(mean=[1.0, 2.0, 3.0]).get_layer("mean").mean.numpy()
    np.testing.assert_array_equal(per_channel[5, 7], [1, 2, 3])


def test_torchvision_and_caffe_normalize_like_the_originals():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 227, 227, 3)).astype(np.float64)
    torchvision = build_model("torchvision", classes=2, hidden_units=(2,), dtype="float64")
    expected = (pixels[:, :224, :224] / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    result = torchvision.get_layer("mean")(pixels[:, :224, :224])
    np.testing.assert_allclose(result, expected, atol=1e-5)
    caffe = build_model("caffe", classes=2, hidden_units=(2,), mean=[123.0, 117.0, 104.0])
    bgr = pixels[..., ::-1] - [104.0, 117.0, 123.0]
    np.testing.assert_array_equal(caffe.get_layer("mean")(pixels), bgr.astype(np.float32))


def test_resize_pixels_follow_the_input_size():
    assert small().get_layer("mean").resize_pixels == round(256 * 32 / 224)
    assert small(resize_pixels=50).get_layer("mean").resize_pixels == 50
    assert build_model(Network(**SMALL), classes=2).get_layer("mean").resize_pixels == 32


def loss_and_gradients(model, images, labels):
    with tf.GradientTape() as tape:
        logits = tf.cast(with_logits(model)(images), tf.float32)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    return float(loss), tape.gradient(loss, model.trainable_variables)


@pytest.mark.parametrize("recipe", ["shapes", "2012"])
@pytest.mark.parametrize(
    ("smooth", "bound"),
    [
        ({"activation": "tanh", "pooling": "average"}, 0.05),
        # Rounding by 1 in 256 turns some rectifiers on or off and moves some maxima. A share f of
        # them costs sqrt(f) of the gradient, in every layer on its way.
        ({}, 0.35),
    ],
)
def test_bfloat16_agrees_with_float32(recipe, smooth, bound):
    changes = {"init": "stable", "classes": 5, "hidden_units": (64, 64), "input_size": 80, **smooth}
    exact = build_model(recipe, **changes)
    close = build_model(recipe, dtype="mixed_bfloat16", **changes)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 8)
    # Smooth, as photos are: the gradients of white noise are small sums of large terms.
    images = scipy.ndimage.gaussian_filter(rng.normal(size=(8, 80, 80, 3)), (0, 8, 8, 0))
    images = (60 * images / images.std()).astype(np.float32)
    loss, gradients = loss_and_gradients(exact, images, labels)
    loss16, gradients16 = loss_and_gradients(close, images, labels)
    assert close(images).dtype == tf.float32
    assert close.get_layer("conv2").output.dtype == "bfloat16"
    assert loss16 == pytest.approx(loss, rel=0.01)
    for weight, gradient, gradient16 in zip(
        exact.trainable_variables, gradients, gradients16, strict=True
    ):
        error = np.linalg.norm(gradient - gradient16) / np.linalg.norm(gradient)
        assert error < bound, weight.path


def test_model_fit_reduces_the_loss():
    # Without dropout, whose masks differ from run to run outside of our own loop.
    model = small(init="stable", dtype="mixed_bfloat16", dropout=0.0)
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    history = model.fit(images, np.arange(8) % 5, epochs=30, verbose=0).history["loss"]
    assert history[-1] < history[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "swish"}, "unknown activation 'swish'"),
        ({"init": "zeros"}, "unknown init 'zeros'"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
        ({"depth": 3}, "unknown network option depth"),
        ({"classes": 1}, "classes must be at least 2. Received: 1"),
        ({"class_names": ["a"], "classes": 5}, "1 class names for 5 classes"),
        ({"mean": np.zeros((31, 31, 3))}, r"p at least 32.*Received: shape \(31, 31, 3\)"),
        ({"mean": "median"}, "'median'"),
        ({"scale": (1.0, 2.0)}, "scale must have one value or one per channel"),
        ({"groups": 3}, "conv2: groups=3 does not divide 8 channels"),
        ({"groups": 0}, "conv2: groups=0 does not divide 8 channels"),
    ],
)
def test_invalid_arguments_are_rejected(arguments, message):
    if isinstance(arguments.get("mean"), str):
        network = Network(**SMALL, mean=arguments["mean"])
        with pytest.raises(InputError, match=message):
            build_model(network, classes=2)
        return
    with pytest.raises(InputError, match=message):
        small(**arguments)


def test_mean_for_a_network_with_a_fixed_mean_is_rejected():
    with pytest.raises(InputError, match="mean must be None"):
        build_model("cifar10", classes=10, mean=np.zeros((32, 32, 3)))


@pytest.mark.parametrize("recipe", ["paper", "2012", "caffe", "torchvision", "fashion-mnist"])
def test_input_that_is_too_small_is_rejected_with_the_smallest_size(recipe):
    with pytest.raises(InputError, match="too small") as error:
        build_model(recipe, classes=2, input_size=40, hidden_units=(2,))
    smallest = int(str(error.value).split("at least ")[1].split()[0])
    assert build_model(recipe, classes=2, input_size=smallest, hidden_units=(2,))
    with pytest.raises(InputError, match=f"at least {smallest} pixels"):
        build_model(recipe, classes=2, input_size=smallest - 1, hidden_units=(2,))
