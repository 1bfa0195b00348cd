"""ImageNet's thousand classes: their synsets, and names that people read. No TensorFlow.

`imagenet_classes.txt` has a line per class, in the order of the ILSVRC-2012 class numbers that
Caffe, torchvision and TensorFlow Datasets use: the WordNet synset, as TensorFlow Datasets lists
it, and the name, as torchvision lists it.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

_FILE = Path(__file__).with_name("imagenet_classes.txt")


@functools.cache
def _lines() -> tuple[tuple[str, str], ...]:
    """Returns (synset, name) by class number."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    return tuple((synset, name) for synset, _, name in (line.partition(" ") for line in lines))


def synsets() -> tuple[str, ...]:
    """Returns the classes' WordNet numbers: "n01440764" comes first."""
    return tuple(synset for synset, _ in _lines())


def class_names() -> tuple[str, ...]:
    """Returns the classes' names, all different: "tench" comes first."""
    return tuple(name for _, name in _lines())


def readable(names: Sequence[str]) -> tuple[str, ...]:
    """Returns class names with every ImageNet synset among them replaced by its name."""
    words = dict(_lines())
    return tuple(words.get(name, name) for name in names)
