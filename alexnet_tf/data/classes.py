"""Match lists of class names that mean the same classes, in any order. No TensorFlow.

An ImageNet class may be named by its WordNet id ("n01440764"), by its name in this package
("tench") or by the devkit's synonyms ("tench, Tinca tinca"). Other classes match if their names are
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
# Fraction of the thousand classes that must be recognized at their positions; then names that are
# ambiguous ("crane" the bird and the machine) or unknown are identified by their position.
_RECOGNIZED = 0.95


def match_classes(model_names: Sequence[str], data_names: Sequence[str]) -> np.ndarray | None:
    """Returns the model's class number for each label of a data set: int64 [n].

    Names are listed by class number. Returns None if the classes are not the same.
    """
    of_model, of_data = class_identities(model_names), class_identities(data_names)
    is_unique = len(set(of_model)) == len(of_model)
    if len(of_model) != len(of_data) or set(of_model) != set(of_data) or not is_unique:
        same = tuple(model_names) == tuple(data_names)  # a name may occur twice
        return np.arange(len(of_model)) if same else None
    numbers = {identity: number for number, identity in enumerate(of_model)}
    return np.array([numbers[identity] for identity in of_data], np.int64)


def class_identities(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the WordNet id of each ImageNet class, and the name of every other class."""
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
    # Names that seem to mean the same class are kept as they are.
    return tuple(
        identity if counts[identity] == 1 else name
        for identity, name in zip(found, names, strict=True)
    )


@functools.cache
def _ids_by_name() -> dict[str, str]:
    """Returns the WordNet ids by this package's names of ImageNet's classes."""
    return dict(zip(imagenet.class_names(), imagenet.synsets(), strict=True))


def class_identity(name: str) -> str:
    """Returns the WordNet id of a class name, or the name if it is not an ImageNet class."""
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
