"""`page.toml`: what the chat page says in an empty chat. Bytes in, a `Page` out, or an error that shows the place.

Two keys, each optional: `greeting`, a text, and `starters`, one to eight questions to begin with. Python's TOML reader
tells no places, so a second, coarse reading of text that is known to be valid finds where a key or a question stands.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final

from bundler.errors import BundleError
from bundler.formats.excerpt import clipped, excerpt
from bundler.formats.manifest import Page

KEYS: Final = ("greeting", "starters")
MAX_GREETING: Final = 300
"""Characters of a greeting."""
MAX_STARTERS: Final = 8
MAX_STARTER: Final = 120
"""Characters of one question: it stands on a button."""

_EXAMPLE = {"greeting": 'greeting = "Hello!"', "starters": 'starters = ["Who are you?"]'}
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_PIECE = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' + r"'''.*?'{3,5}|"
    r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'|"
    r"#[^\n]*|[\[\]{}=\n]|[^\s\[\]{}=#\"']+",
    re.DOTALL,
)


def parse(data: bytes, path: str = "page.toml") -> Page:
    """Read a page file; `path` names it in errors.

    Raises:
        BundleError: it is no TOML, has another key or nothing at all, or a value that the page cannot show.
    """
    return _Reader(data, path).page()


class _Reader:
    """One file: its text, its table, and where in the text things stand."""

    def __init__(self, data: bytes, path: str) -> None:
        self._path = path
        try:
            self._text = data.removeprefix(b"\xef\xbb\xbf").decode()
        except UnicodeDecodeError as cause:
            self._text = data[: cause.start].decode()
            raise self._error(
                len(self._text),
                f"the byte 0x{data[cause.start]:02x} is no part of UTF-8 text",
                "save the file as UTF-8",
            ) from cause
        self._text = self._text.replace("\r\n", "\n")
        try:
            self._table = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as cause:
            raise self._syntax_error(str(cause)) from cause
        except RecursionError as cause:
            raise self._syntax_error("it is nested too deeply (at line 1, column 1)") from cause

    def page(self) -> Page:
        for name in self._table:
            if name not in KEYS:
                near = get_close_matches(name, KEYS, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {' and '.join(KEYS)}"
                raise self._error(self._offset(name), f'unknown key "{clipped(name)}"', hint)
        if not self._table:
            raise self._error(0, "it says nothing", f"write a greeting or starters, such as: {_EXAMPLE['greeting']}")
        return Page(greeting=self._greeting(), starters=self._starters())

    def _greeting(self) -> str:
        text = self._table.get("greeting")
        if text is None:
            return ""
        self._require(isinstance(text, str), "greeting", -1, "greeting needs a text, and this is none")
        shown = str(text).strip()
        self._require(shown != "", "greeting", -1, "greeting has no text")
        self._require(len(shown) <= MAX_GREETING, "greeting", -1, f"greeting is longer than {MAX_GREETING} characters")
        self._require(_prints(shown.replace("\n", " ")), "greeting", -1, "greeting has characters that do not print")
        return shown

    def _starters(self) -> list[str]:
        given = self._table.get("starters")
        if given is None:
            return []
        self._require(isinstance(given, list), "starters", -1, "starters needs a list of questions, and this is none")
        self._require(
            1 <= len(given) <= MAX_STARTERS,
            "starters",
            -1,
            f"starters has {len(given)} questions, not 1 to {MAX_STARTERS}",
        )
        shown: list[str] = []
        for number, question in enumerate(given):
            cause = _fault(question) or ("the question is there already" if question.strip() in shown else "")
            self._require(not cause, "starters", number, cause)
            shown.append(question.strip())
        return shown

    def _require(self, holds: bool, key: str, item: int, cause: str) -> None:
        if not holds:
            raise self._error(self._offset(key, item), cause, f"such as: {_EXAMPLE[key]}")

    def _offset(self, key: str, item: int = -1) -> int:
        """Where a top-level key stands, or an item of its list; 0 for keys that are written in a rarer way."""
        for name, start, items in _keys(self._text):
            if name == key:
                return items[item] if 0 <= item < len(items) else start
        return 0

    def _syntax_error(self, said: str) -> BundleError:
        found = _PLACE.search(said)
        lines = self._text.split("\n")
        line, column = (int(found[1]), int(found[2])) if found and found[1] else (len(lines), len(lines[-1]) + 1)
        cause = said[: found.start()] if found else said
        offset = sum(len(before) + 1 for before in lines[: line - 1]) + column - 1
        return self._error(offset, f"it is no TOML: {cause[:1].lower()}{cause[1:]}", "mind quotes, commas and brackets")

    def _error(self, offset: int, cause: str, hint: str) -> BundleError:
        before = self._text[:offset].split("\n")
        line, column = len(before), len(before[-1])
        shown = excerpt(self._text.split("\n")[line - 1], column)
        return BundleError(f"failed to read {self._path}:{line}:{column + 1}: {cause}\n{shown}", hint)


def _fault(question: Any) -> str:
    """What keeps one starter from being a button; empty where nothing does."""
    if not isinstance(question, str):
        return "a starter needs a text, and this is none"
    shown = question.strip()
    if not shown:
        return "the question has no text"
    if len(shown) > MAX_STARTER:
        return f"the question is longer than {MAX_STARTER} characters"
    return "" if _prints(shown) else "the question has line ends, or characters that do not print"


def _prints(text: str) -> bool:
    """Whether all of it can be shown; the joiner inside emoji and scripts does not print by itself, and can."""
    return text.replace("\u200d", "").replace("\u200c", "").isprintable()


def _keys(text: str) -> Iterator[tuple[str, int, list[int]]]:
    """The top-level keys of valid TOML: name, offset, and the offsets of the items where the value is a flat list."""
    depth, key, at = 0, "", 0
    items: list[int] = []
    begins = True
    for piece in _PIECE.finditer(text):
        word = piece.group()
        if word.startswith("#"):
            continue
        if word == "\n":
            begins = begins or depth == 0
        elif begins and word != "[":  # `key`, or the name in `[table]`
            if key:
                yield key, at, items
            key, at, items, begins = word.strip("\"'"), piece.start(), [], False
        else:
            if depth == 1 and word not in ",]}":
                items.append(piece.start())
            depth += (word in "[{") - (word in "]}")
    if key:
        yield key, at, items
