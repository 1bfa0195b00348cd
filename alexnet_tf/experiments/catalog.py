"""All experiments: `get_experiment("lrn")`. No TensorFlow."""

from alexnet_tf.errors import choose
from alexnet_tf.experiments.ablations import ABLATIONS
from alexnet_tf.experiments.claims import CLAIMS
from alexnet_tf.experiments.definition import Experiment
from alexnet_tf.experiments.relatives import RELATIVES

EXPERIMENTS = {experiment.name: experiment for experiment in (*CLAIMS, *ABLATIONS, *RELATIVES)}


def get_experiment(name: str) -> Experiment:
    """Returns the experiment of that name.

    Raises:
      InputError: There is none.
    """
    return EXPERIMENTS[choose(name, tuple(EXPERIMENTS), "experiment")]
