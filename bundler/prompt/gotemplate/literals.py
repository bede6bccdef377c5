"""Go's literals, the constants of templates: numbers, characters and quoted strings.

Takes the text of one token as the lexer cuts it, gives its value. Knows nothing of templates.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from bundler.prompt.gotemplate.quote import MAX_RUNE, quote
from bundler.prompt.gotemplate.values import decode

_INT: Final = range(-(1 << 63), 1 << 63)
_UINT: Final = range(1 << 64)
_NAMED: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_INTEGER: Final = re.compile(
    "(?P<s>[+-]?)(?:0[xX](?P<b16>(?:_?[0-9a-fA-F])+)|0[oO]?(?P<b8>(?:_?[0-7])+)|0[bB](?P<b2>(?:_?[01])+)"
    "|(?P<b10>0|[1-9](?:_?[0-9])*))"
)
_DECIMALS: Final = "[0-9](?:_?[0-9])*"
_FLOAT: Final = re.compile(rf"[+-]?(?:{_DECIMALS}\.?(?:{_DECIMALS})?|\.{_DECIMALS})(?:[eE][+-]?{_DECIMALS})?")
_HEX: Final = "[0-9a-fA-F](?:_?[0-9a-fA-F])*"
_HEX_FLOAT: Final = re.compile(rf"[+-]?0[xX](?:_?{_HEX}\.?(?:{_HEX})?|\.{_HEX})[pP][+-]?{_DECIMALS}")
_COMPLEX: Final = re.compile("(?P<real>.[^+-]*(?:[eE][+-][^+-]*)?)(?P<imaginary>[+-].*)i")
_ESCAPE: Final = re.compile(
    r"\\(?:(?P<named>[abfnrtv\\])|(?P<octal>[0-7]{3})|x(?P<byte>[0-9a-fA-F]{2})"
    r"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})|(?P<mark>['\"]))|(?P<bad>\\)"
)


@dataclass(frozen=True, slots=True)
class Constant:
    """A number under every type that can hold it, None where one cannot; `value` is what it is where any may stand.

    `value` is None for an integer between the largest of Go's int and the largest uint64.
    """

    value: int | float | complex | None
    integer: int | None = None
    real: float | None = None


def number(text: str) -> Constant:
    """The constant that a number token spells: `42`, `0x1F`, `1_000`, `.5e3`, `0x1p-2`, `2i`, `1+2i`.

    Raises:
        ValueError: it spells none, with Go's text.
    """
    if text.endswith("i"):
        return _complex(text)
    if found := _INTEGER.fullmatch(text):
        base, digits = next((int(name[1:]), part) for name, part in found.groupdict().items() if part and name != "s")
        value = int(digits.replace("_", ""), base) * (-1 if found["s"] == "-" else 1)
        if value in _INT:
            return _ideal(text, Constant(value, value, float(value)))
        if value in _UINT and not found["s"]:
            return _ideal(text, Constant(None, None, float(value)))
    real = _float(text)
    if real is None:
        raise ValueError(f"illegal number syntax: {quote(text)}")
    if not any(mark in text for mark in ".eEpP"):
        raise ValueError(f"integer overflow: {quote(text)}")
    return Constant(real, _whole(real), real)


def character(text: str) -> Constant:
    """The constant of a token such as `'a'`, `'\\n'` or `'\\u00e9'`.

    Raises:
        ValueError: it holds not one character, with Go's text.
    """
    first = _ESCAPE.match(text, 1)
    end = first.end() if first else 2
    if text[1] == "'" or (first and (first["bad"] or first["mark"] == '"')):
        raise ValueError("invalid syntax")
    if first and (first["octal"] or first["byte"]):
        code = _byte(first)
    else:
        code = ord(_unescaped(first, "'") if first else text[1])
    if text[end:] != "'":
        raise ValueError(f"malformed character constant: {text}")
    return Constant(code, code, float(code))


def string(text: str) -> str:
    """What is between the quotes, escapes resolved; a raw string (in backquotes) loses its carriage returns only.

    Raises:
        ValueError: an escape is none of Go's, with Go's text.
    """
    inside = text[1:-1]
    if text[0] == "`":
        return inside.replace("\r", "")
    if "\\" not in inside:
        return inside
    pieces: list[bytes] = []
    at = 0
    for found in _ESCAPE.finditer(inside):
        pieces.append(inside[at : found.start()].encode("utf-8", "surrogateescape"))
        at = found.end()
        if found["octal"] or found["byte"]:
            pieces.append(bytes((_byte(found),)))
        else:
            pieces.append(_unescaped(found, '"').encode())
    pieces.append(inside[at:].encode("utf-8", "surrogateescape"))
    return decode(b"".join(pieces))


def _unescaped(found: re.Match[str], mark: str) -> str:
    if found["named"]:
        return _NAMED[found["named"]]
    if found["mark"] == mark:
        return mark
    digits = found["short"] or found["long"]
    code = int(digits, 16) if digits else -1
    if not 0 <= code <= MAX_RUNE or 0xD800 <= code < 0xE000:
        raise ValueError("invalid syntax")
    return chr(code)


def _byte(found: re.Match[str]) -> int:
    value = int(found["octal"], 8) if found["octal"] else int(found["byte"], 16)
    if value > 0xFF:
        raise ValueError("invalid syntax")
    return value


def _float(text: str) -> float | None:
    """As Go's strconv.ParseFloat reads it; None where it reads none, or one that is too large."""
    plain = text.replace("_", "")
    if _FLOAT.fullmatch(text):
        value = float(plain)
    elif _HEX_FLOAT.fullmatch(text):
        try:
            value = float.fromhex(plain)
        except OverflowError:
            return None
    else:
        return None
    return None if math.isinf(value) else value


def _complex(text: str) -> Constant:
    imaginary = _float(text[:-1])
    if imaginary is not None:
        value = complex(0, imaginary)
    elif found := _COMPLEX.fullmatch(text):
        value = complex(_part(found["real"]), _part(found["imaginary"]))
    else:
        raise ValueError(f"illegal number syntax: {quote(text)}")
    return Constant(value) if value.imag else Constant(value, _whole(value.real), value.real)


def _part(text: str) -> float:
    if text in ("+", "-"):
        raise ValueError("syntax error scanning complex number")
    value = None if _HEX_FLOAT.fullmatch(text) else _float(text)
    if value is None:
        raise ValueError(f"strconv.ParseFloat: parsing {quote(text)}: invalid syntax")
    return value


def _whole(value: float) -> int | None:
    return int(value) if value.is_integer() and int(value) in _INT else None


def _ideal(text: str, constant: Constant) -> Constant:
    """An integer whose text has an `e`, as hexadecimal digits may, is a float where any type may stand: Go looks for
    the letter, and excepts only what begins with `0x`."""
    looks_real = any(mark in text for mark in ".eEpP") and text[:2] not in ("0x", "0X")
    return Constant(constant.real, constant.integer, constant.real) if looks_real else constant
