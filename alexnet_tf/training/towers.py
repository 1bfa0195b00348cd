"""The network as the paper trained it: half of the maps and units on each of two devices.

Each tower has its own half of every kernel, on its device. They see each other's maps only where
the arrows of the paper's figure 2 cross: before conv3 and before the fully connected layers; and
each other's gradients only there. A network whose response normalization looks over the border
between the towers, as the paper's text has it, sends those few border maps too.
"""

import contextlib
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
from alexnet_tf.training.optimizers import PaperMomentum
from alexnet_tf.training.step import LossScale, TrainingStep

Pair = list[Any]  # of each tower, one


@dataclasses.dataclass
class _Stage:
    """Layers between two crossings.

    Attributes:
      name: Of the first layer.
      reach: How many of the other tower's maps, from the border on, each tower gets; 0: none.
      layers: Of each tower, in order.
      halved: For each layer, whether it has one tower's half of the maps or all of them.
      overlap: Maps of the other tower that are dropped after the first layer.
    """

    name: str
    reach: int = 0
    overlap: int = 0
    layers: Pair = dataclasses.field(default_factory=lambda: [[], []])
    halved: list[bool] = dataclasses.field(default_factory=list)

    def variables(self, tower: int) -> list[keras.Variable]:
        """Returns what a tower learns here."""
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
    """`TrainingStep` on two devices, a tower on each.

    Args:
      model: The whole network, from `build_model`, which `check_towers` takes.
      optimizer: The whole network's.
      devices: Two, by name.
      seed: Of the dropout masks.
      lighting_divisor: Of `apply_lighting`, while lighting is on.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: PaperMomentum,
        devices: Sequence[str],
        *,
        seed: int,
        lighting_divisor: float = 1.0,
    ) -> None:
        super().__init__(
            model,
            optimizer,
            tf.distribute.get_strategy(),
            seed=seed,
            lighting_divisor=lighting_divisor,
        )
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
        """Takes over the weights and velocities that were put into the model and the optimizer."""
        for whole, halves in self._pairs():
            sizes = [half.shape[-1] for half in halves]
            for half, value in zip(halves, tf.split(whole.value, sizes, -1), strict=True):
                half.assign(value)
        for half in self._halves:
            half.iterations.assign(self._optimizer.iterations.numpy())

    def _store(self) -> None:
        """Puts the weights and velocities as they are now into the model and the optimizer."""
        for whole, halves in self._pairs():
            whole.assign(tf.concat([half.value for half in halves], -1))

    def _pairs(self) -> Iterator[tuple[keras.Variable, Pair]]:
        """Gives everything that is learnt, whole and halved."""
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

        The backward pass is made stage by stage, each under its device: TensorFlow leaves what it
        derives by itself on the first one.
        """
        passed: list[tuple[Pair, Pair, Pair]] = []  # of each stage: inputs, outputs, tapes
        x: Pair = [images, images]
        for stage in self._stages:
            with tf.name_scope(f"crossing_{stage.name}"):
                x = _cross(x, stage.reach, self._devices)
            outputs, tapes = [], []
            for tower, place in self._places():
                step = tf.convert_to_tensor(self._halves[tower].iterations)
                with place, tf.GradientTape() as tape:
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
            learnt = stage is not self._stages[0]  # nobody asks for the image's gradient
            below = []
            for tower, place in self._places():
                variables = stage.variables(tower)
                sources = [*variables, inputs[tower]] if learnt else variables
                with place:
                    found = tapes[tower].gradient(outputs[tower], sources, upstream[tower])
                gradients[tower] = found[: len(variables)] + gradients[tower]
                below.append(found[-1])
            if learnt:
                with tf.name_scope(f"crossing_{stage.name}_gradient"):
                    upstream = _cross_back(below, stage.reach, self._devices)
        for tower, place in self._places():
            with place:
                self._halves[tower].apply(gradients[tower], self._variables[tower])
        self._optimizer.iterations.assign_add(1)
        return logits

    def _places(self) -> Iterator[tuple[int, contextlib.AbstractContextManager[Any]]]:
        """Gives each tower and the scope that puts operations on its device."""
        for tower, device in enumerate(self._devices):
            yield tower, tf.device(device)


