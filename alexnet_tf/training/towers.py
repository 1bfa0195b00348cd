"""The network as the paper trained it: half of the channels and units on each of two devices.

Each tower has its own half of every kernel, on its device. Channels, and their gradients, pass
between the devices only where the arrows of the paper's figure 2 cross: before conv3 and before the
fully connected layers. If the window of local response normalization crosses the border between the
towers, as in the paper's text, the channels beside the border pass too.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.model.geometry import TOWERS
from alexnet_tf.model.layers.dropout import dropout_scope
from alexnet_tf.model.layers.grouped_convolution import GroupedConv2D
from alexnet_tf.model.layers.local_response_normalization import LocalResponseNormalization
from alexnet_tf.settings import Recipe
from alexnet_tf.training.devices import DeviceConfiguration
from alexnet_tf.training.loss_scale import LossScale
from alexnet_tf.training.optimizers import PaperMomentum
from alexnet_tf.training.step import TrainingStep

Pair = list[Any]  # one entry per tower


@dataclasses.dataclass
class _Stage:
    """The layers between two crossings.

    Attributes:
      name: Name of the first layer.
      reach: Number of the other tower's channels, from the border on, that each tower receives.
      overlap: Number of the other tower's channels that are dropped after the first layer.
      layers: Each tower's layers, in order.
      halved: For each layer, whether it has one tower's half of the channels, or all of them.
    """

    name: str
    reach: int = 0
    overlap: int = 0
    layers: Pair = dataclasses.field(default_factory=lambda: [[], []])
    halved: list[bool] = dataclasses.field(default_factory=list)

    def variables(self, tower: int) -> list[keras.Variable]:
        """Returns a tower's trainable variables."""
        return [v for layer in self.layers[tower] for v in layer.trainable_variables]

    def run(self, tower: int, x: tf.Tensor, seed: int, step: Any) -> tf.Tensor:
        """Returns the stage's output in one tower."""
        for number, layer in enumerate(self.layers[tower]):
            part = (tower, TOWERS) if self.halved[number] else (0, 1)
            with dropout_scope(seed, step, 0, *part):
                x = layer(x, training=True)
            if number == 0 and self.overlap:
                x = x[..., self.overlap :] if tower else x[..., : -self.overlap]
        return x


class TowerStep(TrainingStep):
    """`TrainingStep` on two devices, one tower on each.

    Args:
      model: The whole network, from `build_model`; `check_towers` accepts it.
      optimizer: The whole network's optimizer; each tower gets a copy.
      devices: Names of two devices.
      **options: Of `TrainingStep`; a loss scale is not supported.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: PaperMomentum,
        devices: Sequence[str],
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, tf.distribute.get_strategy(), **options)
        self._devices = tuple(devices)
        self._stages = list(_stages(self._model, self._devices))
        self._variables = [
            [v for stage in self._stages for v in stage.variables(t)] for t in range(TOWERS)
        ]
        self._halves: list[PaperMomentum] = []
        for device, variables in zip(self._devices, self._variables, strict=True):
            with tf.device(device):
                half = type(optimizer).from_config(optimizer.get_config())
                half.build(variables)
            self._halves.append(half)
        self._optimizers = self._halves
        self._load()

    def _load(self) -> None:
        """Splits weights and slots of the model and the optimizer between the towers."""
        for whole, halves in self._pairs():
            sizes = [half.shape[-1] for half in halves]
            for half, value in zip(halves, tf.split(whole.value, sizes, -1), strict=True):
                half.assign(value)
        for half in self._halves:
            half.iterations.assign(self._optimizer.iterations.numpy())

    def _store(self) -> None:
        """Joins the towers' weights and slots in the model and the optimizer."""
        for whole, halves in self._pairs():
            whole.assign(tf.concat([half.value for half in halves], -1))

    def _pairs(self) -> Iterator[tuple[keras.Variable, Pair]]:
        """Yields each weight and slot, whole and as the two halves."""
        yield from zip(
            self._model.trainable_variables, zip(*self._variables, strict=True), strict=True
        )
        for name, wholes in self._optimizer.slots.items():
            halves = [half.slots[name] for half in self._halves]
            yield from zip(wholes, zip(*halves, strict=True), strict=True)

    def _update(
        self, images: tf.Tensor, first_row: tf.Tensor, loss: Callable[[tf.Tensor], tf.Tensor]
    ) -> tf.Tensor:
        """Makes an update of both towers and returns the logits in float32.

        The backward pass is made stage by stage, each under its device: TensorFlow places the
        gradients that it derives by itself on the first device.
        """
        passed: list[tuple[Pair, Pair, Pair]] = []  # inputs, outputs and tapes of each stage
        x: Pair = [images, images]
        for stage in self._stages:
            with tf.name_scope(f"crossing_{stage.name}"):
                x = _cross(x, stage.reach, self._devices)
            outputs, tapes = [], []
            for tower, device in enumerate(self._devices):
                step = tf.convert_to_tensor(self._halves[tower].iterations)
                with tf.device(device), tf.GradientTape() as tape:
                    tape.watch(x[tower])
                    outputs.append(stage.run(tower, x[tower], self._seed, step))
                tapes.append(tape)
            passed.append((x, outputs, tapes))
            x = outputs
        with tf.device(self._devices[0]), tf.name_scope("crossing_loss"):
            with tf.GradientTape() as tape:
                tape.watch(x)
                logits = tf.cast(tf.concat(x, -1), tf.float32)
                value = loss(logits)
            upstream = tape.gradient(value, x)
        gradients: Pair = [[], []]
        for stage, (inputs, outputs, tapes) in zip(
            reversed(self._stages), reversed(passed), strict=True
        ):
            has_upstream = stage is not self._stages[0]  # the image needs no gradient
            below = []
            for tower, device in enumerate(self._devices):
                variables = stage.variables(tower)
                sources = [*variables, inputs[tower]] if has_upstream else variables
                with tf.device(device):
                    found = tapes[tower].gradient(outputs[tower], sources, upstream[tower])
                gradients[tower] = found[: len(variables)] + gradients[tower]
                below.append(found[-1])
            if has_upstream:
                with tf.name_scope(f"crossing_{stage.name}_gradient"):
                    upstream = _cross_back(below, stage.reach, self._devices)
        for tower, device in enumerate(self._devices):
            with tf.device(device):
                self._halves[tower].apply(gradients[tower], self._variables[tower])
        self._optimizer.iterations.assign_add(1)
        return logits


