"""The guide, in both languages, names what there is."""

import re
from pathlib import Path

import pytest

from alexnet_tf.settings import ACTIVATIONS, INITS, NETWORK_OVERRIDES, NORMS, POOLINGS

DOCS = Path(__file__).parents[1] / "docs"
GUIDES = ("guide.md", "guide.zh-CN.md")


def read(name):
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", GUIDES)
def test_every_init_and_every_choice_of_a_network_is_in_it(name):
    table = re.findall(r"^\| (`.*?) \|", read(name), re.MULTILINE)
    rows = [init for cell in table for init in re.findall(r"`([\w-]+)`", cell)]
    assert sorted(i for i in rows if i in INITS) == sorted(INITS)
    for option in NETWORK_OVERRIDES:
        assert f"--{option}" in read(name)
    for choice in (*ACTIVATIONS, *NORMS, *POOLINGS):
        assert re.search(rf"\b{choice}\b", read(name), re.ASCII), choice


def test_both_have_the_same_code():
    blocks = [re.findall(r"```\w+\n.*?```", read(name), re.DOTALL) for name in GUIDES]
    assert blocks[0] == blocks[1]
    assert len(blocks[0]) >= 2


@pytest.mark.parametrize("name", GUIDES)
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#]+)\)", read(name)):
        assert (DOCS / target).exists(), target
