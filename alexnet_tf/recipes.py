"""The named recipes, such as `get_recipe("paper")`. No TensorFlow.

The comment above a recipe has its command, the time that it took on two cores with bfloat16, and
the result; docs/results.md has the conditions. Nobody here has trained a recipe on ImageNet: for
these the comment has the published top-1 and top-5 accuracy, with the center crop.
"""

import dataclasses
from pathlib import Path

from alexnet_tf import architectures, paper
from alexnet_tf.errors import choose
from alexnet_tf.settings import Recipe, Schedule

# python cli.py train --dataset imagenet2012
# Published: 59.3%, 81.8% with ten crops (table 2: errors of 40.7%, 18.2%). Time not measured.
_PAPER = Recipe(
    name="paper",
    description="AlexNet and its training as in the paper (90 epochs; days on ImageNet)",
    network=architectures.PAPER_NETWORK,
    epochs=paper.EPOCHS,
    batch_size=paper.BATCH_SIZE,
    learning_rate=paper.LEARNING_RATE,
    init="paper",
)

# python cli.py train --dataset imagenet2012 --recipe two-gpu --devices 0,1
# Neither time nor accuracy measured; no accuracy is published.
_TWO_GPU = _PAPER.replace(
    name="two-gpu",
    description="AlexNet without groups, as PyTorch tutorials train it on two GPUs",
    network=architectures.TWO_GPU_NETWORK,
    schedule=Schedule(kind="steps", at_epochs=(30 / 90, 60 / 90, 80 / 90)),
    init="normal",
    label_smoothing=0.1,
    crop="random-resized",
)

# python cli.py train --dataset cifar10 --recipe cifar10-small --limit-train 10000
# Measured: 62.7% of 10,000 test images, mean of 3 seeds; about 3 minutes a seed.
_SMALL = Recipe(
    name="cifar10-small",
    description="a small AlexNet for 32 pixels: the baseline of the experiments",
    network=architectures.SMALL_NETWORK,
    epochs=16,
    batch_size=128,
    learning_rate=0.01,
    schedule=Schedule(kind="steps", at_epochs=(0.8,)),
    resize_pixels=32,
    flip=False,
    lighting_std=0.0,
    hold_out=0.0,
)

# python cli.py train --dataset fashion_mnist
# Measured: 88.0% of the test images after about 3 hours; 91.9% with --momentum 0.9.
_BOOK = Recipe(
    name="fashion-mnist",
    description="Dive into Deep Learning's AlexNet, 10 epochs: 89% test accuracy expected",
    network=architectures.FASHION_MNIST_NETWORK,
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
)

