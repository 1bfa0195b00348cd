"""What the weights start from: the paper's, the 2012 run's, others', and one that always starts."""

import dataclasses
import math
import zlib

import keras

from alexnet_tf import paper
from alexnet_tf.errors import choose
from alexnet_tf.settings import INITS, Network

# Standard deviation of photos' pixels around their mean image, on the 0..255 scale.
_PIXEL_STD = 60.0
# What a layer's weights must be multiplied by to keep the size of its input through the activation.
_GAINS = {"tanh": 1.0, "sigmoid": 4.0}
_RECTIFIER_GAIN = math.sqrt(2)
_LAST_LAYER_STD = 0.01
_HIDDEN_ENERGY = 512.0  # squared length of the first hidden layer


@dataclasses.dataclass(frozen=True)
class Place:
    """Where in the network a layer stands.

    Attributes:
      name: "conv1", "fc6".
      index: From 0 for conv1, counting all layers with weights.
      layers: How many layers with weights there are.
      fan_in: Inputs of one unit: kernel height * width * maps of its tower, or inputs.
      dense: Whether it is fully connected.
      shrinkage: Factor on its input's size by what stands between it and the activation before.
    """

    name: str
    index: int
    layers: int
    fan_in: int
    dense: bool
    shrinkage: float = 1.0

    @property
    def last(self) -> bool:
        """Whether it is the classifier."""
        return self.index == self.layers - 1


def initializers_for(
    init: str, place: Place, network: Network, seed: int
) -> tuple[keras.Initializer, keras.Initializer]:
    """Returns a layer's initializers of (kernel, biases); they depend on the arguments alone.

    - "paper" (section 5): normal, std 0.01; biases 1 in conv2, conv4, conv5 and the hidden
      fully connected layers, else 0. On small data it does not start learning for very long.
    - "2012": the same, but std 0.03 in conv3, conv4 and conv5.
    - "caffe": bvlc_alexnet's: std 0.01, but 0.005 in the hidden fully connected layers, and biases
      0.1 where the paper has 1.
    - "torchvision": PyTorch's default, both uniform within 1 / sqrt(fan in).
    - "xavier": uniform within sqrt(6 / (fan in + fan out)); biases 0.
    - "he": normal, std sqrt(2 / fan in); biases 0.
    - "stable": starts learning at once, see `stable_std`; biases 0.

    Args:
      init: One of these.
      place: The layer.
      network: What it is part of.
      seed: Any integer; each layer draws from a stream of its own.

    Raises:
      InputError: The init is none of these.
    """
    choose(init, INITS, "init")
    kernel_seed, bias_seed = (_seed(seed, place.name, part) for part in ("kernel", "bias"))
    if init == "torchvision":
        bound = 1 / math.sqrt(place.fan_in)
        return (
            keras.initializers.RandomUniform(-bound, bound, seed=kernel_seed),
            keras.initializers.RandomUniform(-bound, bound, seed=bias_seed),
        )
    zeros = keras.initializers.Zeros()
    if init == "xavier":
        return keras.initializers.GlorotUniform(seed=kernel_seed), zeros
    if init == "he":
        std = math.sqrt(2 / place.fan_in)
        return keras.initializers.RandomNormal(0.0, std, seed=kernel_seed), zeros
    if init == "stable":
        std = stable_std(place, network)
        return keras.initializers.RandomNormal(0.0, std, seed=kernel_seed), zeros
    hidden = place.dense and not place.last
    biased = hidden or place.name in paper.LAYERS_WITH_BIAS_ONE
    bias = 1.0 if biased else 0.0
    std = paper.WEIGHT_STD
    if init == "2012":
        std = paper.RUN_WEIGHT_STD.get(place.name, std)
    elif init == "caffe":
        std, bias = (0.005 if hidden else std), 0.1 * bias
    return (
        keras.initializers.RandomNormal(0.0, std, seed=kernel_seed),
        keras.initializers.Constant(bias),
    )


def stable_std(place: Place, network: Network) -> float:
    """Returns the standard deviation of a layer's weights that lets learning start at once.

    Weights of std `gain / sqrt(fan in)` keep the size of what a layer gets (He et al. 2015; the
    gain is sqrt(2) for rectifiers), once it is made good for what normalization, pooling and
    dropout change. But two sizes here are not 1. The input of the paper's networks, pixels
    minus their mean, is of size 60. And a step of the last layer moves its scores in proportion
    to the squared length of the last hidden layer: 4,096 units of size 1 are too long for the
    recipes' rates, and the loss jumps up before it goes down. So the size falls from the input
    to the first hidden layer, whose squared length is to be 512, by the same factor in every
    layer: if one layer made up for all of it, its gradient would be as much too large as its
    weights are too small. The classifier starts small, so that the loss starts at ln(classes).

    Inverted dropout passes on 1 / (1 - rate) times what the paper's does; there the hidden layers
    are shorter by that, so that the classifier sees the same in training.

    Sigmoids and tanh limit sizes themselves: there conv1 alone makes up for the input. Batch
    normalization sets the size to 1 whatever the weights, so the fall begins after the last one.
    """
    if place.last:
        return _LAST_LAYER_STD
    size = _PIXEL_STD * sum(network.scale) / len(network.scale)
    kept = _GAINS.get(network.activation, _RECTIFIER_GAIN) / math.sqrt(place.fan_in)
    if network.activation in _GAINS:
        return kept / (place.shrinkage * (size if place.index == 0 else 1.0))
    units = network.hidden_units or (network.convolutions[-1].filters,)
    falling_layers = min(len(network.convolutions) + 1, place.layers - 1)
    hidden = place.index - falling_layers + 1
    normalized = _batch_normalized(network)
    if place.index < normalized:
        factor = 1.0
    elif hidden > 0:
        factor = math.sqrt(units[hidden - 1] / units[hidden])
    else:
        first = 1.0 if normalized else size
        last = math.sqrt(_HIDDEN_ENERGY / units[0])
        if network.dropout_style == "inverted" and network.dropout_at == "outputs":
            last *= 1 - network.dropout
        factor = (last / first) ** (1 / (falling_layers - normalized))
    return kept * factor / place.shrinkage


def _batch_normalized(network: Network) -> int:
    """Returns how many layers from conv1 on there are up to the last batch normalization."""
    if network.norm != "batch":
        return 0
    blocks = [i for i, block in enumerate(network.convolutions) if "norm" in block.then]
    return blocks[-1] + 1 if blocks else 0


def _seed(seed: int, layer_name: str, part: str) -> int:
    """Returns a seed of 31 bits for one weight of one layer."""
    return zlib.crc32(f"{seed}/{layer_name}/{part}".encode()) & 0x7FFFFFFF
