"""The paper's claims, section by section, and the list of all experiments. No TensorFlow."""

import dataclasses
from typing import Any

from alexnet_tf.errors import choose
from alexnet_tf.experiments.ablations import ABLATIONS, REPRODUCTIONS, SMALL_NETWORK
from alexnet_tf.experiments.definition import Experiment, Pair, Variant
from alexnet_tf.recipes import get_recipe

_CONSTANT_RATE = get_recipe("cifar10").schedule
_CROPS: dict[str, Any] = {"network": {"input_size": 28}, "flip": True}


def _without_convolutions(*numbers: int) -> dict[str, Any]:
    """Returns the change that removes convolutions, by number from 1, of `cifar10-small`."""
    blocks = get_recipe("cifar10-small").network.convolutions
    kept = tuple(block for number, block in enumerate(blocks, 1) if number not in numbers)
    return {"network": {"convolutions": kept}}


def _network_of_2012() -> dict[str, Any]:
    """Returns the change that gives `cifar10-small` the order of layers and LRN of `2012`."""
    run = get_recipe("2012").network
    small = get_recipe("cifar10-small").network.convolutions
    convolutions = tuple(
        dataclasses.replace(block, then=other.then)
        for block, other in zip(small, run.convolutions, strict=True)
    )
    changes = {"lrn_alpha": run.lrn_alpha, "lrn_within_groups": run.lrn_within_groups}
    return {"network": {"convolutions": convolutions, **changes}}


