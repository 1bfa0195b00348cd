"""Results that are kept with the code, in docs/results, and the page that is made of them."""

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
STORED = DOCS / "results"


def read_stored(folder: Path = STORED) -> dict[str, dict[str, Any]]:
    """Returns the stored results by experiment; none where the package has no docs beside it."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
    }


def hours(name: str, folder: Path = STORED) -> float | None:
    """Returns the hours of training that an experiment took, None where it is not stored."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    return json.loads(path.read_text(encoding="utf-8"))["seconds"] / 3600
