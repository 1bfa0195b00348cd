"""Computations for a report: samples of images, a projection of features, activations."""

import dataclasses

import keras
import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from alexnet_tf.data.examples import Examples
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.metrics import TOP_K
from alexnet_tf.evaluation.predict import read_pixels
from alexnet_tf.files import expanded

_COMPONENTS = 50  # van der Maaten and Hinton (2008) reduce to 50 dimensions before t-SNE
_PERPLEXITY = 30.0
_MIN_TSNE_IMAGES = 10  # fewer images have no meaningful neighborhoods


@dataclasses.dataclass(frozen=True)
class ImageActivations:
    """The activations of all layers for one image.

    Attributes:
      name: Name of the image.
      pixels: uint8 [p, p, c], the center crop.
      layers: Names and activations: float32 [h, w, n] of convolutional layers, [n] of others.
      classes: int [k], the most probable classes, in descending order.
      probabilities: float32 [k], their probabilities.
    """

    name: str
    pixels: np.ndarray
    layers: list[tuple[str, np.ndarray]]
    classes: np.ndarray
    probabilities: np.ndarray


def compute_activations(network: keras.Model, name: str, pixels: np.ndarray) -> ImageActivations:
    """Runs a network on one image.

    Args:
      network: From `load_model`.
      name: Name of the image.
      pixels: uint8 [p, p, c], where p is the input size of the network.
    """
    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.Activation)]
    model = keras.Model(network.input, [*(layer.output for layer in layers), network.output])
    *activations, output = model(np.asarray(pixels[None], np.float32), training=False)
    probabilities = np.asarray(output)[0]
    top = np.argsort(-probabilities, kind="stable")[:TOP_K]
    named = [
        (f"{layer.name} ({_previous_weights(network, layer)})", np.asarray(values)[0])
        for layer, values in zip(layers, activations, strict=True)
    ]
    return ImageActivations(name, pixels, named, top, probabilities[top])


def _previous_weights(network: keras.Model, layer: keras.layers.Layer) -> str:
    """Returns the name of the last convolutional or dense layer before an activation."""
    names = [other.name for other in network.layers]
    before = network.layers[: names.index(layer.name)]
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    return next((other.name for other in reversed(before) if isinstance(other, kinds)), "image")


def read_image(path: str, network: keras.Model) -> np.ndarray:
    """Returns an image file resized for a network: uint8 [r, r, c].

    Raises:
      InputError: The file is missing or damaged.
    """
    try:
        content = expanded(path).read_bytes()
    except OSError as error:
        raise InputError(f"--image {path}: {error.strerror}") from None
    return read_pixels(f"--image {path}", content, network)


def random_sample(examples: Examples, count: int, seed: int) -> Examples:
    """Returns at most `count` examples, drawn without replacement, in their original order."""
    if len(examples) <= count:
        return examples
    chosen = np.random.default_rng(seed).choice(len(examples), count, replace=False)
    return examples.subset(np.sort(chosen))


def sample_classes(labels: np.ndarray, count: int) -> np.ndarray:
    """Returns the indices of `count` examples of as many classes as possible.

    Args:
      labels: int [n].
      count: Examples to choose. If there are fewer classes, the first other examples are added.
    """
    present, first = np.unique(labels, return_index=True)
    chosen = np.linspace(0, len(present) - 1, min(count, len(present))).round().astype(int)
    indices = first[chosen]
    rest = np.setdiff1d(np.arange(len(labels)), indices)
    return np.concatenate([indices, rest[: count - len(indices)]])


def project_features(features: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """Projects features to two dimensions by t-SNE, or by PCA if there are too few.

    Args:
      features: float32 [n, units]; NaN counts as zero.
      seed: The same seed gives the same points.

    Returns:
      float64 [n, 2], and the name of the method.
    """
    features = np.nan_to_num(features).astype(np.float64)
    if len(features) < 2 or not np.ptp(features, axis=0).any():
        return np.zeros((len(features), 2)), "PCA"
    count = min(_COMPONENTS, *features.shape)
    components = PCA(count, random_state=seed).fit_transform(features)
    if len(features) < _MIN_TSNE_IMAGES:
        points = np.zeros((len(features), 2))
        points[:, : min(2, count)] = components[:, :2]
        return points, "PCA"
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    # Starting from the principal components makes large distances meaningful.
    init = "pca" if count > 1 else "random"
    method = TSNE(2, perplexity=perplexity, init=init, random_state=seed)
    # Its threads synchronize a thousand times: beside other work, two take five times as long.
    with threadpool_limits(1):
        return method.fit_transform(components).astype(np.float64), "t-SNE"