def make_step(
    machine: DeviceConfiguration,
    model: keras.Model,
    optimizer: PaperMomentum,
    recipe: Recipe,
    seed: int,
) -> TrainingStep:
    """Returns the training step for a machine: in towers, or on its replicas."""
    divisor = recipe.lighting_divisor
    if machine.strategy_name == "towers":
        return TowerStep(model, optimizer, machine.devices, seed=seed, lighting_divisor=divisor)
    with machine.strategy.scope():
        loss_scale = LossScale() if machine.precision == "float16" else None
    return TrainingStep(
        model,
        optimizer,
        machine.strategy,
        seed=seed,
        lighting_divisor=divisor,
        loss_scale=loss_scale,
    )


def _cross(x: Pair, reach: int, devices: Sequence[str]) -> Pair:
    """Returns what each tower sees: its own maps and, in their order, `reach` of the other's."""
    sent = list(x)
    if reach:
        with tf.device(devices[0]):
            sent[0] = x[0][..., -reach:]
        with tf.device(devices[1]):
            sent[1] = x[1][..., :reach]
        with tf.device(devices[0]):
            first = tf.concat([x[0], sent[1]], -1)
        with tf.device(devices[1]):
            return [first, tf.concat([sent[0], x[1]], -1)]
    return x


def _cross_back(gradients: Pair, reach: int, devices: Sequence[str]) -> Pair:
    """Returns the gradients of what went into `_cross`, from those of what came out."""
    if not reach:
        return gradients
    own, sent = [None, None], [None, None]
    maps = gradients[0].shape[-1] - reach
    with tf.device(devices[0]):
        own[0], sent[0] = tf.split(gradients[0], [maps, reach], -1)
    with tf.device(devices[1]):
        sent[1], own[1] = tf.split(gradients[1], [reach, maps], -1)
    zeros = [[0, 0]] * (len(gradients[0].shape) - 1)
    with tf.device(devices[0]):
        first = own[0] + tf.pad(sent[1], [*zeros, [maps - reach, 0]])
    with tf.device(devices[1]):
        return [first, own[1] + tf.pad(sent[0], [*zeros, [0, maps - reach]])]


def _stages(model: keras.Model, devices: Sequence[str]) -> Iterator[_Stage]:
    """Gives the network's stages, with each tower's layers made on its device."""
    halved = False  # whether what a layer gets is one tower's half
    stage = _Stage("image")
    for layer in model.layers[1:]:
        maps = layer.input.shape[-1] // (TOWERS if halved else 1)
        reach = _reach(layer, maps) if halved else 0
        if reach:
            yield stage
            stage = _Stage(layer.name, reach)
            maps += reach
            if isinstance(layer, LocalResponseNormalization):
                stage.overlap = reach
            else:
                halved = False
        stage.halved.append(halved)
        has_units = isinstance(layer, GroupedConv2D | keras.layers.Dense)
        for tower, device in enumerate(devices):
            with tf.device(device):
                half = _half(layer, tower)
                half.build((*layer.input.shape[:-1], maps))
                if not has_units:  # the mean, which does not change
                    half.set_weights(layer.get_weights())
            stage.layers[tower].append(half)
        halved = halved or has_units
    yield stage


def _reach(layer: keras.layers.Layer, maps: int) -> int:
    """Returns how many of the other tower's maps a layer needs."""
    if isinstance(layer, LocalResponseNormalization):
        return layer.depth_radius if layer.groups == 1 else 0
    if isinstance(layer, GroupedConv2D):
        return maps if layer.groups == 1 else 0
    return maps if isinstance(layer, keras.layers.Flatten | keras.layers.Dense) else 0


def _half(layer: keras.layers.Layer, tower: int) -> keras.layers.Layer:
    """Returns a tower's half of a layer; weights start as zeros and are copied later."""
    config = layer.get_config()
    if isinstance(layer, GroupedConv2D | LocalResponseNormalization):
        config["groups"] = max(1, layer.groups // TOWERS)
    for width in {"filters", "units"} & config.keys():
        first = config[width] - config[width] // TOWERS  # of an odd number of classes one more
        config[width] = config[width] // TOWERS if tower else first
        config.update(kernel_initializer="zeros", bias_initializer="zeros")
    return type(layer).from_config(config)
