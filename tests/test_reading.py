"""The guided reading, in both languages: its places, commands and numbers are what there is."""

import json
import math
import operator
import re
import shlex
import statistics
from pathlib import Path

import click
import pytest

from alexnet_tf import paper
from alexnet_tf.cli import COMMANDS, cli
from alexnet_tf.experiments.claims import CLAIMS, EXPERIMENTS
from alexnet_tf.experiments.results import STORED
from alexnet_tf.recipes import get_recipe

ROOT = Path(__file__).parents[1]
GUIDES = {"guide.md": "## Reading the paper\n", "guide.zh-CN.md": "## 读论文\n"}
RUN = get_recipe("2012")
CONV1 = RUN.network.convolutions[0]
PLACES = 1 + math.ceil((paper.INPUT_PIXELS - CONV1.kernel_size) / CONV1.strides)
OVERHANG = (PLACES - 1) * CONV1.strides + CONV1.kernel_size - paper.INPUT_PIXELS
MARGIN = paper.RESIZED_PIXELS - paper.INPUT_PIXELS
ERROR, IMAGES, GAIN = 0.38, 10_000, 0.4
DENSE = 256 * 6 * 6 * 4096 + 4096 * 4096 + 4096 * 1000
SQUARES = {paper.RESIZED_PIXELS, paper.INPUT_PIXELS}


def stored(name):
    """An experiment's stored results."""
    return json.loads((STORED / f"{name}.json").read_text(encoding="utf-8"))


def images(name):
    """How many training images an experiment had."""
    return stored(name)["data"]["train_examples"]


def values(name, variant, metric):
    """A metric by seed."""
    runs = [run for run in stored(name)["runs"] if run["variant"] == variant and run["selected"]]
    return [run["values"][metric] for run in runs]


def percent(name, variant, metric="test_error"):
    """The mean over the seeds, as results.md has it."""
    return round(100 * statistics.mean(values(name, variant, metric)), 2)


def epochs(variant):
    """The epochs of figure 1, by seed."""
    return values("relu-vs-tanh", variant, "epochs_to_training_error")


def near_neighbors():
    """The share that results.md has for the paper's distance in fc7."""
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    return float(re.search(r"^\| fc7, Euclidean distance[^|]*\| ([\d.]+)% \|$", page, re.M)[1])


