"""The package and its documents use the field's words: the table of CONTRIBUTING.md, as a check."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "alexnet_tf").rglob("*.py"))
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
]
# {private word: what to write}. Words that are also used in their ordinary sense are matched where
# they stood for something else.
PRIVATE_WORDS = {
    r"\bjudg(e|es|ed|ing|e?ment)\b": "evaluate, metrics",
    r"\b(goes|go|going|went) on\b": "resume, continue",
    r"\bput(s|ting)? away\b": "save",
    r"\b(is|was|are|were) told\b": "is reported",
    r"(?<!\.)\btell(s|ing)?\b": "print, report",
    r"\banswer(s|ed|ing)?\b": "prediction, predict",
    r"\bask(s|ed|ing)?\b": "request, predict",
    r"\b(is|are|was|were) no [a-z]": "is not a ...",
    r"\bfirst weights\b": "initial weights",
    r"\bshare\b(?!=)": "fraction, ratio",
    r"\breflect(s|ed|ions?)\b": "horizontal flip",
    r"\bmirror_padded\b": "reflect_padded",
    r"\bcentre|\bcolour|\bgrey\b|\bnormalis": "American spelling",
    r"\bguess(es|ed|ing)?\b": "prediction, chance level",
    r"\bstuck\b": "plateaued at chance level",
    r"\bleft out\b": "skipped",
    r"\bheld out\b": "held-out, as an adjective",
    r"\b(is|are) taken\b": "already exists, is used",
    r"\bat once\b": "immediately, in parallel",
    r"\bwhole or not\b": "atomically",
    r"\bmaps\b": "channels",
    r"\bfellows\b|\btrouble\b|\bsubject\b|\bface for\b|\blooked at\b": "plain words",
}


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=lambda p: str(p.relative_to(ROOT)))
def test_file_uses_the_fields_words(path):
    if ".zh" in path.name:
        return
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]!r}: write {better}"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for word, better in PRIVATE_WORDS.items()
        if (match := re.search(word, line))
    ]
    assert not found, "\n".join(found)


def test_modules_have_at_most_300_lines():
    long = {str(path): n for path in SOURCES if (n := len(path.read_text().splitlines())) > 300}
    assert not long


def test_modules_below_40_lines_are_few():
    """A concern is found in one guess where it is not spread over many small files."""
    short = [p for p in SOURCES if p.stem[:2] != "__" and len(p.read_text().splitlines()) < 40]
    assert len(short) <= 15, short
