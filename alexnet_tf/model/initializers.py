"""Weight initialization: the paper's, the 2012 run's, other libraries', and a stable one."""

import dataclasses
import math
import zlib

import keras

from alexnet_tf import paper
from alexnet_tf.errors import choose
from alexnet_tf.network_settings import Network
from alexnet_tf.settings import INITS

# Standard deviation of the pixels of photos around their mean image, on the 0..255 scale.
_PIXEL_STD = 60.0
# Factors on a layer's weights that preserve the scale of its input through the activation.
_GAINS = {"tanh": 1.0, "sigmoid": 4.0}
_RECTIFIER_GAIN = math.sqrt(2)
_LAST_LAYER_STD = 0.01
_HIDDEN_ENERGY = 512.0  # squared length of the first hidden layer


@dataclasses.dataclass(frozen=True)
class LayerPosition:
    """The position of a layer with weights in the network.

    Attributes:
      name: "conv1", "fc6".
      index: Index among the layers with weights; 0 for conv1.
      layers: Number of layers with weights.
      fan_in: Number of inputs of one unit: kernel height * width * channels of its group, or the
        inputs of a fully connected layer.
      is_dense: Whether the layer is fully connected.
      shrinkage: Factor by which the layers between the previous activation and this layer change
        the scale of its input.
    """

    name: str
    index: int
    layers: int
    fan_in: int
    is_dense: bool
    shrinkage: float = 1.0

    @property
    def is_last(self) -> bool:
        """Whether the layer is the classifier."""
        return self.index == self.layers - 1


def initializers_for(
    init: str, position: LayerPosition, network: Network, seed: int
) -> tuple[keras.Initializer, keras.Initializer]:
    """Returns the initializers of a layer's kernel and biases; they depend on the arguments alone.

    - "paper" (section 5): normal, std 0.01; biases 1 in conv2, conv4, conv5 and the hidden fully
      connected layers, else 0. On small data sets the loss stays at chance level for very long.
    - "2012": as "paper", but std 0.03 in conv3, conv4 and conv5.
    - "caffe": as bvlc_alexnet: std 0.01, but 0.005 in the hidden fully connected layers; biases
      0.1 where the paper has 1.
    - "torchvision": PyTorch's default: kernel and biases uniform within 1 / sqrt(fan_in).
    - "normal": normal, std 0.01; biases 0.
    - "xavier": uniform within sqrt(6 / (fan_in + fan_out)); biases 0.
    - "he": normal, std sqrt(2 / fan_in); biases 0.
    - "stable": normal, std from `stable_std`, with which learning starts immediately; biases 0.

    Args:
      init: One of the names above.
      position: The layer's position.
      network: The network.
      seed: Any integer. Each layer draws from a stream of its own.

    Returns:
      (kernel initializer, bias initializer).

    Raises:
      InputError: `init` is not supported.
    """
    choose(init, INITS, "init")
    kernel_seed, bias_seed = (_seed(seed, position.name, part) for part in ("kernel", "bias"))
    if init == "torchvision":
        bound = 1 / math.sqrt(position.fan_in)
        return (
            keras.initializers.RandomUniform(-bound, bound, seed=kernel_seed),
            keras.initializers.RandomUniform(-bound, bound, seed=bias_seed),
        )
    if init == "xavier":
        return keras.initializers.GlorotUniform(seed=kernel_seed), keras.initializers.Zeros()
    std, bias = paper.WEIGHT_STD, 0.0
    if init == "he":
        std = math.sqrt(2 / position.fan_in)
    elif init == "stable":
        std = stable_std(position, network)
    elif init != "normal":
        hidden = position.is_dense and not position.is_last
        bias = float(hidden or position.name in paper.LAYERS_WITH_BIAS_ONE)
        if init == "2012":
            std = paper.RUN_WEIGHT_STD.get(position.name, std)
        elif init == "caffe":
            std, bias = (0.005 if hidden else std), 0.1 * bias
    return (
        keras.initializers.RandomNormal(0.0, std, seed=kernel_seed),
        keras.initializers.Constant(bias),
    )


def stable_std(position: LayerPosition, network: Network) -> float:
    """Returns the standard deviation of a layer's weights with which learning starts immediately.

    Weights of std `gain / sqrt(fan_in)` preserve the scale of a layer's input (He et al., 2015;
    the gain is sqrt(2) for rectifiers), once normalization, pooling and dropout are corrected
    for. But two scales must differ from 1. The input of the paper's networks, pixels minus their
    mean, has scale 60. And an update of the last layer changes the logits in proportion to the
    squared length of the last hidden layer: with 4,096 units of scale 1 that is too much for the
    recipes' learning rates, and the loss rises before it falls. The scale therefore decreases from
    the input to the first hidden layer, whose squared length becomes 512, by the same factor in
    every layer: if one layer made the whole correction, its gradient would be as much too large as
    its weights are too small. The classifier starts with small weights, so that the initial loss
    is ln(classes).

    In training, inverted dropout outputs 1 / (1 - rate) times what the paper's dropout outputs. The
    hidden layers are scaled down by that factor, so that the classifier's input is the same.

    Sigmoid and tanh limit the scale themselves: there conv1 alone corrects for the input. Batch
    normalization sets the scale to 1 whatever the weights are, so the decrease begins after the
    last one.
    """
    if position.is_last:
        return _LAST_LAYER_STD
    size = _PIXEL_STD * sum(network.scale) / len(network.scale)
    kept = _GAINS.get(network.activation, _RECTIFIER_GAIN) / math.sqrt(position.fan_in)
    if network.activation in _GAINS:
        return kept / (position.shrinkage * (size if position.index == 0 else 1.0))
    units = network.hidden_units or (network.convolutions[-1].filters,)
    falling_layers = min(len(network.convolutions) + 1, position.layers - 1)
    hidden = position.index - falling_layers + 1
    normalized = _batch_normalized(network)
    if position.index < normalized:
        factor = 1.0
    elif hidden > 0:
        factor = math.sqrt(units[hidden - 1] / units[hidden])
    else:
        first = 1.0 if normalized else size
        last = math.sqrt(_HIDDEN_ENERGY / units[0])
        if network.dropout_style == "inverted" and network.dropout_at == "outputs":
            last *= 1 - network.dropout
        factor = (last / first) ** (1 / (falling_layers - normalized))
    return kept * factor / position.shrinkage


def _batch_normalized(network: Network) -> int:
    """Returns the number of convolutions up to the last batch normalization."""
    if network.norm != "batch":
        return 0
    blocks = [i for i, block in enumerate(network.convolutions) if "norm" in block.then]
    return blocks[-1] + 1 if blocks else 0


def _seed(seed: int, layer_name: str, part: str) -> int:
    """Returns a 31-bit seed for one weight of one layer."""
    return zlib.crc32(f"{seed}/{layer_name}/{part}".encode()) & 0x7FFFFFFF
