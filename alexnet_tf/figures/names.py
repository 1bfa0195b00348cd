"""Class names in pictures: any script, any length, no formulas."""

import functools
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib import font_manager

_DEFAULT = "DejaVu Sans"  # comes with matplotlib
# Looked at first, since they look well together; then whatever the machine has.
_PREFERRED = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "SimHei",
    "Noto Sans",
    "Arial Unicode MS",
)


def drawable(names: Iterable[str]) -> list[str]:
    """Returns class names that can be drawn, for the functions that draw.

    Args:
      names: By class number, in any script.

    Returns:
      Each name on one line; "class 7" for one with letters that no font on this machine has.
    """
    return [drawable_name(name, f"class {number}") for number, name in enumerate(names)]


def drawable_name(name: str, instead: str) -> str:
    """Returns a name on one line, or something else if it has letters that no font here has."""
    text = " ".join(name.split())
    can = text and text.isprintable() and _families(frozenset(text)) is not None
    return text if can else instead


def shortened(texts: Iterable[str], length: int) -> list[str]:
    """Returns texts of at most so many letters, wide ones (Chinese, Japanese, Korean) being two.

    Longer ones end in an ellipsis.
    """
    return [_cut(text, length) for text in texts]


def text_style(texts: Sequence[str]) -> dict[str, Any]:
    """Returns what to give matplotlib with such texts: fonts that have all their letters.

    A dollar is a dollar: nothing is read as a formula.
    """
    found = _families(frozenset("".join(texts)))
    return {"fontfamily": list(found or (_DEFAULT,)), "parse_math": False}


def _cut(text: str, length: int) -> str:
    """Returns a text of at most so many columns."""
    columns = 0
    for place, letter in enumerate(text):
        columns += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if columns > length:
            return text[: max(1, place - 1)].rstrip() + "…"
    return text


@functools.lru_cache(maxsize=4096)
def _families(letters: frozenset[str]) -> tuple[str, ...] | None:
    """Returns fonts that have the letters together, or None: some letter is in no font."""
    missing = {ord(letter) for letter in letters if not letter.isspace()}
    chosen: list[str] = []
    for family, path in _fonts():
        if not missing:
            break
        had = missing & _letters(path)
        if had or family == _DEFAULT:
            chosen.append(family)
            missing -= had
    return None if missing else tuple(chosen or (_DEFAULT,))


@functools.lru_cache(maxsize=1)
def _fonts() -> tuple[tuple[str, str], ...]:
    """Returns the machine's upright fonts as (family, file), matplotlib's own first."""
    files = {
        entry.name: entry.fname
        for entry in reversed(font_manager.fontManager.ttflist)
        # Matplotlib's last resort has a box with a sample letter for everything.
        if entry.style == "normal" and "Last Resort" not in entry.name
    }
    order = [_DEFAULT, *_PREFERRED, *sorted(files)]
    return tuple((name, files[name]) for name in dict.fromkeys(order) if name in files)


@functools.cache
def _letters(path: str) -> frozenset[int]:
    """Returns the code points that a font file has; none for one that cannot be read."""
    try:
        return frozenset(font_manager.get_font(path).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()
