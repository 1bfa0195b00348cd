"""What the paper claims, section by section. No TensorFlow."""

import dataclasses
from typing import Any

from alexnet_tf.experiments.definition import Experiment, Pair, Variant
from alexnet_tf.recipes import get_recipe

SMALL = "five convolutions and two hidden layers of 256 units on 32 pixels (`cifar10-small`)"
_CROPS: dict[str, Any] = {"network": {"input_size": 28}, "flip": True}


def _without(*numbers: int) -> dict[str, Any]:
    """Returns the change that removes convolutions, by number from 1, of `cifar10-small`."""
    blocks = get_recipe("cifar10-small").network.convolutions
    kept = tuple(block for number, block in enumerate(blocks, 1) if number not in numbers)
    return {"network": {"convolutions": kept}}


def _network_of_2012() -> dict[str, Any]:
    """Returns the change that gives `cifar10-small` the 2012 run's order of layers and norms."""
    run = get_recipe("2012").network
    small = get_recipe("cifar10-small").network.convolutions
    return {
        "convolutions": tuple(
            dataclasses.replace(mine, then=theirs.then)
            for mine, theirs in zip(small, run.convolutions, strict=True)
        ),
        "lrn_alpha": run.lrn_alpha,
        "lrn_within_groups": run.lrn_within_groups,
    }


