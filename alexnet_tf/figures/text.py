"""Text in figures: fonts for any script, and truncation of long names."""

import functools
import unicodedata
from collections.abc import Iterable
from typing import Any

from matplotlib import font_manager

_DEFAULT_FONT = "DejaVu Sans"  # part of matplotlib
# Tried first because they look well together; then all other installed fonts.
_PREFERRED_FONTS = (
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


def display_names(names: Iterable[str]) -> list[str]:
    """Returns class names on one line each; "class 7" if no installed font has their letters.

    Args:
      names: Class names in any script, by class number.
    """
    return [display_name(name, f"class {number}") for number, name in enumerate(names)]


def display_name(name: str, fallback: str) -> str:
    """Returns a name on one line, or the fallback if no installed font has its letters."""
    text = " ".join(name.split())
    drawable = text and text.isprintable() and _font_families(frozenset(text)) is not None
    return text if drawable else fallback


def truncate(text: str, columns: int) -> str:
    """Returns a text cut to a number of columns, with an ellipsis if it is longer.

    Wide letters (Chinese, Japanese, Korean) take two columns.
    """
    used = 0
    for position, letter in enumerate(text):
        used += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if used > columns:
            return text[: max(1, position - 1)].rstrip() + "…"
    return text


def text_style(texts: Iterable[str]) -> dict[str, Any]:
    """Returns matplotlib text properties: fonts for all letters of the texts, no math mode."""
    found = _font_families(frozenset("".join(texts)))
    return {"fontfamily": list(found or (_DEFAULT_FONT,)), "parse_math": False}


@functools.lru_cache(maxsize=4096)
def _font_families(letters: frozenset[str]) -> tuple[str, ...] | None:
    """Returns fonts that together have all letters; None if a letter is in no installed font."""
    missing = {ord(letter) for letter in letters if not letter.isspace()}
    chosen: list[str] = []
    for family, path in _installed_fonts():
        if not missing:
            break
        covered = missing & _code_points(path)
        if covered or family == _DEFAULT_FONT:
            chosen.append(family)
            missing -= covered
    return None if missing else tuple(chosen or (_DEFAULT_FONT,))


@functools.lru_cache(maxsize=1)
def _installed_fonts() -> tuple[tuple[str, str], ...]:
    """Returns the upright fonts as (family, file), in the order of preference."""
    files = {
        entry.name: entry.fname
        for entry in reversed(font_manager.fontManager.ttflist)
        # Matplotlib's "Last Resort" font has a placeholder box for every letter.
        if entry.style == "normal" and "Last Resort" not in entry.name
    }
    order = [_DEFAULT_FONT, *_PREFERRED_FONTS, *sorted(files)]
    return tuple((name, files[name]) for name in dict.fromkeys(order) if name in files)


@functools.cache
def _code_points(path: str) -> frozenset[int]:
    """Returns the code points of a font file; empty if the file cannot be read."""
    try:
        return frozenset(font_manager.get_font(path).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()
