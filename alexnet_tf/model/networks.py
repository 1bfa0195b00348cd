"""Build the networks: the paper's, the 2012 run's, small variants, and the user's own."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf import paper
from alexnet_tf.errors import InputError, choose
from alexnet_tf.model.geometry import check_groups, check_size, fit_channels, pool_geometry
from alexnet_tf.model.initializers import LayerPosition, initializers_for
from alexnet_tf.model.layers import (
    BatchNormalization,
    GroupedConv2D,
    InvertedDropout,
    LocalResponseNormalization,
    MaxPooling2D,
    MeanSubtraction,
    PaperDropout,
    Probabilities,
    SpatialResponseNormalization,
)
from alexnet_tf.network_settings import Network
from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import Recipe

DTYPES = ("float32", "mixed_bfloat16", "mixed_float16", "float64")
# Approximate ratio of the maximum of a few neighboring activations to their scale before training.
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

    The model takes unscaled pixels, float32 [batch, size, size, channels], RGB or gray, 0..255,
    and returns probabilities, float32 [batch, classes]. Its layers are named image, mean, conv1,
    relu1, norm1, pool1 ... flatten, fc6, relu6, dropout6 ... fc8, prob, in the order in which they
    are applied. Keras' global settings (data format, float type, dtype policy) do not change it.

    Args:
      network: A recipe's name, a recipe, or a network.
      classes: Number of classes; None: the number of names, or else the paper's 1000.
      class_names: One name per class, stored in the model.
      dtype: "float32", "mixed_bfloat16" (computes in bfloat16, weights in float32),
        "mixed_float16" (likewise), or "float64".
      init: Weight initialization, one of `settings.INITS`; None: the recipe's, or "stable".
      seed: Seed of the initial weights. The same seed gives the same weights.
      mean: The mean to subtract if the network subtracts a mean image: [p, p, channels] with p at
        least the input size (the central part is used, as in the 2012 run), or one value per
        channel. None: zeros, to be set later by `model.get_layer("mean").set_mean`.
      resize_pixels: Length to which the shorter side of a photo is resized before the crop, stored
        in the model; None: the recipe's, scaled with `input_size`, or the network's input size.
      **changes: Fields of `settings.Network` to change: activation="tanh", norm="none",
        pooling="plain", dropout=0.2, groups=1, input_size=128, channels=1 ...

    Returns:
      The model.

    Raises:
      InputError: A value is not supported or out of range, or the input is too small.

    Examples:
      >>> an.build_model("lenet", classes=26).output_shape
      (None, 26)
    """
    network, init, resize_pixels = _settings(network, init, resize_pixels, changes)
    choose(dtype, DTYPES, "dtype")
    classes = _count_classes(classes, class_names)
    check_groups(network)
    check_size(network)
    shape = (network.input_size, network.input_size, network.channels)
    image = keras.Input(shape, name="image", dtype="float32")
    x = MeanSubtraction(
        scale=network.scale,
        channel_order=network.channel_order,
        resize_pixels=resize_pixels,
        mean=_mean_of(network, mean),
        name="mean",
        dtype=dtype,
    )(image)
    x = _Builder(network, init, seed, dtype).logits(x, classes)
    x = Probabilities(class_names=class_names, name="prob", dtype=dtype)(x)
    return keras.Model(image, x, name="alexnet")


