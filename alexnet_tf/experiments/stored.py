"""Results that are kept with the code, in docs/results, and the part of a page made of them."""

import json
import re
from pathlib import Path
from typing import Any

from alexnet_tf.errors import InputError
from alexnet_tf.experiments.catalog import EXPERIMENTS
from alexnet_tf.experiments.table import table, verdict

DOCS = Path(__file__).parents[2] / "docs"
STORED = DOCS / "results"
PICTURES = "pictures"
BEGIN, END = "<!-- experiments -->", "<!-- end of experiments -->"


def read_stored(folder: Path = STORED) -> dict[str, dict[str, Any]]:
    """Returns the stored results by experiment; none where the package has no docs beside it."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
    }


def cost(name: str, folder: Path = STORED) -> tuple[float, str] | None:
    """Returns the hours that a stored experiment took and the machine; None: it is not stored."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    results = json.loads(path.read_text(encoding="utf-8"))
    return results["seconds"] / 3600, results["machine"]


def block(stored: dict[str, dict[str, Any]]) -> str:
    """Returns the results as Markdown, in the catalog's order, between the two marks.

    Args:
      stored: What results.json holds, by experiment.
    """
    parts = [BEGIN, "<!-- made by `python benchmarks/results.py` from docs/results/*.json -->"]
    parts.append(_at_a_glance(stored))
    for name in EXPERIMENTS:
        if name in stored:
            parts += [f"### {name}", table(stored[name]), f"![{name}]({PICTURES}/{name}.png)"]
    return "\n\n".join([*parts, END])


def _at_a_glance(stored: dict[str, dict[str, Any]]) -> str:
    """Returns a table with a line for each experiment: what came out."""
    lines = ["| experiment | section | what came out |", "|---|---|---|"]
    for name, experiment in EXPERIMENTS.items():
        if name in stored:
            found, _ = verdict(experiment, stored[name])
            section = experiment.section or "ours"
            lines.append(f"| [{name}](#{name}) | {section} | {' '.join(found)} |")
    return "\n".join(lines)


def with_block(page: str, made: str) -> str:
    """Returns a page with what is between its marks replaced.

    Raises:
      InputError: The page has no marks.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(page):
        raise InputError(f"the page has no lines {BEGIN} and {END} to write between")
    return pattern.sub(lambda _: made, page, count=1)
