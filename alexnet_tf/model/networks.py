"""One builder for every AlexNet: the paper's, the 2012 run's, the small relatives, one's own."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf import paper
from alexnet_tf.errors import InputError, choose
from alexnet_tf.model.batch_normalization import BatchNormalization
from alexnet_tf.model.dropout import InvertedDropout, PaperDropout
from alexnet_tf.model.geometry import check_groups, check_size, pool_geometry
from alexnet_tf.model.grouped_convolution import GroupedConv2D
from alexnet_tf.model.initializers import Place, initializers_for
from alexnet_tf.model.inputs import MeanSubtraction
from alexnet_tf.model.local_response_normalization import LocalResponseNormalization
from alexnet_tf.model.max_pooling import MaxPooling2D
from alexnet_tf.model.probabilities import Probabilities
from alexnet_tf.model.spatial_response_normalization import SpatialResponseNormalization
from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import Network, Recipe

DTYPES = ("float32", "mixed_bfloat16", "mixed_float16", "float64")
# Size of the largest of a few neighboring activations to theirs, about, at the start of training.
_MAX_POOL_GROWTH = math.sqrt(2)


def build_model(
    network: str | Recipe | Network = "paper",
    *,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    dtype: str = "float32",
    init: str | None = None,
    seed: int = 0,
    mean: Any = None,
    resize_pixels: int | None = None,
    **changes: Any,
) -> keras.Model:
    """Builds a network: an ordinary Keras model, not compiled.

    It takes pixels as they are, float32 [batch, n, n, channels], RGB or gray, 0..255, and gives
    probabilities, float32 [batch, classes]. Its layers are called image, mean, conv1, relu1, norm1,
    pool1 ... flatten, fc6, relu6, dropout6 ... fc8, prob, in the order they are applied.

    Args:
      network: A recipe's name, a recipe, or a network.
      classes: How many; None: as many as there are names, else the paper's 1000.
      class_names: One name per class, kept in the model.
      dtype: "float32", "mixed_bfloat16" (computes in bfloat16, weights in float32),
        "mixed_float16" likewise, or "float64".
      init: What the weights start from, one of `settings.INITS`; None: the recipe's, or "stable".
      seed: Of the weights. The same seed gives the same weights.
      mean: What is subtracted from the pixels where the network wants a mean image:
        [p, p, channels] with p at least the input's size (its central part is taken, as the 2012
        run did), or one value per channel. None: zeros, to be set later by
        `model.get_layer("mean").set_mean`.
      resize_pixels: Shorter side of photos before the crop, kept in the model; None: the recipe's,
        in proportion if `input_size` is changed, or the network's input size.
      **changes: Fields of `settings.Network` to change: activation="tanh", norm="none",
        pooling="plain", dropout=0.2, groups=1, input_size=128, channels=1 ...

    Raises:
      InputError: A value is none of the known ones or out of range, or the input is too small.
    """
    network, init, resize_pixels = _settings(network, init, resize_pixels, changes)
    choose(dtype, DTYPES, "dtype")
    classes = _count_classes(classes, class_names)
    check_groups(network)
    check_size(network)
    builder = _Builder(network, init, seed, dtype)
    image = keras.Input((network.input_size, network.input_size, network.channels), name="image")
    x = MeanSubtraction(
        scale=network.scale,
        channel_order=network.channel_order,
        resize_pixels=resize_pixels,
        mean=_mean_of(network, mean),
        name="mean",
        dtype=dtype,
    )(image)
    for number in range(1, len(network.convolutions) + 1):
        x = builder.convolutional_block(x, number)
    x = keras.layers.Flatten(name="flatten", dtype=dtype)(x)
    for number in range(len(network.convolutions) + 1, builder.layers):
        x = builder.hidden_block(x, number)
    x = builder.dense(x, builder.layers, classes)
    x = Probabilities(class_names=class_names, name="prob", dtype=dtype)(x)
    return keras.Model(image, x, name="alexnet")


class _Builder:
    """Adds the blocks of one network, one after another."""

    def __init__(self, network: Network, init: str, seed: int, dtype: str) -> None:
        self.network = network
        self.init = init
        self.seed = seed
        self.dtype = dtype
        self.layers = len(network.convolutions) + len(network.hidden_units) + 1
        self.shrinkage = 1.0  # of the activations since the last layer with weights

    def convolutional_block(self, x: Any, number: int) -> Any:
        """Returns conv<number> of `x` and what follows it."""
        convolution = self.network.convolutions[number - 1]
        fan_in = convolution.kernel_size**2 * (x.shape[-1] // convolution.groups)
        kernel, bias = self._initializers(f"conv{number}", number, fan_in, dense=False)
        x = GroupedConv2D(
            convolution.filters,
            convolution.kernel_size,
            strides=convolution.strides,
            padding=convolution.padding,
            groups=convolution.groups,
            kernel_initializer=kernel,
            bias_initializer=bias,
            name=f"conv{number}",
            dtype=self.dtype,
        )(x)
        for step in convolution.then:
            layer = self._layer(step, number)
            x = x if layer is None else layer(x)
        return x

    def hidden_block(self, x: Any, number: int) -> Any:
        """Returns fc<number> of `x`, its activation, and the dropout at the network's place."""
        network = self.network
        units = network.hidden_units[number - 1 - len(network.convolutions)]
        if network.dropout_at == "inputs":
            x = self._drop(x, number)
        x = self.dense(x, number, units)
        x = self._activation(number)(x)
        return self._drop(x, number) if network.dropout_at == "outputs" else x

    def dense(self, x: Any, number: int, units: int) -> Any:
        """Returns fc<number> of `x`."""
        kernel, bias = self._initializers(f"fc{number}", number, x.shape[-1], dense=True)
        return keras.layers.Dense(
            units,
            kernel_initializer=kernel,
            bias_initializer=bias,
            name=f"fc{number}",
            dtype=self.dtype,
        )(x)

    def _initializers(
        self, name: str, number: int, fan_in: int, *, dense: bool
    ) -> tuple[keras.Initializer, keras.Initializer]:
        place = Place(name, number - 1, self.layers, fan_in, dense, self.shrinkage)
        self.shrinkage = 1.0
        return initializers_for(self.init, place, self.network, self.seed)

    def _activation(self, number: int) -> keras.layers.Layer:
        name = f"{self.network.activation}{number}"
        return keras.layers.Activation(self.network.activation, name=name, dtype=self.dtype)

    def _drop(self, x: Any, number: int) -> Any:
        rate = self.network.dropout
        if rate == 0:
            return x
        if self.network.dropout_style == "paper":
            self.shrinkage *= math.sqrt(1 - rate)
            return PaperDropout(rate, name=f"dropout{number}", dtype=self.dtype)(x)
        self.shrinkage /= math.sqrt(1 - rate)
        return InvertedDropout(rate, name=f"dropout{number}", dtype=self.dtype)(x)

    def _layer(self, step: str, number: int) -> keras.layers.Layer | None:
        """Returns what a step of a convolutional block is, None for nothing."""
        if step == "activation":
            return self._activation(number)
        if step == "pool":
            return self._pooling(number)
        if step == "norm":
            return self._norm(number)
        # The response norm inside each map belongs to the one across maps, and goes where it goes.
        if self.network.norm != "lrn":
            return None
        return SpatialResponseNormalization(name=f"spatial_norm{number}", dtype=self.dtype)

    def _norm(self, number: int) -> keras.layers.Layer | None:
        network = self.network
        if network.norm == "none":
            return None
        if network.norm == "batch":
            self.shrinkage = 1.0
            # Of the global batch: devices that divide it train as one.
            devices = tf.distribute.get_strategy().num_replicas_in_sync
            return BatchNormalization(
                synchronized=devices > 1, name=f"norm{number}", dtype=self.dtype
            )
        self.shrinkage *= network.lrn_bias**-network.lrn_beta
        towers = max(convolution.groups for convolution in network.convolutions)
        return LocalResponseNormalization(
            depth_radius=network.lrn_depth_radius,
            bias=network.lrn_bias,
            alpha=network.lrn_alpha,
            beta=network.lrn_beta,
            groups=towers if network.lrn_per_tower else 1,
            name=f"norm{number}",
            dtype=self.dtype,
        )

    def _pooling(self, number: int) -> keras.layers.Layer:
        size, stride = pool_geometry(self.network)
        kind: type[keras.layers.Layer] = keras.layers.AveragePooling2D
        if self.network.pooling != "average":
            self.shrinkage *= _MAX_POOL_GROWTH
            kind = MaxPooling2D
        return kind(size, stride, name=f"pool{number}", dtype=self.dtype)