class _Builder:
    """Adds the blocks of one network, one after another.

    Every layer gets its dtype and its data format explicitly: otherwise both would come from the
    user's keras.json, or from what another library has set.
    """

    def __init__(self, network: Network, init: str, seed: int, dtype: str) -> None:
        self.network = network
        self.init = init
        self.seed = seed
        self.dtype = dtype
        self.layers = len(network.convolutions) + len(network.hidden_units) + 1
        self.shrinkage = 1.0  # of the scale since the last layer with weights

    def logits(self, x: Any, classes: int) -> Any:
        """Applies all layers with weights, and those between them."""
        convolutions = len(self.network.convolutions)
        for number in range(1, convolutions + 1):
            x = self._convolutional_block(x, number)
        x = keras.layers.Flatten("channels_last", name="flatten", dtype=self.dtype)(x)
        for number in range(convolutions + 1, self.layers):
            x = self._hidden_block(x, number)
        return self._dense(x, self.layers, classes)

    def _convolutional_block(self, x: Any, number: int) -> Any:
        """Applies conv<number> and the layers that follow it."""
        convolution = self.network.convolutions[number - 1]
        fan_in = convolution.kernel_size**2 * (x.shape[-1] // convolution.groups)
        kernel, bias = self._initializers(f"conv{number}", number, fan_in, is_dense=False)
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

    def _hidden_block(self, x: Any, number: int) -> Any:
        """Applies fc<number> and its activation, with dropout before or after both."""
        network = self.network
        units = network.hidden_units[number - 1 - len(network.convolutions)]
        if network.dropout_at == "inputs":
            x = self._drop(x, number)
        x = self._dense(x, number, units)
        x = self._activation(number)(x)
        return self._drop(x, number) if network.dropout_at == "outputs" else x

    def _dense(self, x: Any, number: int, units: int) -> Any:
        """Applies fc<number>."""
        kernel, bias = self._initializers(f"fc{number}", number, x.shape[-1], is_dense=True)
        return keras.layers.Dense(
            units,
            kernel_initializer=kernel,
            bias_initializer=bias,
            name=f"fc{number}",
            dtype=self.dtype,
        )(x)

    def _initializers(
        self, name: str, number: int, fan_in: int, *, is_dense: bool
    ) -> tuple[keras.Initializer, keras.Initializer]:
        position = LayerPosition(name, number - 1, self.layers, fan_in, is_dense, self.shrinkage)
        self.shrinkage = 1.0
        return initializers_for(self.init, position, self.network, self.seed)

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
        """Returns the layer for a step of a convolutional block, or None."""
        if step == "activation":
            return self._activation(number)
        if step == "pool":
            return self._pooling(number)
        if step == "norm":
            return self._norm(number)
        # Spatial LRN accompanies LRN and is omitted with it.
        if self.network.norm != "lrn":
            return None
        return SpatialResponseNormalization(name=f"spatial_norm{number}", dtype=self.dtype)

    def _norm(self, number: int) -> keras.layers.Layer | None:
        network = self.network
        if network.norm == "none":
            return None
        if network.norm == "batch":
            self.shrinkage = 1.0
            # Statistics of the global batch, so that the number of devices changes nothing.
            devices = tf.distribute.get_strategy().num_replicas_in_sync
            return BatchNormalization(
                synchronized=devices > 1, name=f"norm{number}", dtype=self.dtype
            )
        self.shrinkage *= network.lrn_bias**-network.lrn_beta
        groups = max(convolution.groups for convolution in network.convolutions)
        return LocalResponseNormalization(
            depth_radius=network.lrn_depth_radius,
            bias=network.lrn_bias,
            alpha=network.lrn_alpha,
            beta=network.lrn_beta,
            groups=groups if network.lrn_within_groups else 1,
            name=f"norm{number}",
            dtype=self.dtype,
        )

    def _pooling(self, number: int) -> keras.layers.Layer:
        size, stride = pool_geometry(self.network)
        layer: type[keras.layers.Layer] = keras.layers.AveragePooling2D
        if self.network.pooling != "average":
            self.shrinkage *= _MAX_POOL_GROWTH
            layer = MaxPooling2D
        return layer(
            size, stride, data_format="channels_last", name=f"pool{number}", dtype=self.dtype
        )


def _settings(
    network: str | Recipe | Network,
    init: str | None,
    resize_pixels: int | None,
    changes: dict[str, Any],
) -> tuple[Network, str, int]:
    """Returns the changed network, its initialization, and the size of photos before the crop."""
    recipe = get_recipe(network) if isinstance(network, str) else network
    plain = recipe if isinstance(recipe, Network) else recipe.network
    unknown = set(changes) - {field.name for field in dataclasses.fields(Network)} - {"groups"}
    if unknown:
        known = ", ".join(field.name for field in dataclasses.fields(Network))
        raise InputError(
            f"unknown network option {', '.join(sorted(unknown))}: choose from {known}, groups"
        )
    changed = plain.replace(**changes)
    if isinstance(recipe, Recipe):
        scaled = round(recipe.resize_pixels * changed.input_size / plain.input_size)
        return fit_channels(changed), init or recipe.init, resize_pixels or scaled
    return fit_channels(changed), init or "stable", resize_pixels or changed.input_size


def _count_classes(classes: int | None, class_names: Sequence[str] | None) -> int:
    """Returns the number of classes: at least two, and the number of names."""
    if classes is None:
        classes = paper.CLASSES if class_names is None else len(class_names)
    if class_names is not None and len(class_names) != classes:
        raise InputError(
            f"there are {len(class_names)} class names for {classes} classes: give one per class"
        )
    if classes < 2:
        raise InputError(f"classes must be at least 2. Received: {classes}")
    return classes


def _mean_of(network: Network, mean: Any) -> np.ndarray | None:
    """Returns the mean that the input layer subtracts, or None for zeros; `mean` must fit."""
    if not isinstance(network.mean, str):
        if mean is not None:
            raise InputError(
                f"mean must be None, since this network always subtracts {network.mean}"
            )
        return np.asarray(network.mean, np.float32)
    if mean is None:
        return None
    mean, size = np.asarray(mean, np.float32), network.input_size
    is_per_channel = mean.ndim <= 1 and mean.size in (1, network.channels)
    is_square = mean.ndim == 3 and mean.shape[0] == mean.shape[1] >= size
    if not is_per_channel and not (is_square and mean.shape[2] == network.channels):
        raise InputError(
            f"mean must be [p, p, {network.channels}] with p at least {size}, or one value per "
            f"channel. Received: shape {mean.shape}"
        )
    if is_per_channel:
        return mean
    start = (mean.shape[0] - size) // 2
    return mean[start : start + size, start : start + size]
