"""Everything that training changes, by name: what a checkpoint holds."""

import keras
import tensorflow as tf

from alexnet_tf.training.loss_scale import LossScale
from alexnet_tf.training.optimizer import PaperMomentum


def training_variables(
    model: keras.Model, optimizer: PaperMomentum, loss_scale: LossScale | None
) -> dict[str, keras.Variable | tf.Variable]:
    """Returns the weights, the optimizer's slots and the loss scale, by name.

    Seed generators are left out: masks are drawn by position, and their names are not stable.

    Args:
      model: The network.
      optimizer: Built for the network.
      loss_scale: Of a network that computes in float16, or None.
    """
    lasting = (v for v in model.variables if "seed_generator" not in v.path)
    variables = {f"model/{v.path}": v for v in lasting}
    for name, slots in optimizer.slots().items():
        for slot, v in zip(slots, model.trainable_variables, strict=True):
            variables[f"{name}/{v.path}"] = slot
    if loss_scale is not None:
        variables |= {
            "loss_scale/value": loss_scale.value,
            "loss_scale/in_row": loss_scale.good_in_row,
        }
    return variables