CIFAR10 = (("cifar10-alexnet", "cifar10"), ("cifar10-best", "cifar10-best"))
# What each section says was measured, in the order in which both languages say it.
MEASURED = {
    "§3.1": [
        images("relu-vs-tanh"),
        *(round(statistics.mean(epochs(variant)), 1) for variant in ("relu", "tanh")),
        round(statistics.mean(map(operator.truediv, epochs("tanh"), epochs("relu"))), 1),
    ],
    "§3.2": [
        images("towers"),
        *(percent("towers", variant) for variant in ("two towers", "one network")),
    ],
    "§3.3": [
        images("lrn"),
        *(percent("lrn", variant) for variant in ("lrn", "none")),
        *(percent("batch-norm", variant) for variant in ("none", "lrn", "batch")),
    ],
    "§3.4": [
        images("overlapping-pooling"),
        *(percent("overlapping-pooling", variant) for variant in ("overlapping", "plain")),
    ],
    "§3.5": [
        images("paper-vs-2012"),
        *(percent("paper-vs-2012", variant) for variant in ("paper", "2012")),
    ],
    "§4.1": [
        images("ten-crop"),
        *(percent("ten-crop", "center crop", f"{kind}_crop_error") for kind in ("center", "ten")),
        *(percent("augmentation", v.name) for v in EXPERIMENTS["augmentation"].variants),
    ],
    "§4.2": [
        images("dropout"),
        *(percent("dropout", variant) for variant in ("dropout", "none")),
    ],
    "§5": [
        images("init"),
        images("weight-decay"),
        *(percent("weight-decay", variant, "training_error") for variant in ("0.0005", "0")),
    ],
    "§6": [
        images("cifar10-alexnet"),
        *(percent(name, recipe) for name, recipe in CIFAR10),
        near_neighbors(),
    ],
    "§7": [
        images("depth"),
        *(percent("depth", v) for v in ("five convolutions", "without conv3", "without conv4")),
    ],
}
# What each section says beside that; the paper's own results are section 6's and tables 1 and 2's.
NUMBERS = {
    "§2": SQUARES,
    "§3.1": {0, 1, 25},
    "§3.2": {3},
    "§3.3": {paper.LRN_K, paper.LRN_N, paper.LRN_ALPHA, paper.LRN_BETA},
    "§3.4": {paper.POOL_SIZE, paper.POOL_STRIDE, GAIN, 38, ERROR, 1 - ERROR, IMAGES, 150_000}
    | {round(100 * math.sqrt(ERROR * (1 - ERROR) / IMAGES), 2)}
    | {round(ERROR * (1 - ERROR) / (GAIN / 100 / 2) ** 2, -4)},
    "§3.5": {paper.PARAMETERS, paper.INPUT_PIXELS, CONV1.kernel_size, CONV1.strides}
    | {PLACES, OVERHANG}
    | {round(100 * (DENSE + 4096 + 4096 + 1000) / paper.PARAMETERS)}
    | {round(100 * DENSE / paper.MULTIPLY_ADDS)},
    "§4.1": SQUARES | {0, 32, MARGIN, MARGIN + 1, paper.RUN_LIGHTING_DIVISOR},
    "§4.2": {0},
    "§5": {paper.MOMENTUM, paper.WEIGHT_DECAY, paper.BATCH_SIZE, paper.LEARNING_RATE}
    | {
        paper.LEARNING_RATE_DIVISOR,
        paper.EPOCHS,
        paper.RUN_BIAS_LEARNING_RATE,
        *paper.RUN_LEARNING_RATE_EPOCHS,
    }
    | {paper.RUN_EPOCHS, paper.RUN_LIGHTING_OFF_EPOCH, paper.RUN_CONV1_FROZEN_EPOCH}
    | {0, 0.03},
    "§6": {37.5, 17.0, 39.0, 18.3, 18.2, 16.4, paper.HIDDEN_UNITS[-1]},
    "§7": {2},
}


def sections(name):
    """The sections of a guide's reading: heading to text."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    reading = text.split(GUIDES[name])[1].split("\n## ")[0]
    found = re.split(r"^### (§[\d.]+)[^\n]*\n", reading, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def numbers(text):
    """The numbers in a text in order, but those of names, figures, data sets, top-k, and links."""
    names = r"`[^`]*`|\]\([^)]*\)|[Ff]igure \d+|图 \d+|CIFAR-10|ILSVRC-\d+|2012|top-\d|\*\*.*?\*\*"
    text = re.sub(names, " ", text, flags=re.DOTALL)
    found = re.findall(r"(?<![A-Za-z\d.])\d+(?:,\d{3})*(?:\.\d+)?", text)
    return [float(number.replace(",", "")) for number in found]


def parted(text):
    """A section's paragraph of what was measured, and the rest."""
    found = re.search(r"\*\*(Measured\.|测得。)\*\*.*?(?=\n\n)", text, re.DOTALL)
    return (found[0], text.replace(found[0], "")) if found else ("", text)


@pytest.mark.parametrize("name", GUIDES)
def test_the_sections_are_those_known_here(name):
    assert list(sections(name)) == list(NUMBERS)


@pytest.mark.parametrize("section", NUMBERS)
@pytest.mark.parametrize("name", GUIDES)
def test_every_number_is_the_codes_or_the_papers(name, section):
    measured, rest = parted(sections(name)[section])
    assert numbers(measured) == pytest.approx(MEASURED.get(section, []))
    assert sorted(set(numbers(rest))) == pytest.approx(sorted(map(float, NUMBERS[section])))


@pytest.mark.parametrize("name", GUIDES)
def test_every_link_leads_somewhere(name):
    text = "".join(sections(name).values())
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 20
    for link in links:
        path, _, place = link.partition("#")
        page = ROOT / "docs" / path
        assert page.is_file(), link
        if place:
            headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in {
                re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
            }, link


@pytest.mark.parametrize("name", GUIDES)
def test_every_option_is_the_commands(name):
    code = re.findall(r"`([^`]+)`", "".join(sections(name).values()))
    words = [
        shlex.split(text.removeprefix("python cli.py "))
        for text in code
        if re.search(r"\s--", text)
    ]
    assert len(words) >= 3
    for command, *arguments in words:
        cli.get_command(click.Context(cli), command).make_context(command, arguments)


