"""Whether two lists of class names mean the same classes, in whatever order. No TensorFlow.

A class of ImageNet is the same class by its WordNet id ("n01440764"), by its name here ("tench")
and by the devkit's synonyms ("tench, Tinca tinca"). Other classes are the same if their names are
equal.
"""

import functools
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from alexnet_tf import imagenet

_WORDNET_ID = re.compile(r"n\d{8}")
_ID_IN_BRACKETS = re.compile(r"\((n\d{8})\)$")  # how `prepare` distinguishes equal names
# Fraction of the thousand classes that must be recognized at their positions for names that are
# ambiguous ("crane" the bird and the machine) or unknown to be taken by position.
_RECOGNIZED = 0.95


def match_classes(model_names: Sequence[str], data_names: Sequence[str]) -> np.ndarray | None:
    """Returns the model's class number for each class of a data set.

    Args:
      model_names: Class names by the model's class number.
      data_names: Class names by the data set's label.

    Returns:
      int64 [n]: entry i is the model's number of the class with label i; None if the classes are
      not the same.
    """
    ours, theirs = class_identities(model_names), class_identities(data_names)
    if len(ours) != len(theirs) or set(ours) != set(theirs) or len(set(ours)) != len(ours):
        same = tuple(model_names) == tuple(data_names)  # equal names twice, in the same order
        return np.arange(len(ours)) if same else None
    numbers = {identity: number for number, identity in enumerate(ours)}
    return np.array([numbers[identity] for identity in theirs], np.int64)


def class_identities(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the WordNet id of each ImageNet class, and the name of every other class.

    Args:
      names: Class names by number.
    """
    ids = imagenet.synsets()
    found = [class_identity(name) for name in names]
    counts = Counter(found)
    if len(names) == len(ids):
        recognized = sum(a == b for a, b in zip(found, ids, strict=True))
        if recognized >= _RECOGNIZED * len(ids):
            known = set(ids)
            placed = [
                identity if identity in known and counts[identity] == 1 else at_position
                for identity, at_position in zip(found, ids, strict=True)
            ]
            if len(set(placed)) == len(ids):
                return tuple(placed)
    # Two names that seem the same class are told apart by their names.
    return tuple(
        identity if counts[identity] == 1 else name
        for identity, name in zip(found, names, strict=True)
    )


@functools.cache
def _ids_by_name() -> dict[str, str]:
    """Returns the WordNet ids by this package's names of ImageNet's classes."""
    return dict(zip(imagenet.class_names(), imagenet.synsets(), strict=True))


def class_identity(name: str) -> str:
    """Returns the WordNet id that a class name means by itself, or the name."""
    by_name = _ids_by_name()
    if _WORDNET_ID.fullmatch(name):
        return name
    in_brackets = _ID_IN_BRACKETS.search(name)
    if in_brackets:
        return in_brackets.group(1)
    if name in by_name:
        return by_name[name]
    if "," in name:  # the devkit's synonyms; the first is the name in most cases
        for synonym in name.split(","):
            if synonym.strip() in by_name:
                return by_name[synonym.strip()]
    return name