def make_step(
    devices: DeviceConfiguration,
    model: keras.Model,
    optimizer: PaperMomentum,
    recipe: Recipe,
    seed: int,
) -> TrainingStep:
    """Returns the training step for a device configuration: in towers, or on its replicas."""
    options: dict[str, Any] = {
        "seed": seed,
        "lighting_divisor": recipe.lighting_divisor,
        "label_smoothing": recipe.label_smoothing,
        "native": devices.kernels == "native",
        "ahead": devices.on_gpus,
    }
    if devices.strategy_name == "towers":
        return TowerStep(model, optimizer, devices.devices, **options)
    with devices.strategy.scope():
        loss_scale = LossScale() if devices.precision == "float16" else None
    return TrainingStep(model, optimizer, devices.strategy, loss_scale=loss_scale, **options)


def _cross(x: Pair, reach: int, devices: Sequence[str]) -> Pair:
    """Returns each tower's input: its own channels and, in their order, `reach` of the other's."""
    if not reach:
        return x
    with tf.device(devices[0]):
        sent_by_first = x[0][..., -reach:]
    with tf.device(devices[1]):
        sent_by_second = x[1][..., :reach]
    with tf.device(devices[0]):
        first = tf.concat([x[0], sent_by_second], -1)
    with tf.device(devices[1]):
        return [first, tf.concat([sent_by_first, x[1]], -1)]


def _cross_back(gradients: Pair, reach: int, devices: Sequence[str]) -> Pair:
    """Returns the gradients of the inputs of `_cross` from those of its outputs."""
    if not reach:
        return gradients
    channels = gradients[0].shape[-1] - reach
    with tf.device(devices[0]):
        own_of_first, sent_by_first = tf.split(gradients[0], [channels, reach], -1)
    with tf.device(devices[1]):
        sent_by_second, own_of_second = tf.split(gradients[1], [reach, channels], -1)
    zeros = [[0, 0]] * (len(gradients[0].shape) - 1)
    with tf.device(devices[0]):
        first = own_of_first + tf.pad(sent_by_second, [*zeros, [channels - reach, 0]])
    with tf.device(devices[1]):
        return [first, own_of_second + tf.pad(sent_by_first, [*zeros, [0, channels - reach]])]


def _stages(model: keras.Model, devices: Sequence[str]) -> Iterator[_Stage]:
    """Yields the network's stages, with each tower's layers created on its device."""
    halved = False  # whether a layer's input is one tower's half
    stage = _Stage("image")
    for layer in model.layers[1:]:
        channels = layer.input.shape[-1] // (TOWERS if halved else 1)
        reach = _reach(layer, channels) if halved else 0
        if reach:
            yield stage
            stage = _Stage(layer.name, reach)
            channels += reach
            if isinstance(layer, LocalResponseNormalization):
                stage.overlap = reach
            else:
                halved = False
        stage.halved.append(halved)
        has_units = isinstance(layer, GroupedConv2D | keras.layers.Dense)
        for tower, device in enumerate(devices):
            with tf.device(device):
                half = _half(layer, tower)
                half.build((*layer.input.shape[:-1], channels))
                if not has_units:  # the mean image, which does not change
                    half.set_weights(layer.get_weights())
            stage.layers[tower].append(half)
        halved = halved or has_units
    yield stage


def _reach(layer: keras.layers.Layer, channels: int) -> int:
    """Returns how many of the other tower's channels a layer needs."""
    if isinstance(layer, LocalResponseNormalization):
        return layer.depth_radius if layer.groups == 1 else 0
    if isinstance(layer, GroupedConv2D):
        return channels if layer.groups == 1 else 0
    return channels if isinstance(layer, keras.layers.Flatten | keras.layers.Dense) else 0


def _half(layer: keras.layers.Layer, tower: int) -> keras.layers.Layer:
    """Returns a tower's half of a layer; its weights are zeros and are copied later."""
    config = layer.get_config()
    if isinstance(layer, GroupedConv2D | LocalResponseNormalization):
        config["groups"] = max(1, layer.groups // TOWERS)
    for width in {"filters", "units"} & config.keys():
        first = config[width] - config[width] // TOWERS  # one class more if their number is odd
        config[width] = config[width] // TOWERS if tower else first
        config.update(kernel_initializer="zeros", bias_initializer="zeros")
    return type(layer).from_config(config)
