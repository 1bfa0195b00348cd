"""The named recipes: `get_recipe("paper")` and its fellows. No TensorFlow."""

import dataclasses

from alexnet_tf import paper
from alexnet_tf.errors import choose
from alexnet_tf.settings import Convolution, Network, Recipe, Schedule

_NORM_POOL = ("activation", "norm", "pool")
_POOL = ("activation", "pool")
_CONV1 = Convolution(96, 11, strides=4, padding="ceil", then=_NORM_POOL)
_CONV2 = Convolution(256, 5, groups=2, then=_NORM_POOL)
_CONV3_TO_5 = (
    Convolution(384, 3),
    Convolution(384, 3, groups=2),
    Convolution(256, 3, groups=2, then=_POOL),
)

_PAPER_NETWORK = Network(
    convolutions=(_CONV1, _CONV2, *_CONV3_TO_5),
    hidden_units=paper.HIDDEN_UNITS,
    input_size=paper.INPUT_PIXELS,
    dropout_style="paper",
)

_RUN_NETWORK = dataclasses.replace(
    _PAPER_NETWORK,
    convolutions=(
        dataclasses.replace(_CONV1, then=("norm", "pool", "activation")),
        dataclasses.replace(_CONV2, then=("activation", "norm", "spatial_norm", "pool")),
        *_CONV3_TO_5,
    ),
    lrn_alpha=paper.RUN_LRN_ALPHA,
    lrn_per_tower=True,
)

_CAFFE_NETWORK = dataclasses.replace(
    _PAPER_NETWORK,
    convolutions=(dataclasses.replace(_CONV1, padding="valid"), _CONV2, *_CONV3_TO_5),
    input_size=227,
    lrn_bias=1.0,
    lrn_alpha=paper.LRN_ALPHA / paper.LRN_N,
    dropout_style="inverted",
    channel_order="bgr",
)

_TORCHVISION_NETWORK = Network(
    convolutions=(
        Convolution(64, 11, strides=4, padding=2, then=_POOL),
        Convolution(192, 5, then=_POOL),
        Convolution(384, 3),
        Convolution(256, 3),
        Convolution(256, 3, then=_POOL),
    ),
    hidden_units=(4096, 4096),
    input_size=224,
    norm="none",
    dropout_at="inputs",
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
    scale=(1 / (0.229 * 255), 1 / (0.224 * 255), 1 / (0.225 * 255)),
)

_FASHION_MNIST_NETWORK = Network(
    convolutions=(
        Convolution(96, 11, strides=4, padding=1, then=_POOL),
        Convolution(256, 5, then=_POOL),
        Convolution(384, 3),
        Convolution(384, 3),
        Convolution(256, 3, then=_POOL),
    ),
    hidden_units=(4096, 4096),
    input_size=224,
    channels=1,
    norm="none",
    mean=(0.0,),
    scale=(1 / 255,),
)

_LENET_NETWORK = Network(
    convolutions=(
        Convolution(6, 5, then=_POOL),
        Convolution(16, 5, padding="valid", then=_POOL),
    ),
    hidden_units=(120, 84),
    input_size=28,
    channels=1,
    activation="sigmoid",
    norm="none",
    pooling="average",
    dropout=0.0,
    mean=(0.0,),
    scale=(1 / 255,),
)

_CIFAR10_NETWORK = Network(
    convolutions=(
        Convolution(64, 5, then=_POOL),
        Convolution(192, 5, then=_POOL),
        Convolution(384, 3),
        Convolution(256, 3),
        Convolution(256, 3, then=_POOL),
    ),
    hidden_units=(4096, 4096),
    input_size=32,
    norm="none",
    dropout_at="inputs",
    mean=(127.5, 127.5, 127.5),
    scale=(1 / 127.5,),
)

# As cuda-convnet's for CIFAR-10 (figure 1, section 3.3), in the paper's order of things: there the
# second and third pooling are averages, and norms come after pooling.
_FOUR_LAYER_NETWORK = Network(
    convolutions=(
        Convolution(32, 5, then=_NORM_POOL),
        Convolution(32, 5, then=_NORM_POOL),
        Convolution(64, 5, then=_POOL),
    ),
    hidden_units=(),
    input_size=32,
    dropout=0.0,
)

# The paper's network made small: five convolutions in two towers, two hidden layers with dropout.
_SMALL_NETWORK = Network(
    convolutions=(
        Convolution(32, 5, then=_NORM_POOL),
        Convolution(64, 5, groups=2, then=_NORM_POOL),
        Convolution(96, 3),
        Convolution(96, 3, groups=2),
        Convolution(64, 3, groups=2, then=_POOL),
    ),
    hidden_units=(256, 256),
    input_size=32,
    dropout_style="paper",
)

_SHAPES_NETWORK = Network(
    convolutions=(
        Convolution(32, 7, strides=2, padding="ceil", then=_NORM_POOL),
        Convolution(64, 5, groups=2, then=_NORM_POOL),
        Convolution(96, 3),
        Convolution(96, 3, groups=2),
        Convolution(64, 3, groups=2, then=_POOL),
    ),
    hidden_units=(256, 256),
    input_size=64,
    dropout_style="paper",
)

_PAPER = Recipe(
    name="paper",
    description="AlexNet and its training as the paper says (90 epochs; days on ImageNet)",
    network=_PAPER_NETWORK,
    epochs=paper.EPOCHS,
    batch_size=paper.BATCH_SIZE,
    learning_rate=paper.LEARNING_RATE,
    init="paper",
)