CLAIMS = (
    Experiment(
        name="relu-vs-tanh",
        claim="A four-layer network on CIFAR-10 with ReLU reaches 25% training error six times "
        "sooner than one with tanh, each with its best learning rate and without regularization.",
        section="3.1, figure 1",
        paper_result="six times",
        recipe="four-layer",
        variants=(Variant("relu"), Variant("tanh", {"activation": "tanh"})),
        metrics=("epochs_to_training_error",),
        expected=(Pair("relu", "tanh", 6),),
        compares_ratio=True,
        epochs=60,
        limit_val=1000,
        changes={"norm": "none", "weight_decay": 0.0, "schedule": _CONSTANT_RATE},
        learning_rates=(0.003, 0.01, 0.001, 0.03, 0.1, 0.0003),
        setting="No LRN, a constant learning rate, batches of 128. The training error is the "
        "average over an epoch during training, interpolated linearly between epochs.",
        limitation="Both networks have initial weights that suit their activation (`stable`), "
        "which spares tanh its slow start, and with fewer images an epoch has fewer updates.",
    ),
    Experiment(
        name="lrn",
        claim="Local response normalization lowers the test error of a four-layer network on "
        "CIFAR-10 from 13% to 11%.",
        section="3.3",
        paper_result="2 points (13% to 11%)",
        recipe="four-layer",
        variants=(Variant("lrn"), Variant("none", {"norm": "none"})),
        metrics=("test_error",),
        expected=(Pair("lrn", "none", 2),),
        epochs=16,
        setting="After the ReLU of the first two convolutions, as in the paper's network.",
        limitation="The paper's errors are a third of ours: its four layers were trained on more "
        "images, for longer.",
    ),
    Experiment(
        name="dropout",
        claim="Without dropout in the hidden layers the network overfits: its test error is "
        "higher.",
        section="4.2",
        variants=(Variant("dropout"), Variant("none", {"dropout": 0.0})),
        expected=(Pair("dropout", "none"),),
        setting=f"With {SMALL_NETWORK}. The training error is measured with dropout.",
        limitation="Dropout needs about twice the epochs (section 4.2), and hidden layers of 256 "
        "units overfit less than the paper's of 4096.",
    ),
    Experiment(
        name="augmentation",
        claim="Random crops and horizontal flips reduce overfitting; PCA lighting lowers the error "
        "by another 1%.",
        section="4.1",
        paper_result="more than 1 point for PCA lighting",
        variants=(
            Variant("none", {"resize_pixels": 28, "flip": False}),
            Variant("crops and flips"),
            Variant("crops, flips, lighting", {"lighting_std": 0.1}),
            Variant("random-resized, flips", {"crop": "random-resized"}),
            Variant("crops, flips, color jitter", {"color_jitter": 0.4}),
        ),
        expected=(
            Pair("crops and flips", "none"),
            Pair("crops, flips, lighting", "crops and flips", 1, more_than=True),
        ),
        changes=_CROPS,
        setting=f"Crops of 28 of 32 pixels, with {SMALL_NETWORK}; without crops, images rescaled "
        "to 28 pixels. Crops are evaluated on the central 28 pixels, rescaled images on all. "
        "Random-resized crops and color jitter (0.4) are later than the paper.",
        limitation="A short training of a small network is limited by underfitting, not by "
        "overfitting, and the colors of CIFAR-10's objects depend less on the light than those "
        "of photos.",
    ),
    Experiment(
        name="init",
        claim="With the paper's initial weights, or those of the 2012 run, the loss stays at "
        "chance level for hundreds of updates on a small data set; with `stable` it falls.",
        variants=tuple(Variant(init, {"init": init}) for init in ("stable", "paper", "2012", "he")),
        metrics=("plateaued_at_chance_level", "training_loss"),
        expected=(Pair("stable", "paper"), Pair("stable", "2012")),
        limit_train=2000,
        limit_val=1000,
        epochs=10,
        seeds=5,
        changes={"batch_size": 64, "schedule": _CONSTANT_RATE},
        setting="Batches of 64 images. A run is at chance level if the loss of its last epoch is "
        f"not 2% below the chance-level loss. With {SMALL_NETWORK}.",
        limitation="A network this small starts to learn more easily than the paper's.",
    ),
    Experiment(
        name="weight-decay",
        claim="Weight decay is not only a regularizer: it lowers the training error.",
        section="5",
        variants=(
            Variant("0.0005", {"weight_decay": 0.0005}),
            Variant("0", {"weight_decay": 0.0}),
        ),
        metrics=("training_error", "training_loss", "test_error"),
        expected=(Pair("0.0005", "0"),),
        setting=f"With {SMALL_NETWORK}.",
        limitation="A short training is too short for weight decay: with a learning rate of 0.01 "
        "and a momentum of 0.9 it takes some 20,000 updates to reduce a weight to a third.",
    ),
    Experiment(
        name="depth",
        claim="Removing any of the middle convolutions costs about 2 points of top-1 error.",
        section="7",
        paper_result="about 2 points",
        variants=(
            Variant("five convolutions"),
            Variant("without conv3", _without_convolutions(3)),
            Variant("without conv4", _without_convolutions(4)),
        ),
        metrics=("test_error",),
        expected=(
            Pair("five convolutions", "without conv3", 2),
            Pair("five convolutions", "without conv4", 2),
        ),
        setting=f"With {SMALL_NETWORK}. Only conv3 connects the two towers: without it they meet "
        "in the hidden layers.",
        limitation="With 10,000 images of 32 pixels depth matters less, and a shallower network "
        "learns faster in a short training.",
    ),
    Experiment(
        name="towers",
        claim="Two towers that meet in one convolution are little worse than convolutions that "
        "see all channels, which have more weights and need more operations.",
        variants=(Variant("two towers"), Variant("one network", {"network": {"groups": 1}})),
        expected=(Pair("one network", "two towers"),),
        equal_within=1.0,
        setting=f"With {SMALL_NETWORK}. Section 3.2 compares with a network of half the kernels "
        "(1.7 points worse), which is another question.",
        limitation="A network this small has few weights, and the towers have fewer still.",
    ),
    Experiment(
        name="overlapping-pooling",
        claim="Overlapping pooling (3x3, stride 2) is better than non-overlapping pooling (2x2).",
        section="3.4",
        paper_result="0.4 points top-1, 0.3 top-5",
        variants=(Variant("overlapping"), Variant("plain", {"pooling": "plain"})),
        expected=(Pair("overlapping", "plain", 0.4),),
        setting=f"With {SMALL_NETWORK}.",
        limitation="0.4 points are less than the spread of three seeds; and on 32 pixels plain "
        "pooling gives the hidden layers 4x4 positions, overlapping pooling 3x3.",
    ),
    Experiment(
        name="ten-crop",
        claim="Averaging over ten crops is better than the center crop: 37.5% instead of 39.0% "
        "top-1 error.",
        section="4.1 and 6",
        paper_result="1.5 points",
        variants=(
            Variant("center crop", metric="center_crop_error"),
            Variant("ten crops", evaluates="center crop", metric="ten_crop_error"),
        ),
        metrics=("ten_crop_error",),
        expected=(Pair("ten crops", "center crop", 1.5),),
        changes=_CROPS,
        setting=f"Crops of 28 of 32 pixels, with {SMALL_NETWORK}; the same trained networks, "
        "evaluated in both ways.",
        limitation="Crops of 28 of 32 pixels differ less than those of 224 of 256.",
    ),
    Experiment(
        name="paper-vs-2012",
        claim="The network of the paper's text and that of the released 2012 code are equally "
        "good.",
        variants=(Variant("paper"), Variant("2012", _network_of_2012())),
        equal_within=1.0,
        setting=f"Reduced: {SMALL_NETWORK}, with each network's order of layers and its LRN (alpha "
        "and groups); the same initial weights and schedule.",
        limitation="In its first block the 2012 network normalizes before the ReLU, and its alpha "
        "is five times smaller, which may matter more with few images than with a million.",
    ),
)

EXPERIMENTS = {each.name: each for each in (*CLAIMS, *ABLATIONS, *REPRODUCTIONS)}


def get_experiment(name: str) -> Experiment:
    """Returns the experiment of that name; raises InputError if it is unknown."""
    return EXPERIMENTS[choose(name, tuple(EXPERIMENTS), "experiment")]
