"""The paper's update rule, as a pure function and as a Keras optimizer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf import paper

# Size of a variable from which compiling its update pays.
_COMPILED_FROM = 200_000


def momentum_step(
    weight: Any,
    velocity: Any,
    gradient: Any,
    *,
    learning_rate: float,
    momentum: float = paper.MOMENTUM,
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


@keras.saving.register_keras_serializable(package="alexnet_tf")
class PaperMomentum(keras.optimizers.Optimizer):
    """`momentum_step` as a Keras optimizer, also for `Model.fit`.

    Weight decay applies to kernels only. Each variable's learning rate is `learning_rate` times a
    factor, 1 unless `set_rates` changes it; a factor of 0 freezes the variable: it keeps its value
    and its velocity becomes 0.

    Args:
      learning_rate: A float, a schedule or a callable, as for any Keras optimizer.
      momentum: Between 0 and 1.
      weight_decay: The paper's, inside the velocity.
      warm_up_steps: Number of first updates over which every learning rate rises linearly to its
        value; 0 for no warm-up (Goyal et al., 2017, section 2.2).
      name: Name of the optimizer.
      **kwargs: Of `keras.optimizers.Optimizer`.

    Attributes:
      only_if: bool scalar variable, or None; where it is False an update changes nothing.

    Raises:
      ValueError: `momentum`, `weight_decay` or `warm_up_steps` is out of range.
    """

    def __init__(
        self,
        learning_rate: Any = paper.LEARNING_RATE,
        momentum: float = paper.MOMENTUM,
        weight_decay: float = paper.WEIGHT_DECAY,
        warm_up_steps: int = 0,
        name: str = "paper_momentum",
        **kwargs: Any,
    ) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1. Received: {momentum}")
        if not weight_decay >= 0:
            raise ValueError(f"weight_decay must not be negative. Received: {weight_decay}")
        if warm_up_steps < 0:
            raise ValueError(f"warm_up_steps must not be negative. Received: {warm_up_steps}")
        # Keras' own weight_decay stays unset: it is the decoupled one.
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum
        self.velocity_decay = weight_decay
        self.warm_up_steps = warm_up_steps
        self.only_if: tf.Variable | None = None

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates one velocity per variable, and the vector of learning rate factors."""
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")
        self.rate_factors = self.add_variable(
            shape=(len(variables),), initializer="ones", name="rate_factors"
        )

    def set_rates(
        self,
        learning_rate: float,
        *,
        biases: float | None = None,
        layers: Mapping[str, float] | None = None,
        frozen: Sequence[str] = (),
        factors: Mapping[str, float] | None = None,
    ) -> None:
        """Sets the learning rate of every variable.

        Args:
          learning_rate: Learning rate of all variables that are not named below.
          biases: Learning rate of the biases; None: as the kernels.
          layers: Learning rates of the kernels of single layers, by layer name.
          frozen: Layers whose kernel and bias are not updated.
          factors: Factors of the learning rates of single layers, kernel and bias, by layer name.

        Raises:
          ValueError: A layer has no variable here.
        """
        layers, factors = layers or {}, factors or {}
        owners = [v.path.rsplit("/", 2)[-2] for v in self._trainable_variables]
        for name in [*layers, *frozen, *factors]:
            if name not in owners:
                raise ValueError(f"no trainable layer is called {name!r}: there are {owners}")
        shares = []
        for variable, owner in zip(self._trainable_variables, owners, strict=True):
            rate = learning_rate
            if variable.name == "bias":
                rate = learning_rate if biases is None else biases
            elif owner in layers:
                rate = layers[owner]
            share = factors.get(owner, 1.0) * rate / learning_rate
            shares.append(0.0 if owner in frozen else share)
        self.learning_rate = learning_rate
        self.rate_factors.assign(shares)

    def warm_up(self, update: Any, minimum: Callable[..., Any] = min) -> Any:
        """Returns the warm-up factor of an update, 0..1.

        Args:
          update: Number of the update, from 1; a number or a float tensor.
          minimum: `min`, or `tf.minimum` for a tensor.
        """
        return minimum(1.0, update / self.warm_up_steps) if self.warm_up_steps else 1.0

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any) -> None:
        """Updates one variable and its slots; a large one in one pass over memory."""
        index = self._get_variable_index(variable)
        factor = tf.cast(tf.convert_to_tensor(self.rate_factors)[index], variable.dtype)
        rate = tf.cast(learning_rate, variable.dtype) * factor
        update = tf.cast(tf.convert_to_tensor(self.iterations) + 1, variable.dtype)
        rate *= self.warm_up(update, tf.minimum)
        momentum = self.momentum * tf.cast(factor > 0, variable.dtype)
        is_kernel = self._trainable_variables[index].name == "kernel"
        weight_decay = self.velocity_decay if is_kernel else 0.0

        moving = [variable, *(resource(slots[index]) for slots in self.slots().values())]
        allowed = True if self.only_if is None else tf.convert_to_tensor(self.only_if)

        def move(
            gradient: tf.Tensor, rate: tf.Tensor, momentum: tf.Tensor, update: tf.Tensor
        ) -> None:
            before = [each.read_value() for each in moving]
            self.move(index, variable, gradient, rate, momentum, weight_decay, update)
            if self.only_if is not None:
                for each, old in zip(moving, before, strict=True):
                    each.assign(tf.where(allowed, each, old))

        # Only while a graph is traced: eagerly, each call would compile again and keep the result.
        if variable.shape.num_elements() >= _COMPILED_FROM and not tf.executing_eagerly():
            move = tf.function(move, jit_compile=True)
        move(gradient, rate, momentum, update)

    def move(
        self,
        index: int,
        variable: tf.Variable,
        gradient: tf.Tensor,
        rate: tf.Tensor,
        momentum: tf.Tensor,
        weight_decay: float,
        update: tf.Tensor,
    ) -> None:
        """Applies the update rule to one variable; subclasses have other rules.

        Args:
          index: The variable's index in the optimizer.
          variable: The variable to update.
          gradient: Its gradient, of the same shape.
          rate: Its learning rate; 0 if it is frozen.
          momentum: 0 if it is frozen.
          weight_decay: 0 for biases.
          update: Number of the update, from 1.
        """
        velocity = resource(self.velocities[index])
        weight, moved = momentum_step(
            variable,
            velocity,
            gradient,
            learning_rate=rate,
            momentum=momentum,
            weight_decay=weight_decay,
        )
        velocity.assign(moved)
        variable.assign(weight)

    def slots(self) -> dict[str, list[keras.Variable]]:
        """Returns the slot variables by name, in the order of the variables."""
        return {"velocity": self.velocities}

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config()
        config.update(
            momentum=self.momentum,
            weight_decay=self.velocity_decay,
            warm_up_steps=self.warm_up_steps,
        )
        return config


def resource(variable: keras.Variable) -> tf.Variable:
    """Returns the tf.Variable behind a Keras variable: this device's copy, if it is mirrored."""
    value = variable.value
    return value._get() if hasattr(value, "_get") else value
