"""What a network makes of one image, layer by layer."""

import dataclasses

import keras
import numpy as np

from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import preprocessing_of
from alexnet_tf.evaluation.metrics import TOP_K
from alexnet_tf.evaluation.predict import Damaged, ImageReader
from alexnet_tf.files import expanded


@dataclasses.dataclass(frozen=True)
class Seen:
    """One image through a network.

    Attributes:
      name: Of the image.
      pixels: uint8 [p, p, c], the center crop.
      layers: Names and activations: float32 [h, w, n] of convolutional layers, [n] of others.
      classes: int [k]: the most probable classes, the first one first.
      probabilities: float32 [k].
    """

    name: str
    pixels: np.ndarray
    layers: list[tuple[str, np.ndarray]]
    classes: np.ndarray
    probabilities: np.ndarray


def read_square(path: str, network: keras.Model) -> np.ndarray:
    """Returns an image file as the network's crops are cut from: uint8 [r, r, c].

    Raises:
      InputError: It is missing or damaged.
    """
    try:
        content = expanded(path).read_bytes()
    except OSError as error:
        raise InputError(f"--image {path}: {error.strerror}") from None
    found = ImageReader(preprocessing_of(network)).read(path, content)
    if isinstance(found, Damaged):
        raise InputError(f"--image {path}: {found.reason}")
    return found[1]


def see(network: keras.Model, name: str, pixels: np.ndarray) -> Seen:
    """Puts an image through a network.

    Args:
      network: From `load_model`.
      name: Of the image.
      pixels: uint8 [p, p, c], of the network's input size.
    """
    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.Activation)]
    outputs = [layer.output for layer in layers]
    inside = keras.Model(network.input, [*outputs, network.output])
    *activations, probabilities = inside(np.asarray(pixels[None], np.float32), training=False)
    said = np.asarray(probabilities)[0]
    first = np.argsort(-said, kind="stable")[:TOP_K]
    named = [
        (f"{layer.name} ({_weights_before(network, layer)})", np.asarray(values)[0])
        for layer, values in zip(layers, activations, strict=True)
    ]
    return Seen(name, pixels, named, first, said[first])


def _weights_before(network: keras.Model, layer: keras.layers.Layer) -> str:
    """Returns the name of the layer with weights whose output an activation is of."""
    names = [other.name for other in network.layers]
    before = network.layers[: names.index(layer.name)]
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    return next((other.name for other in reversed(before) if isinstance(other, kinds)), "image")