def _settings(
    network: str | Recipe | Network,
    init: str | None,
    resize_pixels: int | None,
    changes: dict[str, Any],
) -> tuple[Network, str, int]:
    """Returns the network with its changes, its init, and the size of photos before the crop."""
    recipe = get_recipe(network) if isinstance(network, str) else network
    plain = recipe if isinstance(recipe, Network) else recipe.network
    unknown = set(changes) - {field.name for field in dataclasses.fields(Network)} - {"groups"}
    if unknown:
        known = ", ".join(field.name for field in dataclasses.fields(Network))
        raise InputError(f"a network has no {', '.join(sorted(unknown))}: it has {known}, groups")
    changed = plain.replace(**changes)
    if isinstance(recipe, Recipe):
        in_proportion = round(recipe.resize_pixels * changed.input_size / plain.input_size)
        return _fit_channels(changed), init or recipe.init, resize_pixels or in_proportion
    return _fit_channels(changed), init or "stable", resize_pixels or changed.input_size


def _fit_channels(network: Network) -> Network:
    """Returns the network with one mean and one scale per channel: gray takes the colors' average.

    Raises:
      InputError: They are neither one, nor one per channel, nor those of RGB for gray.
    """
    fitted: dict[str, Any] = {}
    for name in ("mean", "scale"):
        values = getattr(network, name)
        if isinstance(values, str):
            if values != "image":
                raise InputError(f"mean must be 'image' or numbers. Received: {values!r}")
            continue
        if network.channels == 1 and len(values) == 3:
            fitted[name] = (sum(values) / 3,)
        elif len(values) not in (1, network.channels):
            raise InputError(
                f"{name} must have one value or one per channel ({network.channels}). "
                f"Received: {values}"
            )
    if network.channels == 1:
        fitted["channel_order"] = "rgb"
    return dataclasses.replace(network, **fitted)


