"""JSON as Go's encoding/json.Marshal writes it: no spaces, keys of maps sorted, `<`, `>` and `&` escaped.

Marks of foreign text are kept, those of a string with its quotes.
"""

from __future__ import annotations

import math
import re
from binascii import b2a_base64
from collections.abc import Iterable
from typing import Any, Final

from bundler.prompt.foreign import Foreign, concat
from bundler.prompt.gotemplate.errors import FunctionError
from bundler.prompt.gotemplate.numerals import format_float
from bundler.prompt.gotemplate.quote import REPLACEMENT
from bundler.prompt.gotemplate.values import ABSENT, Map, Slice, Struct, is_bytes, type_name

MAX_DEPTH: Final = 200
"""Values nested deeper are refused."""

_ESCAPED: Final = re.compile('[\0-\x1f"\\\\<>&\u2028\u2029\ud800-\udfff]')
_NAMED: Final = {'"': r"\"", "\\": r"\\", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def marshal(value: Any) -> str:
    """The value as JSON. A struct's fields keep their names and order: tags of fields are the caller's affair.

    Raises:
        FunctionError: it holds an infinite, not-a-number or complex number, or is nested too deep.
    """
    pieces: list[str] = []
    _write(pieces, value, 0)
    return concat(pieces)


def _write(pieces: list[str], value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise FunctionError(f"json: the value is nested more than {MAX_DEPTH} deep")
    if isinstance(value, str):
        pieces.append(_string(value))
    elif value is None or value is ABSENT:
        pieces.append("null")
    elif isinstance(value, bool):
        pieces.append("true" if value else "false")
    elif isinstance(value, int):
        pieces.append(str(value))
    elif isinstance(value, float):
        pieces.append(_float(value))
    elif isinstance(value, Struct):
        _object(pieces, value.fields.items(), depth)
    elif isinstance(value, Slice | Map) and value.nil:
        pieces.append("null")
    elif isinstance(value, dict):
        _object(pieces, ((key, value[key]) for key in sorted(value)), depth)
    elif is_bytes(value):
        pieces.append(f'"{b2a_base64(bytes(value), newline=False).decode()}"')
    elif isinstance(value, list):
        _array(pieces, value, depth)
    else:
        raise FunctionError(f"json: unsupported type: {type_name(value)}")


def _object(pieces: list[str], members: Iterable[tuple[str, Any]], depth: int) -> None:
    before = "{"
    for key, value in members:
        pieces += (before, _string(key), ":")
        _write(pieces, value, depth + 1)
        before = ","
    pieces.append("{}" if before == "{" else "}")


def _array(pieces: list[str], items: list[Any], depth: int) -> None:
    pieces.append("[")
    for number, item in enumerate(items):
        if number:
            pieces.append(",")
        _write(pieces, item, depth + 1)
    pieces.append("]")


def _string(text: str) -> str:
    quoted = '"' + _ESCAPED.sub(_escape, str.__str__(text)) + '"'
    return Foreign(quoted) if isinstance(text, Foreign) else quoted


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if "\ud800" <= character <= "\udfff":
        return REPLACEMENT
    return _NAMED.get(character) or f"\\u{ord(character):04x}"


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise FunctionError(f"json: unsupported value: {format_float(value, 'g')}")
    if value and not 1e-6 <= abs(value) < 1e21:
        return format_float(value, "e").replace("e-0", "e-")
    return format_float(value, "f")