_RECIPES = (
    # python cli.py train
    # Measured: 99.9% of 1,000 validation images after a minute.
    Recipe(
        name="shapes",
        description="a small AlexNet for the built-in data set (a minute on 2 cores)",
        network=architectures.SHAPES_NETWORK,
        epochs=10,
        batch_size=64,
        learning_rate=0.01,
        schedule=Schedule(patience_epochs=2),
        resize_pixels=72,
    ),
    _PAPER,
    # python cli.py train --dataset imagenet2012 --recipe 2012
    # Published as for `paper`. Time not measured.
    _PAPER.replace(
        name="2012",
        description="the network and training of the released code behind the paper's results",
        network=architectures.RUN_NETWORK,
        epochs=paper.RUN_EPOCHS,
        bias_learning_rate_factor=paper.RUN_BIAS_LEARNING_RATE / paper.LEARNING_RATE,
        schedule=Schedule(kind="2012"),
        init="2012",
        lighting_divisor=paper.RUN_LIGHTING_DIVISOR,
    ),
    # python cli.py train --dataset PHOTOS
    # Measured: 58.0% of 150 photos in five classes, from 400 photos in 10 epochs. Fewer errors
    # come from pretrained weights: `import-weights torchvision`, then --weights.
    _PAPER.replace(
        name="photos",
        description="the paper's AlexNet for a folder of photos: starts learning on small sets",
        epochs=30,
        batch_size=32,
        init="stable",
    ),
    # python cli.py train --dataset imagenet2012 --recipe caffe
    # Published: 57.1%, 80.2%. Time not measured.
    _PAPER.replace(
        name="caffe",
        description="BVLC's bvlc_alexnet: 227 pixels, BGR inside, k=1, biases 0.1",
        network=architectures.CAFFE_NETWORK,
        batch_size=256,
        schedule=Schedule(kind="steps", at_epochs=(2 / 9, 4 / 9, 6 / 9, 8 / 9)),
        init="caffe",
        lighting_std=0.0,
    ),
    # python cli.py train --dataset imagenet2012 --recipe torchvision
    # Published: 56.5%, 79.1%. Time not measured.
    _PAPER.replace(
        name="torchvision",
        description="torchvision's alexnet (one weird trick, 2014): no norm, no groups",
        network=architectures.TORCHVISION_NETWORK,
        batch_size=32,
        weight_decay=1e-4,
        schedule=Schedule(kind="steps", at_epochs=(1 / 3, 2 / 3)),
        init="torchvision",
        lighting_std=0.0,
    ),
    _TWO_GPU,
    # python cli.py train --dataset imagenet2012 --recipe article
    # Neither time nor accuracy measured; no accuracy is published.
    _TWO_GPU.replace(
        name="article",
        description="two-gpu with the paper's two groups; learning rate divided every 30 epochs",
        network=architectures.ARTICLE_NETWORK,
        schedule=Schedule(kind="steps", at_epochs=(30 / 90, 60 / 90)),
    ),
    # python cli.py train --dataset cifar10
    # Measured: 78.7% of the test images after 71 minutes; published 77.6%.
    Recipe(
        name="cifar10",
        description="CIFAR-10 AlexNet, 30 epochs without augmentation: 77.61% published",
        network=architectures.CIFAR10_NETWORK,
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
    # python cli.py train --dataset cifar10 --recipe cifar10-best
    # Measured: 90.8% of the test images after 6.2 hours, on one core for most of the time.
    Recipe(
        name="cifar10-best",
        description="our most accurate CIFAR-10 AlexNet: batch norm, augmentation, cosine",
        network=architectures.CIFAR10_NETWORK.replace(
            convolutions=tuple(
                dataclasses.replace(block, then=("norm", *block.then))
                for block in architectures.CIFAR10_NETWORK.convolutions
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
    _SMALL,
    # python cli.py train --dataset cifar10 --recipe four-layer
    # Measured: see the experiment relu-vs-tanh, which measures epochs instead of accuracy.
    _SMALL.replace(
        name="four-layer",
        description="a four-layer network as in figure 1: three convolutions and a classifier",
        network=architectures.FOUR_LAYER_NETWORK,
        epochs=30,
        learning_rate=0.001,
    ),
    _BOOK,
    # python cli.py train --dataset fashion_mnist --recipe lenet
    # Measured: 80.3% of the test images, mean of 3 seeds, in under a minute a seed; 84.0% with
    # --init stable.
    _BOOK.replace(
        name="lenet",
        description="Dive into Deep Learning's LeNet, 10 epochs: 84% on Fashion-MNIST expected",
        network=architectures.LENET_NETWORK,
        batch_size=256,
        learning_rate=0.9,
        resize_pixels=28,
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
    """Returns the recipe with the given name.

    Args:
      name: Such as "paper"; `alexnet-tf summary --help` lists all.

    Returns:
      The network, the augmentation and the schedule; immutable, `replace` returns a copy.

    Raises:
      InputError: The recipe does not exist.

    Examples:
      >>> an.get_recipe("paper").replace(epochs=30).epochs
      30
    """
    return RECIPES[choose(name, tuple(RECIPES), "recipe")]


def recipe_for(dataset: str) -> Recipe:
    """Returns the default recipe of a data set: `photos` unless the data set has its own.

    Args:
      dataset: As in `open_dataset`. For a folder the recipe is `photos`, whatever its name.
    """
    if "/" in dataset and Path(dataset).is_dir():
        return RECIPES["photos"]
    return RECIPES[_RECIPE_FOR_DATASET.get(dataset.split(":")[0].split("/")[0], "photos")]
