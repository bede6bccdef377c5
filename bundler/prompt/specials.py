"""The spellings of a model's control tokens: where they occur in a text, and whether foreign text can make one.

Knows spellings only: which tokens they stand for, and how text around them becomes tokens, is the tokenizer's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

OWN_ROLES: Final = frozenset((
    "system", "user", "assistant", "tool", "developer", "function", "ipython", "environment", "observation",
))  # fmt: skip
"""Roles that count as a template's own words, since templates make control tokens of them; any other is foreign."""

_OWN_KEYS: Final = frozenset(("role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content", "thinking"))
"""Keys of a message, which templates name themselves."""
_MAX_DEPTH: Final = 64
_BEGINNING: Final = 4
"""Characters by which spellings are looked up; the shortest spelling may have fewer."""


class Specials:
    """The control tokens of one vocabulary, by what they look like in text."""

    def __init__(self, spellings: Iterable[str]) -> None:
        """Empty spellings are left out; one that is no control token after all does no harm."""
        self.spellings = frozenset(spellings) - {""}
        self._longest = max(map(len, self.spellings), default=0)
        self._beginning = min(_BEGINNING, min(map(len, self.spellings), default=0))
        self._lengths: dict[str, set[int]] = {}
        for spelling in self.spellings:
            self._lengths.setdefault(spelling[: self._beginning], set()).add(len(spelling))
        self._begin = _beginning_with(self._lengths)
        self._first = _one_of(spelling[0] for spelling in self.spellings)
        self._last = _one_of(spelling[-1] for spelling in self.spellings)
        self._lines = "\0".join(["", *sorted(self.spellings), ""])

    def occurrences(self, text: str) -> list[tuple[int, int]]:
        """Every (start, end) where a spelling stands in `text`, by start, longer ones first; they may overlap."""
        found = []
        for match in self._begin.finditer(text):
            start = match.start()
            lengths = self._lengths[text[start : start + self._beginning]]
            ends = [start + length for length in lengths if text[start : start + length] in self.spellings]
            found += [(start, end) for end in sorted(ends, reverse=True) if end <= len(text)]
        return found

    def cannot_occur(self, values: Any) -> bool:
        """Whether no spelling in a prompt can hold a character of `values`, whatever the template writes around them.

        `values` are messages, tools, documents: JSON values. True is a proof for templates that show values whole or
        with white space trimmed; False says only that there is none so cheap. A spelling could begin in a value that
        has its first character; it could end in one that begins with its end; or it could have a whole value inside
        (`<|{{ message.role }}|>`). Known roles and the keys of a message are the template's own words.
        """
        return not self.spellings or self._harmless(values, 0)

    def _harmless(self, value: Any, depth: int) -> bool:
        if isinstance(value, str):
            return self._harmless_text(value)
        if depth > _MAX_DEPTH:
            return False
        if isinstance(value, Mapping):
            return self._harmless_mapping(value, depth)
        if isinstance(value, list | tuple):
            return all(self._harmless(item, depth + 1) for item in value)
        return True

    def _harmless_mapping(self, value: Mapping[Any, Any], depth: int) -> bool:
        message = isinstance(value.get("role"), str)
        for key, item in value.items():
            if message and key == "role" and item in OWN_ROLES:
                continue
            if not (message and key in _OWN_KEYS) and not self._harmless(key, depth):
                return False
            if not self._harmless(item, depth + 1):
                return False
        return True

    def _harmless_text(self, text: str) -> bool:
        if self._first.search(text):
            return False
        text = text.strip()
        if text and len(text) < self._longest and text in self._lines:
            return False
        return not any(
            text[: match.end()] + "\0" in self._lines for match in self._last.finditer(text, 0, self._longest)
        )


def _beginning_with(words: Iterable[str]) -> re.Pattern[str]:
    """Matches the first character of each place where one of the words stands."""
    rests: dict[str, list[str]] = {}
    for word in sorted(words):
        rests.setdefault(word[0], []).append(re.escape(word[1:]))
    return re.compile("|".join(f"{re.escape(first)}(?={'|'.join(rest)})" for first, rest in rests.items()) or "(?!)")


def _one_of(characters: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the characters; nothing where there are none."""
    listed = "".join(map(re.escape, sorted(set(characters))))
    return re.compile(f"[{listed}]" if listed else "(?!)")
