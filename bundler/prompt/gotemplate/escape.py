"""The functions html, js and urlquery of Go's text/template: their operands printed, then escaped.

What is made of foreign text is foreign as a whole.
"""

from __future__ import annotations

import re
from typing import Any, Final

from bundler.prompt.foreign import Foreign
from bundler.prompt.gotemplate.fmt import sprint
from bundler.prompt.gotemplate.quote import is_print
from bundler.prompt.gotemplate.values import ABSENT, encode

_HTML: Final = str.maketrans({"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
_JS_SPECIAL: Final = re.compile("[\0-\x1f\\\\'\"<>&=\x80-\U0010ffff]")
_JS_NAMED: Final = {"\\": r"\\", "'": r"\'", '"': r"\""}
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_QUERY: Final = [chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in range(256)]
_QUERY[ord(" ")] = "+"


def html(*operands: Any) -> str:
    """For the text of an HTML element or an attribute in quotes."""
    text = _printed(operands)
    return _like(text, str.__str__(text).translate(_HTML))


def js(*operands: Any) -> str:
    """For a JavaScript string in quotes."""
    text = _printed(operands)
    return _like(text, _JS_SPECIAL.sub(_js_escape, str.__str__(text)))


def urlquery(*operands: Any) -> str:
    """For a part of the query of an address."""
    text = _printed(operands)
    return _like(text, "".join([_QUERY[byte] for byte in encode(text)]))


def _printed(operands: tuple[Any, ...]) -> str:
    return sprint(*("<no value>" if operand is None or operand is ABSENT else operand for operand in operands))


def _like(text: str, escaped: str) -> str:
    return Foreign(escaped) if isinstance(text, Foreign) else escaped


def _js_escape(found: re.Match[str]) -> str:
    character = found[0]
    if named := _JS_NAMED.get(character):
        return named
    code = ord(character)
    if code < 0x80:
        return f"\\u{code:04X}"
    return character if is_print(character) or 0xDC80 <= code <= 0xDCFF else f"\\u{code:04X}"
