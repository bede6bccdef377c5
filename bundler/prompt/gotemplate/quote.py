"""Text as Go's strconv.Quote writes it: a literal of Go's syntax with everything unprintable escaped.

A byte that is no UTF-8 stands in a string as Python's `surrogateescape` puts it: U+DC80 to U+DCFF. Which characters
are printable depends on the version of Unicode that Python was built with, as it does for Go.
"""

from __future__ import annotations

import re

MAX_RUNE = 0x10FFFF
REPLACEMENT = "\ufffd"

_NAMED = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}
_NOT_RAW = re.compile("[\x00-\x08\x0a-\x1f`\x7f\ufeff\udc80-\udcff]")


def is_print(character: str) -> bool:
    """Go's strconv.IsPrint: letters, marks, numbers, punctuation, symbols and the ASCII space."""
    return character.isprintable()


def quote(text: str, *, ascii_only: bool = False) -> str:
    """A double-quoted string literal."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    escapes = {ord(character): _escaped(character, '"', ascii_only) for character in set(text)}
    return f'"{text.translate(escapes)}"'


def quote_rune(code: int, *, ascii_only: bool = False) -> str:
    """A single-quoted character literal; a number that is no character gives that of U+FFFD."""
    return "'" + _escaped(rune(code), "'", ascii_only) + "'"


def rune(code: int) -> str:
    """The character of a code point; U+FFFD where there is none."""
    return chr(code) if 0 <= code <= MAX_RUNE and not 0xD800 <= code < 0xE000 else REPLACEMENT


def can_backquote(text: str) -> bool:
    """Whether the text can stand between backquotes as it is, on one line."""
    return not _NOT_RAW.search(text)


def _escaped(character: str, mark: str, ascii_only: bool) -> str:
    if character in (mark, "\\"):
        return "\\" + character
    code = ord(character)
    if is_print(character) and (code < 0x80 or not ascii_only):
        return character
    if named := _NAMED.get(character):
        return named
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
