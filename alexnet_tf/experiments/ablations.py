"""What people ask beyond the paper: other norms, activations, poolings. No TensorFlow."""

import itertools

from alexnet_tf.experiments.claims import SMALL
from alexnet_tf.experiments.definition import Experiment, Pair, Variant
from alexnet_tf.settings import Schedule

_ADAMW = {"optimizer": "adamw", "weight_decay": 0.05}
_TEST_AND_TRAINING = ("test_error", "training_error")

ABLATIONS = (
    Experiment(
        name="batch-norm",
        claim="Batch normalization in the place of local response normalization ends better.",
        section="",
        paper="",
        recipe="cifar10-small",
        variants=(
            Variant("batch", {"norm": "batch"}),
            Variant("lrn"),
            Variant("none", {"norm": "none"}),
        ),
        metrics=_TEST_AND_TRAINING,
        expected=(Pair("batch", "lrn"), Pair("batch", "none")),
        how=f"After the ReLU, where the paper has its norm. With {SMALL}.",
        reason="It stands after two layers of five only, and with dropout in the hidden layers.",
    ),
    Experiment(
        name="activations",
        claim="ReLU learns faster than tanh and the sigmoid; leaky and soft rectifiers beside it.",
        section="",
        paper="",
        recipe="cifar10-small",
        variants=(
            Variant("relu"),
            *(
                Variant(name, {"activation": name})
                for name in ("leaky_relu", "elu", "gelu", "tanh", "sigmoid")
            ),
        ),
        metrics=("training_error", "test_error"),
        expected=(Pair("relu", "tanh"), Pair("relu", "sigmoid")),
        epochs=10,
        rates=(0.003, 0.01, 0.03),
        how=f"Each at the best of three rates for its training error. With {SMALL}.",
        reason="`stable` gives every activation first weights that suit it, and LRN keeps tanh "
        "from saturating.",
    ),
    Experiment(
        name="pooling",
        claim="Overlapping, plain and average pooling on the same network.",
        section="",
        paper="",
        recipe="cifar10-small",
        variants=tuple(
            Variant(name, {"pooling": name}) for name in ("overlapping", "plain", "average")
        ),
        metrics=_TEST_AND_TRAINING,
        how=f"With {SMALL}.",
    ),
    Experiment(
        name="optimizers",
        claim="Nesterov's momentum, AdamW and a cosine against the paper's momentum and steps.",
        section="",
        paper="",
        recipe="cifar10-small",
        variants=(
            Variant("momentum"),
            Variant("momentum, cosine", {"schedule": Schedule(kind="cosine")}),
            Variant("nesterov", {"optimizer": "nesterov"}),
            Variant("adamw", {**_ADAMW}),
            Variant("adamw, cosine", {**_ADAMW, "schedule": Schedule(kind="cosine")}),
        ),
        metrics=("training_error", "test_error"),
        rates=(0.001, 0.003, 0.01, 0.03),
        how="Each at the best of four rates for its training error; the decay of AdamW is 0.05, "
        f"times the rate. With {SMALL}.",
    ),
    Experiment(
        name="dropout-by-decay",
        claim="Dropout and weight decay, each alone, together and neither.",
        section="",
        paper="",
        recipe="cifar10-small",
        variants=tuple(
            Variant(
                f"dropout {dropout:g}, decay {decay:g}",
                {"dropout": dropout, "weight_decay": decay},
            )
            for dropout, decay in itertools.product((0.0, 0.5), (0.0, 0.0005, 0.005))
        ),
        metrics=_TEST_AND_TRAINING,
        how=f"With {SMALL}. Training error is counted with dropout on.",
    ),
)
