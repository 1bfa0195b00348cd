"""The update rules: the paper's momentum, Nesterov's momentum and AdamW.

Each rule is a pure function of arrays or tensors, and a Keras optimizer that applies it. Learning
rates come from outside: from `LearningRateSchedule` in training, from Keras in `Model.fit`.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from alexnet_tf import paper
from alexnet_tf.model.layers.compiled import uses_native_kernels
from alexnet_tf.settings import Recipe

# Elements of a variable from which compiling its update pays.
_COMPILED_FROM = 200_000
_ADAMW_BETA_2, _ADAMW_EPSILON = 0.999, 1e-7


def momentum_step(
    weight: Any,
    velocity: Any,
    gradient: Any,
    *,
    learning_rate: Any,
    momentum: Any = paper.MOMENTUM,
    weight_decay: float = paper.WEIGHT_DECAY,
) -> tuple[Any, Any]:
    """Returns the next (weight, velocity) by section 5 of the paper.

        velocity <- momentum * velocity - weight_decay * learning_rate * weight
                    - learning_rate * gradient
        weight   <- weight + velocity

    The decay is inside the velocity, so it is the gradient of (weight_decay / 2) * weight^2, not
    the decoupled decay of Keras' `SGD(weight_decay=)`.

    Args:
      weight: Array or tensor.
      velocity: The same shape.
      gradient: The same shape: the average over the batch.
      learning_rate: The paper's epsilon.
      momentum: 0.9 in the paper.
      weight_decay: 0.0005 in the paper.
    """
    velocity = (
        momentum * velocity - weight_decay * learning_rate * weight - learning_rate * gradient
    )
    return weight + velocity, velocity


def nesterov_step(
    weight: Any,
    velocity: Any,
    gradient: Any,
    *,
    learning_rate: Any,
    momentum: Any,
    weight_decay: float,
) -> tuple[Any, Any]:
    """Returns the next (weight, velocity) by Nesterov's momentum; arguments as `momentum_step`.

        step     =  learning_rate * (gradient + weight_decay * weight)
        velocity <- momentum * velocity - step
        weight   <- weight + momentum * velocity - step

    Sutskever, Martens, Dahl, Hinton, *On the importance of initialization and momentum in deep
    learning*, 2013, in the form of Bengio et al.'s *Advances in optimizing recurrent networks*.
    """
    step = learning_rate * (gradient + weight_decay * weight)
    velocity = momentum * velocity - step
    return weight + momentum * velocity - step, velocity


def adamw_step(
    weight: Any,
    mean: Any,
    square: Any,
    gradient: Any,
    *,
    learning_rate: Any,
    momentum: Any,
    weight_decay: float,
    update: Any,
) -> tuple[Any, Any, Any]:
    """Returns the next (weight, mean, square) by AdamW (Loshchilov and Hutter, 2019).

        mean   <- momentum * mean + (1 - momentum) * gradient
        square <- 0.999 * square + 0.001 * gradient^2
        weight <- weight - learning_rate * (mean / (1 - momentum^update)
                    / (sqrt(square / (1 - 0.999^update)) + 1e-7) + weight_decay * weight)

    `mean` and `square` are the running means of the gradients and of their squares, `momentum` is
    Adam's beta 1, and `update` is the number of the update, from 1. Shapes as in `momentum_step`.
    """
    mean = momentum * mean + (1 - momentum) * gradient
    square = _ADAMW_BETA_2 * square + (1 - _ADAMW_BETA_2) * tf.square(gradient)
    unbiased = mean / (1 - momentum**update)
    size = tf.sqrt(square / (1 - _ADAMW_BETA_2**update)) + _ADAMW_EPSILON
    return weight - learning_rate * (unbiased / size + weight_decay * weight), mean, square


@keras.saving.register_keras_serializable(package="alexnet_tf")
class PaperMomentum(keras.optimizers.Optimizer):
    """`momentum_step` as a Keras optimizer, also for `Model.fit`; base of the other two.

    Weight decay applies to kernels only. A variable's learning rate is `learning_rate` times its
    entry of `multipliers`; where that is 0 the variable is frozen: it keeps its value and its
    velocity becomes 0.

    Args:
      learning_rate: A float, a schedule or a callable, as for any Keras optimizer.
      momentum: At least 0 and below 1.
      weight_decay: At least 0.
      name: Name of the optimizer.
      **kwargs: Of `keras.optimizers.Optimizer`.

    Attributes:
      multipliers: float32 [variables] variable, ones at first; exists once the optimizer is built.
      only_if: bool scalar variable, or None; where it is False an update changes nothing.

    Raises:
      ValueError: `momentum` or `weight_decay` is out of range.

    Examples:
      >>> weight = keras.Variable([1.0])
      >>> optimizer = an.PaperMomentum(learning_rate=0.1, momentum=0.9)
      >>> for _ in range(2):  # velocity -0.2, then 0.9 * -0.2 - 0.1 * 2 = -0.38
      ...     optimizer.apply([np.array([2.0], np.float32)], [weight])
      >>> print(weight.numpy().round(3))
      [0.42]
    """

    slot_names: ClassVar[tuple[str, ...]] = ("velocity",)

    def __init__(
        self,
        learning_rate: Any = paper.LEARNING_RATE,
        momentum: float = paper.MOMENTUM,
        weight_decay: float = paper.WEIGHT_DECAY,
        name: str = "paper_momentum",
        **kwargs: Any,
    ) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1. Received: {momentum}")
        if not weight_decay >= 0:
            raise ValueError(f"weight_decay must not be negative. Received: {weight_decay}")
        # Keras' own weight_decay stays unset: it is the decoupled one.
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum
        self.velocity_decay = weight_decay
        self.only_if: tf.Variable | None = None

    def rule(self, *values: Any, update: Any, **settings: Any) -> tuple[Any, ...]:
        """Returns the next weight and slots, from the weight, its slots and its gradient."""
        return momentum_step(*values, **settings)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the slots of every variable, and the vector of multipliers."""
        if self.built:
            return
        super().build(variables)
        self.slots = {
            name: self.add_optimizer_variables(variables, name) for name in self.slot_names
        }
        self.multipliers = self.add_variable(
            shape=(len(variables),), initializer="ones", name="multipliers"
        )

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any) -> None:
        """Updates one variable and its slots; a large one in one pass over memory."""
        index = self._get_variable_index(variable)
        multiplier = tf.cast(tf.convert_to_tensor(self.multipliers)[index], variable.dtype)
        update = tf.cast(tf.convert_to_tensor(self.iterations) + 1, variable.dtype)
        is_kernel = self._trainable_variables[index].name == "kernel"
        slots = [_device_copy(self.slots[name][index]) for name in self.slot_names]
        allowed = True if self.only_if is None else tf.convert_to_tensor(self.only_if)

        def apply(
            gradient: tf.Tensor, learning_rate: tf.Tensor, momentum: tf.Tensor, update: tf.Tensor
        ) -> None:
            changed = [variable, *slots]
            before = [each.read_value() for each in changed]
            after = self.rule(
                *before,
                gradient,
                update=update,
                learning_rate=learning_rate,
                momentum=momentum,
                weight_decay=self.velocity_decay if is_kernel else 0.0,
            )
            for each, old, new in zip(changed, before, after, strict=True):
                each.assign(new if self.only_if is None else tf.where(allowed, new, old))

        # Only while a graph is traced: eagerly, each call would compile again and keep the result.
        run: Callable[..., None] = apply
        is_large = variable.shape.num_elements() >= _COMPILED_FROM
        if is_large and not tf.executing_eagerly() and not uses_native_kernels():
            run = tf.function(apply, jit_compile=True)
        run(
            gradient,
            tf.cast(learning_rate, variable.dtype) * multiplier,
            self.momentum * tf.cast(multiplier > 0, variable.dtype),
            update,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config()
        config.update(momentum=self.momentum, weight_decay=self.velocity_decay)
        return config


@keras.saving.register_keras_serializable(package="alexnet_tf")
class NesterovMomentum(PaperMomentum):
    """`nesterov_step` as a Keras optimizer; arguments as `PaperMomentum`."""

    def rule(self, *values: Any, update: Any, **settings: Any) -> tuple[Any, ...]:
        """Returns the next weight and velocity."""
        return nesterov_step(*values, **settings)


@keras.saving.register_keras_serializable(package="alexnet_tf")
class AdamW(PaperMomentum):
    """`adamw_step` as a Keras optimizer; arguments as `PaperMomentum`."""

    slot_names = ("velocity", "square")  # "velocity" is the mean: its name in checkpoints

    def rule(self, *values: Any, **settings: Any) -> tuple[Any, ...]:
        """Returns the next weight, mean and mean square."""
        return adamw_step(*values, **settings)


_OPTIMIZERS = {"momentum": PaperMomentum, "nesterov": NesterovMomentum, "adamw": AdamW}


def make_optimizer(recipe: Recipe) -> PaperMomentum:
    """Returns the recipe's optimizer, not built.

    Its learning rate is 1: the learning rates of `LearningRateSchedule` are its multipliers.
    """
    kind = _OPTIMIZERS[recipe.optimizer]
    return kind(1.0, recipe.momentum, recipe.weight_decay, name=recipe.optimizer)


def _device_copy(variable: keras.Variable) -> tf.Variable:
    """Returns the tf.Variable behind a Keras variable: this device's copy, if it is mirrored."""
    value = variable.value
    return value._get() if hasattr(value, "_get") else value
