"""docs/fidelity.md matches the code: the numbers in its tables and the tests that it names."""

import itertools
import re
from pathlib import Path

import pytest

from alexnet_tf import paper
from alexnet_tf.recipes import get_recipe

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8")
PAPER, RUN = get_recipe("paper"), get_recipe("2012")
COLUMNS = ("paper", "2012 run", "ours in `paper`", "ours in `2012`")


def rows():
    """The tables' rows, by their first cell."""
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in TEXT.splitlines() if line[:1] == "|"]
    body = [[c.strip() for c in row] for row in cells if not set("".join(row)) <= set("-| ")]
    assert all(len(row) == 6 for row in body)
    return {row[0]: row[1:] for row in body if row[0] != "detail"}


def numbers(cell):
    """The numbers in a cell, except those of sections, figures, names and the pixel scale."""
    cell = re.sub(r"`[^`]*`|§[\d.]+|Fig\. \d+|0\.\.255", "", cell)
    found = re.findall(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?", cell)
    return {float(number.replace(",", "")) for number in found}


def sizes(network):
    """Filters, kernel sizes and input channels per group of conv2 to conv5."""
    convolutions = network.convolutions
    channels = [c.filters // d.groups for c, d in itertools.pairwise(convolutions)]
    return {n for c in convolutions[1:] for n in (c.filters, c.kernel_size)} | set(channels)


def norm(network):
    radius = network.lrn_depth_radius
    return {network.lrn_bias, 2 * radius + 1, network.lrn_alpha, network.lrn_beta}


def lighting(recipe):
    assert recipe.lighting_units == "std"
    return {0, recipe.lighting_std}


def crops(recipe):
    pixels = recipe.network.input_size
    return {pixels, recipe.resize_pixels, 0, recipe.resize_pixels - pixels}


MARGIN = paper.RESIZED_PIXELS - paper.INPUT_PIXELS
CONV1 = PAPER.network.convolutions[0]
OUTPUTS = 1 - (CONV1.kernel_size - paper.INPUT_PIXELS) // CONV1.strides
OVERHANG = (OUTPUTS - 1) * CONV1.strides + CONV1.kernel_size - paper.INPUT_PIXELS
SPATIAL = {
    paper.RUN_SPATIAL_SIZE,
    paper.RUN_SPATIAL_ALPHA,
    paper.RUN_SPATIAL_BETA,
    paper.RUN_SPATIAL_K,
}
RULE = {paper.MOMENTUM, paper.WEIGHT_DECAY}
RUN_RATES = {RUN.learning_rate, RUN.learning_rate * RUN.bias_learning_rate_factor}
FALLS = {paper.LEARNING_RATE_DIVISOR, *paper.RUN_LEARNING_RATE_EPOCHS}
OFF = {paper.RUN_LIGHTING_OFF_EPOCH, paper.RUN_CONV1_LEARNING_RATE}
STDS = {paper.WEIGHT_STD, *paper.RUN_WEIGHT_STD.values()}
NONE: set[float] = set()

# The numbers in the four cells of each row.
FACTS = {
    "image size": (
        {paper.RESIZED_PIXELS},
        NONE,
        {PAPER.resize_pixels},
        {RUN.resize_pixels},
    ),
    "what is subtracted": (NONE, {paper.INPUT_PIXELS}, NONE, NONE),
    "training crops": (
        {paper.INPUT_PIXELS, paper.RESIZED_PIXELS, MARGIN},
        {0, MARGIN},
        crops(PAPER),
        crops(RUN),
    ),
    "images with the same crop and flip": (NONE, {32}, NONE, NONE),
    "PCA lighting": ({0, paper.LIGHTING_STD}, NONE, lighting(PAPER), lighting(RUN)),
    "scaling with PCA lighting": (
        NONE,
        {paper.RUN_LIGHTING_DIVISOR},
        NONE,
        {RUN.lighting_divisor},
    ),
    "evaluation": ({paper.TEN_CROPS}, NONE, {paper.TEN_CROPS}, NONE),
    "input": ({224, 3},) * 4,
    "conv1": (
        {CONV1.filters, CONV1.kernel_size, CONV1.strides, 3},
        {96, 11, 4, 1, paper.INPUT_PIXELS, OUTPUTS, OVERHANG},
        {OUTPUTS},
        {OUTPUTS},
    ),
    "conv2 to conv5": (sizes(PAPER.network), {2, 1}, NONE, NONE),
    "local response normalization (LRN)": (
        {paper.LRN_K, paper.LRN_N, paper.LRN_ALPHA, paper.LRN_BETA},
        norm(RUN.network) | {paper.LRN_ALPHA},
        norm(PAPER.network),
        norm(RUN.network),
    ),
    "spatial (within-channel) LRN": (NONE, SPATIAL | {0.001, 25}, NONE, SPATIAL),
    "pooling": (
        {paper.POOL_SIZE, paper.POOL_STRIDE},
        NONE,
        {paper.POOL_SIZE, paper.POOL_STRIDE},
        {paper.POOL_SIZE, paper.POOL_STRIDE},
    ),
    "fully connected": (
        {*paper.HIDDEN_UNITS, paper.CLASSES},
        {paper.HIDDEN_UNITS[0], 2},
        set(PAPER.network.hidden_units),
        set(RUN.network.hidden_units),
    ),
    "dropout": (
        {paper.DROPOUT_RATE},
        NONE,
        {PAPER.network.dropout},
        {RUN.network.dropout},
    ),
    "parameters": ({60}, NONE, {paper.PARAMETERS}, {paper.PARAMETERS}),
    "multiply-adds per image": (NONE, NONE, {paper.MULTIPLY_ADDS}, {paper.MULTIPLY_ADDS}),
    "update": (
        RULE,
        NONE,
        {PAPER.momentum, PAPER.weight_decay},
        {RUN.momentum, RUN.weight_decay},
    ),
    "gradient": (
        {paper.BATCH_SIZE},
        {paper.BATCH_SIZE},
        {PAPER.batch_size},
        {RUN.batch_size},
    ),
    "initial learning rate": (
        {paper.LEARNING_RATE},
        {paper.LEARNING_RATE, paper.RUN_BIAS_LEARNING_RATE},
        {PAPER.learning_rate},
        RUN_RATES,
    ),
    "learning rate schedule": (
        {paper.LEARNING_RATE_DIVISOR, paper.LEARNING_RATE_REDUCTIONS},
        FALLS,
        {
            round(1 / PAPER.schedule.factor),
            PAPER.schedule.reductions,
            PAPER.schedule.patience_epochs,
        },
        FALLS | {RUN.epochs},
    ),
    "epochs": ({paper.EPOCHS}, {paper.RUN_EPOCHS}, {PAPER.epochs}, {RUN.epochs}),
    "end of PCA lighting": (NONE, OFF, NONE, OFF),
    "freezing": (NONE, {paper.RUN_CONV1_FROZEN_EPOCH}, NONE, {paper.RUN_CONV1_FROZEN_EPOCH}),
    "initial weights": ({0, paper.WEIGHT_STD}, STDS, {paper.WEIGHT_STD}, STDS),
    "initial biases": ({0, 1}, NONE, {0, 1}, {0, 1}),
}
WITHOUT_NUMBERS = {
    "resize filter",
    "mean image and principal components are those of",
    "whole network",
    "towers",
    "after conv1",
    "after conv2",
    "after conv5",
    "channels in the LRN window",
    "weight decay of biases",
    "arithmetic",
}


def test_rows_are_those_checked_here():
    assert set(rows()) == set(FACTS) | WITHOUT_NUMBERS


@pytest.mark.parametrize("detail", rows())
def test_numbers_match_the_code(detail):
    cells = rows()[detail][:4]
    for column, cell, expected in zip(COLUMNS, cells, FACTS.get(detail, (NONE,) * 4), strict=True):
        found = sorted(numbers(cell))
        assert found == pytest.approx(sorted({float(n) for n in expected})), column


@pytest.mark.parametrize("detail", rows())
def test_named_tests_exist(detail):
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", rows()[detail][4])
    assert len(named) == rows()[detail][4].count("::") >= 1
    for path, name in named:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^def {name}\(", text, re.MULTILINE), f"{path}::{name}"


def test_orders_of_layers_match_the_recipes():
    words = {"ReLU": "activation", "LRN": "norm", "spatial LRN": "spatial_norm", "pool": "pool"}
    for number in (1, 2, 5):
        for column, recipe in ((2, PAPER), (3, RUN)):
            cell = rows()[f"after conv{number}"][column].split(":")[0]
            order = tuple(words[word] for word in cell.split(", "))
            assert order == recipe.network.convolutions[number - 1].then


def test_marked_deviations_are_explained():
    marked = [row for row, cells in rows().items() if any("(deviation)" in c for c in cells)]
    assert marked == ["images with the same crop and flip", "arithmetic"]
    explained = TEXT.split("## Where we deviate")[1]
    assert "**Crop and flip" in explained
    assert "**bfloat16.**" in explained
