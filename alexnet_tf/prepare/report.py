"""What `prepare` tells: images per class, sizes, color models, duplicates, what was wrong."""

import collections
import csv
import io
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from alexnet_tf.prepare.items import SKIPPED, Problem, Source

REPORT, PROBLEMS, DUPLICATES = "report.json", "problems.csv", "duplicates.csv"

Parts = dict[str, dict[str, np.ndarray]]


def make_report(
    source: Source, parts: Parts, problems: Iterable[Problem], size: int
) -> dict[str, Any]:
    """Returns the report as plain values.

    Args:
      source: What was prepared.
      parts: By split, the columns of what was written: label, size, kind, digest.
      problems: All that was wrong.
      size: Side that images were rescaled to.
    """
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    skipped: collections.Counter[str] = collections.Counter()
    for problem in problems:
        counts[_kind(problem.problem), problem.action] += 1
        skipped[problem.split] += problem.action == SKIPPED
    splits = {
        split: {
            "images": len(columns["label"]),
            "skipped": skipped.pop(split, 0),
            "per_class": dict(
                zip(
                    source.class_names,
                    np.bincount(columns["label"], minlength=len(source.class_names)).tolist(),
                    strict=True,
                )
            ),
            **_sizes(columns["size"], size),
            "kinds": dict(sorted(collections.Counter(columns["kind"].tolist()).items())),
        }
        for split, columns in parts.items()
    }
    return {
        "splits": splits,
        "files_in_no_split": sum(skipped.values()),
        "problems": [
            {"problem": what, "action": action, "files": files}
            for (what, action), files in sorted(counts.items(), key=lambda entry: -entry[1])
        ],
        "duplicates": _duplicate_counts(parts),
    }


def problems_csv(problems: Iterable[Problem]) -> str:
    """Returns the table of every file that was repaired or skipped."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Problem._fields)
    writer.writerows(problems)
    return text.getvalue()


def duplicates_csv(source: Source, parts: Parts, name_of: Callable[[str, int], str]) -> str:
    """Returns the table of pictures that are there more than once, a group after another.

    Args:
      source: What was prepared.
      parts: As in `make_report`.
      name_of: Gives the file's name of an example of a split.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("group", "split", "class", "file"))
    for number, group in enumerate(_groups(parts)):
        for split, index in group:
            label = source.class_names[parts[split]["label"][index]]
            writer.writerow((number, split, label, name_of(split, index)))
    return text.getvalue()


def _groups(parts: Parts) -> list[list[tuple[str, int]]]:
    """Returns the groups of equal pictures, each as (split, index)."""
    places = [(split, i) for split, columns in parts.items() for i in range(len(columns["label"]))]
    digests = np.concatenate([columns["digest"] for columns in parts.values()])
    _, inverse, counts = np.unique(digests, axis=0, return_inverse=True, return_counts=True)
    several = np.flatnonzero(counts[inverse.ravel()] > 1)
    groups: dict[int, list[tuple[str, int]]] = {}
    for at in several.tolist():
        groups.setdefault(int(inverse.ravel()[at]), []).append(places[at])
    return list(groups.values())


def _duplicate_counts(parts: Parts) -> dict[str, int]:
    """Returns how many pictures are there more than once, and in what places."""
    groups = _groups(parts)

    def labels(group: list[tuple[str, int]]) -> set[int]:
        return {int(parts[split]["label"][i]) for split, i in group}

    return {
        "groups": len(groups),
        "superfluous_images": sum(len(group) - 1 for group in groups),
        "groups_across_splits": sum(len({split for split, _ in group}) > 1 for group in groups),
        "groups_across_classes": sum(len(labels(group)) > 1 for group in groups),
    }


def _sizes(sizes: np.ndarray, size: int) -> dict[str, Any]:
    """Returns the images' widths and heights in pixels."""
    if not len(sizes):
        return {"width": None, "height": None, "enlarged": 0}
    spread = {
        name: {
            "smallest": int(values.min()),
            "median": int(np.median(values)),
            "largest": int(values.max()),
        }
        for name, values in (("width", sizes[:, 0]), ("height", sizes[:, 1]))
    }
    return {**spread, "enlarged": int((sizes.min(axis=1) < size).sum())}


def _kind(problem: str) -> str:
    """Returns a problem without what differs from file to file."""
    return re.split(r"[:(]", problem)[0].strip()
