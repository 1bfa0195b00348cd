"""The networks of the recipes, layer by layer. No TensorFlow."""

import dataclasses

from alexnet_tf import paper
from alexnet_tf.network_settings import Convolution, Network

_NORM_POOL = ("activation", "norm", "pool")
_POOL = ("activation", "pool")
_CONV1 = Convolution(96, 11, strides=4, padding="ceil", then=_NORM_POOL)
_CONV2 = Convolution(256, 5, groups=2, then=_NORM_POOL)
_CONV3_TO_5 = (
    Convolution(384, 3),
    Convolution(384, 3, groups=2),
    Convolution(256, 3, groups=2, then=_POOL),
)
_UNGROUPED_3_TO_5 = (Convolution(384, 3), Convolution(384, 3), Convolution(256, 3, then=_POOL))

PAPER_NETWORK = Network(
    convolutions=(_CONV1, _CONV2, *_CONV3_TO_5),
    hidden_units=paper.HIDDEN_UNITS,
    input_size=paper.INPUT_PIXELS,
    dropout_style="paper",
)

RUN_NETWORK = PAPER_NETWORK.replace(
    convolutions=(
        dataclasses.replace(_CONV1, then=("norm", "pool", "activation")),
        dataclasses.replace(_CONV2, then=("activation", "norm", "spatial_norm", "pool")),
        *_CONV3_TO_5,
    ),
    lrn_alpha=paper.RUN_LRN_ALPHA,
    lrn_within_groups=True,
)

CAFFE_NETWORK = PAPER_NETWORK.replace(
    convolutions=(dataclasses.replace(_CONV1, padding="valid"), _CONV2, *_CONV3_TO_5),
    input_size=227,
    lrn_bias=1.0,
    lrn_alpha=paper.LRN_ALPHA / paper.LRN_N,
    dropout_style="inverted",
    channel_order="bgr",
)

# Means and 1 / standard deviations of ImageNet's RGB values, as in PyTorch's examples.
_IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
_IMAGENET_SCALE = (1 / (0.229 * 255), 1 / (0.224 * 255), 1 / (0.225 * 255))

# The paper's network without its two groups, as PyTorch tutorials write it: nn.LocalResponseNorm
# divides alpha by n, and dropout precedes the hidden layers.
TWO_GPU_NETWORK = Network(
    convolutions=(
        Convolution(96, 11, strides=4, padding=2, then=_NORM_POOL),
        Convolution(256, 5, then=_NORM_POOL),
        *_UNGROUPED_3_TO_5,
    ),
    hidden_units=paper.HIDDEN_UNITS,
    input_size=224,
    lrn_alpha=paper.LRN_ALPHA / paper.LRN_N,
    dropout_at="inputs",
    mean=_IMAGENET_MEAN,
    scale=_IMAGENET_SCALE,
)

# The same with the paper's groups. PyTorch's adaptive pooling to 6x6 changes nothing at 224 pixels.
ARTICLE_NETWORK = TWO_GPU_NETWORK.replace(
    convolutions=(TWO_GPU_NETWORK.convolutions[0], _CONV2, *_CONV3_TO_5)
)

TORCHVISION_NETWORK = Network(
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
    mean=_IMAGENET_MEAN,
    scale=_IMAGENET_SCALE,
)

FASHION_MNIST_NETWORK = Network(
    convolutions=(
        Convolution(96, 11, strides=4, padding=1, then=_POOL),
        Convolution(256, 5, then=_POOL),
        *_UNGROUPED_3_TO_5,
    ),
    hidden_units=(4096, 4096),
    input_size=224,
    channels=1,
    norm="none",
    mean=(0.0,),
    scale=(1 / 255,),
)

LENET_NETWORK = Network(
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

CIFAR10_NETWORK = TORCHVISION_NETWORK.replace(
    convolutions=(Convolution(64, 5, then=_POOL), *TORCHVISION_NETWORK.convolutions[1:]),
    input_size=32,
    mean=(127.5, 127.5, 127.5),
    scale=(1 / 127.5,),
)

# cuda-convnet's network for CIFAR-10 (figure 1, section 3.3), in the paper's order of layers. In
# cuda-convnet the second and third pooling are averages, and normalization follows pooling.
FOUR_LAYER_NETWORK = Network(
    convolutions=(
        Convolution(32, 5, then=_NORM_POOL),
        Convolution(32, 5, then=_NORM_POOL),
        Convolution(64, 5, then=_POOL),
    ),
    hidden_units=(),
    input_size=32,
    dropout=0.0,
)

# The paper's network for small images: five convolutions in two groups, two hidden layers with
# dropout.
SMALL_NETWORK = Network(
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

SHAPES_NETWORK = SMALL_NETWORK.replace(
    convolutions=(
        Convolution(32, 7, strides=2, padding="ceil", then=_NORM_POOL),
        *SMALL_NETWORK.convolutions[1:],
    ),
    input_size=64,
)