_RECIPES = (
    Recipe(
        name="shapes",
        description="a small AlexNet for the built-in data set (a minute on 2 cores)",
        network=_SHAPES_NETWORK,
        epochs=10,
        batch_size=64,
        learning_rate=0.01,
        schedule=Schedule(patience_epochs=2),
        resize_pixels=72,
    ),
    _PAPER,
    _PAPER.replace(
        name="2012",
        description="the network and training of the code that made the paper's numbers",
        network=_RUN_NETWORK,
        epochs=paper.RUN_EPOCHS,
        bias_rate_factor=paper.RUN_BIAS_RATE / paper.LEARNING_RATE,
        schedule=Schedule(kind="2012"),
        init="2012",
        lighting_divisor=paper.RUN_LIGHTING_DIVISOR,
    ),
    _PAPER.replace(
        name="photos",
        description="the paper's AlexNet for a folder of photos: starts learning on small sets",
        epochs=30,
        batch_size=32,
        init="stable",
    ),
    _PAPER.replace(
        name="caffe",
        description="BVLC's bvlc_alexnet: 227 pixels, BGR inside, k=1, biases 0.1",
        network=_CAFFE_NETWORK,
        batch_size=256,
        schedule=Schedule(kind="steps", at_epochs=(2 / 9, 4 / 9, 6 / 9, 8 / 9)),
        init="caffe",
        lighting_std=0.0,
    ),
    _PAPER.replace(
        name="torchvision",
        description="torchvision's alexnet (one weird trick, 2014): no norm, no groups",
        network=_TORCHVISION_NETWORK,
        batch_size=32,
        weight_decay=1e-4,
        schedule=Schedule(kind="steps", at_epochs=(1 / 3, 2 / 3)),
        init="torchvision",
        lighting_std=0.0,
    ),
    Recipe(
        name="cifar10",
        description="CIFAR-10 AlexNet, 30 epochs without augmentation: 77.61% published",
        network=_CIFAR10_NETWORK,
        epochs=30,
        batch_size=64,
        learning_rate=0.001,
        weight_decay=0.0,
        schedule=Schedule(kind="constant"),
        init="he",
        resize_pixels=32,
        flip=False,
        lighting_std=0.0,
        hold_out=0.0,
    ),
    Recipe(
        name="cifar10-best",
        description="CIFAR-10 AlexNet as good as we get it: batch norm, augmentation, cosine",
        network=_CIFAR10_NETWORK.replace(
            convolutions=tuple(
                dataclasses.replace(block, then=("norm", *block.then))
                for block in _CIFAR10_NETWORK.convolutions
            ),
            norm="batch",
        ),
        epochs=60,
        batch_size=128,
        learning_rate=0.02,
        schedule=Schedule(kind="cosine"),
        resize_pixels=32,
        pad_pixels=4,
        hold_out=0.0,
    ),
    Recipe(
        name="cifar10-small",
        description="the paper's AlexNet made small for 32 pixels: what the experiments change",
        network=_SMALL_NETWORK,
        epochs=16,
        batch_size=128,
        learning_rate=0.01,
        schedule=Schedule(kind="steps", at_epochs=(0.8,)),
        resize_pixels=32,
        flip=False,
        lighting_std=0.0,
        hold_out=0.0,
    ),
    Recipe(
        name="four-layer",
        description="a four-layer network as in figure 1: three convolutions and a classifier",
        network=_FOUR_LAYER_NETWORK,
        epochs=30,
        batch_size=128,
        learning_rate=0.001,
        schedule=Schedule(kind="steps", at_epochs=(0.8,)),
        resize_pixels=32,
        flip=False,
        lighting_std=0.0,
        hold_out=0.0,
    ),
    Recipe(
        name="fashion-mnist",
        description="Dive into Deep Learning's AlexNet, 10 epochs: 89% test accuracy published",
        network=_FASHION_MNIST_NETWORK,
        epochs=10,
        batch_size=128,
        learning_rate=0.01,
        momentum=0.0,
        weight_decay=0.0,
        schedule=Schedule(kind="constant"),
        init="xavier",
        resize_pixels=224,
        flip=False,
        lighting_std=0.0,
        hold_out=0.0,
    ),
    Recipe(
        name="lenet",
        description="Dive into Deep Learning's LeNet, 10 epochs: 84% on Fashion-MNIST published",
        network=_LENET_NETWORK,
        epochs=10,
        batch_size=256,
        learning_rate=0.9,
        momentum=0.0,
        weight_decay=0.0,
        schedule=Schedule(kind="constant"),
        init="xavier",
        resize_pixels=28,
        flip=False,
        lighting_std=0.0,
        hold_out=0.0,
    ),
)

RECIPES = {recipe.name: recipe for recipe in _RECIPES}
_RECIPE_FOR_DATASET = {
    "shapes": "shapes",
    "cifar10": "cifar10",
    "fashion_mnist": "fashion-mnist",
    "mnist": "lenet",
    "imagenet2012": "paper",
}


def get_recipe(name: str) -> Recipe:
    """Returns the recipe of that name.

    Raises:
      InputError: There is none.
    """
    return RECIPES[choose(name, tuple(RECIPES), "recipe")]


def recipe_for(dataset: str) -> Recipe:
    """Returns the recipe that a data set picks when none is named: `photos` for what is unknown."""
    return RECIPES[_RECIPE_FOR_DATASET.get(dataset.split(":")[0].split("/")[0], "photos")]
