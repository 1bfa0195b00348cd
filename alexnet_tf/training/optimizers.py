"""Other update rules, for comparison with the paper's: Nesterov's momentum and AdamW."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.settings import Recipe
from alexnet_tf.training.optimizer import PaperMomentum, resource

_SQUARES_KEPT, _EPSILON = 0.999, 1e-7


@keras.saving.register_keras_serializable(package="alexnet_tf")
class NesterovMomentum(PaperMomentum):
    """The paper's rule with the gradient taken as if the velocity had been applied already.

        velocity <- momentum * velocity - learning_rate * (gradient + weight_decay * weight)
        weight   <- weight + momentum * velocity
                    - learning_rate * (gradient + weight_decay * weight)

    Sutskever, Martens, Dahl, Hinton, *On the importance of initialization and momentum in deep
    learning*, 2013, in the form of Bengio et al.'s *Advances in optimizing recurrent networks*.
    """

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
        """Applies the update rule to one variable."""
        velocity = resource(self.velocities[index])
        down = rate * (gradient + weight_decay * variable)
        moved = momentum * velocity - down
        velocity.assign(moved)
        variable.assign(variable + momentum * moved - down)


@keras.saving.register_keras_serializable(package="alexnet_tf")
class AdamW(PaperMomentum):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    Learning rates are set as in `PaperMomentum`.

        mean   <- momentum * mean + (1 - momentum) * gradient
        square <- 0.999 * square + 0.001 * gradient^2
        weight <- weight - learning_rate * (mean / (1 - momentum^t)
                    / (sqrt(square / (1 - 0.999^t)) + 1e-7) + weight_decay * weight)

    The velocities hold the means.
    """

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates a mean and a mean square per variable."""
        if self.built:
            return
        super().build(variables)
        self.squares = self.add_optimizer_variables(variables, "square")

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
        """Applies the update rule to one variable."""
        mean, square = resource(self.velocities[index]), resource(self.squares[index])
        means = momentum * mean + (1 - momentum) * gradient
        squares = _SQUARES_KEPT * square + (1 - _SQUARES_KEPT) * tf.square(gradient)
        unbiased = means / (1 - momentum**update)
        size = tf.sqrt(squares / (1 - _SQUARES_KEPT**update)) + _EPSILON
        mean.assign(means)
        square.assign(squares)
        variable.assign(variable - rate * (unbiased / size + weight_decay * variable))

    def slots(self) -> dict[str, list[keras.Variable]]:
        """Returns the means and mean squares, in the order of the variables."""
        return {**super().slots(), "square": self.squares}


_KINDS: dict[str, Any] = {"momentum": PaperMomentum, "nesterov": NesterovMomentum, "adamw": AdamW}


def make_optimizer(recipe: Recipe, steps_per_epoch: int) -> PaperMomentum:
    """Returns the recipe's optimizer, not built.

    Args:
      recipe: Its optimizer, learning rate, momentum, weight decay and warm-up.
      steps_per_epoch: Updates in an epoch.
    """
    optimizer: PaperMomentum = _KINDS[recipe.optimizer](
        recipe.learning_rate,
        recipe.momentum,
        recipe.weight_decay,
        warm_up_steps=round(recipe.warm_up_epochs * steps_per_epoch),
        name=recipe.optimizer,
    )
    return optimizer