def _count_classes(classes: int | None, class_names: Sequence[str] | None) -> int:
    """Returns how many classes there are.

    Raises:
      InputError: Fewer than two, or not as many as names.
    """
    if classes is None:
        classes = paper.CLASSES if class_names is None else len(class_names)
    if class_names is not None and len(class_names) != classes:
        raise InputError(f"there are {len(class_names)} class names for {classes} classes")
    if classes < 2:
        raise InputError(f"classes must be at least 2. Received: {classes}")
    return classes


def _mean_of(network: Network, mean: Any) -> np.ndarray | None:
    """Returns what the input layer subtracts: the network's own values, or the part of `mean`.

    Raises:
      InputError: The network subtracts values of its own, or `mean` does not fit its input.
    """
    if not isinstance(network.mean, str):
        if mean is not None:
            raise InputError(f"this network subtracts {network.mean}: it takes no other mean")
        return np.asarray(network.mean, np.float32)
    if mean is None:
        return None
    mean, size = np.asarray(mean, np.float32), network.input_size
    per_channel = mean.ndim <= 1 and mean.size in (1, network.channels)
    square = mean.ndim == 3 and mean.shape[0] == mean.shape[1] >= size
    if not per_channel and not (square and mean.shape[2] == network.channels):
        raise InputError(
            f"the mean must be [p, p, {network.channels}] with p at least {size}, or one value per "
            f"channel. Received shape: {mean.shape}"
        )
    if per_channel:
        return mean
    start = (mean.shape[0] - size) // 2
    return mean[start : start + size, start : start + size]
