"""Text that somebody else wrote, as it may stand in an error: on one line, without control characters, not too long."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

_SHOWN_WIDTH = 100


def clipped(text: str, limit: int = 60) -> str:
    """At most `limit` characters of a text, those that do not print replaced."""
    shown = "".join(char if char.isprintable() else "�" for char in text[:limit])
    return shown + "…" if len(text) > limit else shown


def excerpt(line: str, column: int) -> str:
    """The part of a line around a column (from 0), and a caret under it."""
    first = max(0, min(column - _SHOWN_WIDTH // 2, len(line) - _SHOWN_WIDTH))
    shown = "".join(char if char.isprintable() else " " for char in line[first : first + _SHOWN_WIDTH])
    before = shown[: column - first]
    width = sum(2 if unicodedata.east_asian_width(char) in "WF" else not unicodedata.combining(char) for char in before)
    return f"  {shown}".rstrip() + f"\n  {' ' * width}^"


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that a misspelt one most likely means, upper and lower case alike; empty where none is near."""
    words = {name.lower(): name for name in known}
    near = get_close_matches(word[:100].lower(), words, 1)
    return words[near[0]] if near else ""