CLAIMS = (
    Experiment(
        name="relu-vs-tanh",
        claim="A four-layer network on CIFAR-10 with ReLU reaches 25% training error six times "
        "sooner than one with tanh, each at its best rate and without regularization.",
        section="3.1, figure 1",
        paper="six times",
        recipe="four-layer",
        variants=(Variant("relu"), Variant("tanh", {"activation": "tanh"})),
        metrics=("epochs_to_training_error",),
        expected=(Pair("relu", "tanh", 6),),
        ratio=True,
        epochs=60,
        limit_val=1000,
        changes={
            "norm": "none",
            "weight_decay": 0.0,
            "schedule": get_recipe("cifar10").schedule,
        },
        rates=(0.003, 0.01, 0.001, 0.03, 0.1, 0.0003),
        how="No norm layers, a constant rate, batches of 128. The training error is the average "
        "over an epoch while the network learns, and a straight line between epochs.",
        reason="Both networks begin from weights made for their activation (`stable`), which "
        "spares tanh its slow start, and on fewer images an epoch is fewer updates.",
    ),
    Experiment(
        name="lrn",
        claim="Local response normalization makes a four-layer network on CIFAR-10 better: "
        "13% test error without, 11% with it.",
        section="3.3",
        paper="2 points (13% to 11%)",
        recipe="four-layer",
        variants=(Variant("lrn"), Variant("none", {"norm": "none"})),
        expected=(Pair("lrn", "none", 2),),
        epochs=16,
        how="After the ReLU of the first two convolutions, as in the paper's network.",
        reason="The paper's errors are a third of ours: its four layers learnt from more images, "
        "for longer.",
    ),
    Experiment(
        name="dropout",
        claim="Without dropout in the hidden layers the network overfits: it is worse on new "
        "images.",
        section="4.2",
        paper="",
        recipe="cifar10-small",
        variants=(Variant("dropout"), Variant("none", {"dropout": 0.0})),
        metrics=("test_error", "training_error"),
        expected=(Pair("dropout", "none"),),
        how=f"With {SMALL}. Training error is counted with dropout on.",
        reason="Dropout needs about twice the epochs (section 4.2), and hidden layers of 256 units "
        "overfit less than the paper's of 4096.",
    ),
    Experiment(
        name="augmentation",
        claim="Random crops and reflections keep the network from overfitting; changing the "
        "colors along their principal components takes another 1% off.",
        section="4.1",
        paper="more than 1 point for the colors",
        recipe="cifar10-small",
        variants=(
            Variant("none", {"resize_pixels": 28, "flip": False}),
            Variant("crops and flips"),
            Variant("crops, flips, colors", {"lighting_std": 0.1}),
        ),
        metrics=("test_error", "training_error"),
        expected=(
            Pair("crops and flips", "none"),
            Pair("crops, flips, colors", "crops and flips", 1, more=True),
        ),
        changes=_CROPS,
        how=f"Crops of 28 of 32 pixels, with {SMALL}; without, images rescaled to 28 pixels. "
        "The crops are judged on the central 28 pixels, the rescaled images on the whole.",
        reason="A short training of a small network is limited by what it can fit, not by "
        "overfitting; CIFAR-10's objects change color less with the light than photos do.",
    ),
    Experiment(
        name="init",
        claim="The paper's first weights, and those of the 2012 run, do not start learning on "
        "a small set in a few hundred updates; `stable` does.",
        section="",
        paper="",
        recipe="cifar10-small",
        variants=tuple(Variant(init, {"init": init}) for init in ("stable", "paper", "2012", "he")),
        metrics=("stuck", "training_loss"),
        expected=(Pair("stable", "paper"), Pair("stable", "2012")),
        limit_train=2000,
        limit_val=1000,
        epochs=10,
        seeds=5,
        changes={"batch_size": 64, "schedule": get_recipe("cifar10").schedule},
        how="Batches of 64 images. A run sticks if its last epoch's loss is not 2% below that "
        f"of guessing. With {SMALL}.",
        reason="A network this small is easier to start than the paper's.",
    ),
    Experiment(
        name="weight-decay",
        claim="Weight decay is not merely a regularizer: it reduces the training error.",
        section="5",
        paper="",
        recipe="cifar10-small",
        variants=(
            Variant("0.0005", {"weight_decay": 0.0005}),
            Variant("0", {"weight_decay": 0.0}),
        ),
        metrics=("training_error", "training_loss", "test_error"),
        expected=(Pair("0.0005", "0"),),
        how=f"With {SMALL}.",
        reason="In a short training the decay has little to do: at a rate of 0.01 and a momentum "
        "of 0.9 it takes some 20,000 updates to bring a weight down to a third.",
    ),
    Experiment(
        name="depth",
        claim="Removing any of the middle convolutions costs about 2 points of top-1 error.",
        section="7",
        paper="about 2 points",
        recipe="cifar10-small",
        variants=(
            Variant("five convolutions"),
            Variant("without conv3", _without(3)),
            Variant("without conv4", _without(4)),
        ),
        expected=(
            Pair("five convolutions", "without conv3", 2),
            Pair("five convolutions", "without conv4", 2),
        ),
        how=f"With {SMALL}. conv3 alone joins the two towers: without it they meet in the hidden "
        "layers only.",
        reason="On 10,000 images of 32 pixels depth is worth less, and a shallower network learns "
        "faster in a short training.",
    ),
    Experiment(
        name="towers",
        claim="Two towers that meet in one layer lose little against a network whose convolutions "
        "see all maps, which has more weights and more work.",
        section="",
        paper="",
        recipe="cifar10-small",
        variants=(Variant("two towers"), Variant("one network", {"network": {"groups": 1}})),
        metrics=("test_error", "training_error"),
        expected=(Pair("one network", "two towers"),),
        alike_within=1.0,
        how=f"With {SMALL}. Section 3.2 compares with a network of half the kernels (1.7 points "
        "worse), which is another question.",
        reason="A network this small is short of weights, and the towers have fewer.",
    ),
    Experiment(
        name="overlapping-pooling",
        claim="Pooling that overlaps (3x3, every 2) is better than pooling that does not (2x2).",
        section="3.4",
        paper="0.4 points top-1, 0.3 top-5",
        recipe="cifar10-small",
        variants=(Variant("overlapping"), Variant("plain", {"pooling": "plain"})),
        metrics=("test_error", "training_error"),
        expected=(Pair("overlapping", "plain", 0.4),),
        how=f"With {SMALL}.",
        reason="0.4 points are less than the spread of three seeds; and on 32 pixels plain pooling "
        "leaves maps of 4x4 to the hidden layers, overlapping pooling of 3x3.",
    ),
    Experiment(
        name="ten-crop",
        claim="Averaging over ten crops is better than the center crop: 39.0% to 37.5% top-1.",
        section="4.1 and 6",
        paper="1.5 points",
        recipe="cifar10-small",
        variants=(
            Variant("center crop", metric="center_crop_error"),
            Variant("ten crops", runs_of="center crop", metric="ten_crop_error"),
        ),
        metrics=("ten_crop_error",),
        expected=(Pair("ten crops", "center crop", 1.5),),
        changes=_CROPS,
        how=f"Crops of 28 of 32 pixels, with {SMALL}; the same trained networks, judged twice.",
        reason="Crops of 28 of 32 pixels differ less than those of 224 of 256.",
    ),
    Experiment(
        name="paper-vs-2012",
        claim="The network of the paper's text and that of the code that made its numbers are "
        "equally good.",
        section="",
        paper="",
        recipe="cifar10-small",
        variants=(
            Variant("paper"),
            Variant("2012", {"network": _network_of_2012()}),
        ),
        metrics=("test_error", "training_error"),
        alike_within=1.0,
        how=f"Reduced: {SMALL}, with each network's order of layers, its alpha and its towers in "
        "the response norm; the same first weights and schedule.",
        reason="In the first block the run normalizes before the ReLU, and its alpha is five times "
        "smaller: on few images that may weigh more than on a million.",
    ),
)