@pytest.mark.parametrize("name", GUIDES)
def test_every_place_in_the_code_is_there(name):
    text = "".join(sections(name).values())
    places = re.findall(r"`(alexnet_tf/[\w/]+\.py)`:\s((?:`\w+`(?:, )?)+)", text)
    assert len(places) == text.count("`alexnet_tf/")
    for path, defined in places:
        source = (ROOT / path).read_text(encoding="utf-8")
        for each in re.findall(r"`(\w+)`", defined):
            assert re.search(rf"^(def|class) {each}\b", source, re.MULTILINE), (path, each)


@pytest.mark.parametrize("name", GUIDES)
def test_every_command_and_experiment_is_there(name):
    text = "".join(sections(name).values()).replace("\n", " ")
    assert set(re.findall(r"python cli\.py (\w+)", text)) <= set(COMMANDS)
    named = set(re.findall(r"python cli\.py experiment ([\w-]+)", text))
    assert named <= set(EXPERIMENTS)
    assert named == {claim.name for claim in CLAIMS}


@pytest.mark.parametrize("name", GUIDES)
def test_every_section_asks_and_answers(name):
    for heading, text in sections(name).items():
        assert text.count("<details><summary>") == text.count("</details>") == 1, heading
        assert re.search(r"\*\*(Question|问题)[.。]\*\*", text), heading


def test_both_name_the_same_code_and_commands():
    for heading in NUMBERS:
        code = [re.findall(r"`[^`]*`", sections(name)[heading]) for name in GUIDES]
        cleaned = [[re.sub(r"\s+", " ", c) for c in each] for each in code]
        assert cleaned[0] == cleaned[1], heading


def test_what_is_said_of_first_weights_was_measured():
    plateaued: dict[str, list[float]] = {}
    for run in stored("init")["runs"]:
        value = run["values"]["plateaued_at_chance_level"]
        plateaued.setdefault(run["variant"], []).append(value)
    assert set(plateaued["paper"] + plateaued["2012"]) == {1.0}
    assert set(plateaued["stable"]) == {0.0}
    assert min(len(seeds) for seeds in plateaued.values()) >= 5


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readmes_results_are_the_stored_ones(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    units = r"%| times| points| 倍| 个百分点"
    found = re.findall(
        rf"^\| [^|]*\|[^|]*\| (-?[\d.]+)(?:{units})( \([a-z ]+\)|（[^）|]+）)? \|$", text, re.M
    )
    rows = [number for number, _ in found]
    # A minus sign alone does not say what got worse.
    assert all(number.startswith("-") == bool(remark) for number, remark in found)
    lrn = [percent("lrn", variant) for variant in ("none", "lrn")]
    pooling = [percent("overlapping-pooling", variant) for variant in ("plain", "overlapping")]
    crops = [percent("ten-crop", "center crop", f"{kind}_crop_error") for kind in ("center", "ten")]
    dropout = [percent("dropout", variant) for variant in ("none", "dropout")]
    colors = [percent("augmentation", f"crops{v}") for v in (" and flips", ", flips, lighting")]
    depth = [
        percent("depth", f"{v}") for v in ("five convolutions", "without conv3", "without conv4")
    ]
    decay = [percent("weight-decay", variant, "training_error") for variant in ("0", "0.0005")]
    expected = [
        *(100 - percent(name, recipe) for name, recipe in CIFAR10),
        100 - percent("fashion-mnist-alexnet", "fashion-mnist"),
        100 - percent("fashion-mnist-alexnet", "fashion-mnist, momentum"),
        statistics.mean(map(operator.truediv, epochs("tanh"), epochs("relu"))),
        lrn[0] - lrn[1],
        pooling[0] - pooling[1],
        crops[0] - crops[1],
        colors[0] - colors[1],
        dropout[0] - dropout[1],
        depth[1] - depth[0],
        depth[2] - depth[0],
        decay[0] - decay[1],
    ]
    assert [float(row) for row in rows] == pytest.approx(expected, abs=0.05)
