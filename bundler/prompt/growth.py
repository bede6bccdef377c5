"""How large the result of an operator, a string method or a filter can get, told from its arguments before it is made.

Estimates from above, in characters; they may measure values and so spend from the rendering's budget.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from bundler.prompt import budget
from bundler.prompt.budget import ExhaustedError

MAX_NUMBER_BITS: Final = 1 << 14
MAX_WIDTH: Final = 4096
"""Largest width, indentation or precision that a template may ask for."""
_RUN: Final = re.compile(r"\s+|\S+")
_WIDE_FORMAT: Final = re.compile(r"%(\([^)]*\))?[-+ #0-9.]*([0-9]{4}|\*)|\{[^{}]*:[^{}]*([0-9]{4}|\{)")


def of_operator(operator: str, left: Any, right: Any) -> int:
    """Characters that `left operator right` makes.

    Raises:
        ExhaustedError: it makes a number of more than `MAX_NUMBER_BITS`, or formats with a very large width.
    """
    if operator == "%":
        return _format(left, right) if isinstance(left, str) else 0
    if operator == "+":
        return length(left) + length(right)
    numbers = [value for value in (left, right) if isinstance(value, int)]
    if len(numbers) == 2:
        bits = left.bit_length() * max(right, 0) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > MAX_NUMBER_BITS:
            raise ExhaustedError("it makes a number that is too large")
        return 0
    return (length(left) + length(right)) * max(*numbers, 0) if numbers and operator == "*" else 0


def length(value: Any) -> int:
    """Characters of a string; what the items of a container themselves take, in characters."""
    return len(value) if isinstance(value, str) else 8 * len(value) if isinstance(value, list | tuple | dict) else 0


def _printed(value: Any) -> int:
    return budget.current.get().measure(value).characters


def _width(value: Any) -> int:
    if not isinstance(value, int):
        return _printed(value)
    if abs(value) > MAX_WIDTH:
        raise ExhaustedError(f"it asks for a width of {value}")
    return abs(value)


def _format(text: str, *args: Any, **kwargs: Any) -> int:
    if _WIDE_FORMAT.search(text):
        raise ExhaustedError("it formats with a computed or very large width")
    places = text.count("%") + text.count("{")
    return len(text) + places * (MAX_WIDTH // 4 + _printed(args) + _printed(kwargs))


def _replace(text: Any, old: Any = "", new: Any = "", *rest: Any, **_: Any) -> int:
    if not (isinstance(text, str) and isinstance(old, str) and isinstance(new, str)):
        return _printed(text) * (1 + _printed(new))
    return len(text) + (text.count(old) if old else len(text) + 1) * len(new)


def _join(first: Any, second: Any = "", *rest: Any, **kwargs: Any) -> int:
    """Of `separator.join(items)` as of `items|join(separator)`."""
    items, separator = (second, first) if isinstance(first, str) and not isinstance(second, str) else (first, second)
    if isinstance(items, Iterator):
        return 0
    separator = kwargs.get("d", separator)
    return _printed(items) + (len(items) if hasattr(items, "__len__") else 0) * _printed(separator)


def _split(text: Any, separator: Any = None, *_: Any, **kwargs: Any) -> int:
    separator = kwargs.get("sep", separator)
    pieces = text.count(separator) if isinstance(separator, str) and separator else len(text) // 2
    return len(text) + 8 * (pieces + 1)


def _letters(value: Any, *_: Any, **__: Any) -> int:
    return 8 * len(value) if isinstance(value, str) else 0


def _padded(text: Any, *args: Any, **kwargs: Any) -> int:
    return _printed(text) + sum(_width(value) for value in [*args, *kwargs.values()])


def _indented(text: Any, *args: Any, **kwargs: Any) -> int:
    lines = text.count("\n") + text.count("\t") + 1 if isinstance(text, str) else 1
    return lines * _padded("", *args, **kwargs) + _printed(text)


def _as_text(value: Any, *_: Any, **__: Any) -> int:
    return 0 if isinstance(value, str) else _printed(value)


def _wrapped(text: Any, *args: Any, **kwargs: Any) -> int:
    """Breaking a long word, or long white space, copies the rest of it for every line."""
    width = args[0] if args else kwargs.get("width", 79)
    longest = max(map(len, _RUN.findall(text)), default=0) if isinstance(text, str) else 0
    lines = longest // max(width, 1) if isinstance(width, int) else longest
    return _indented(text, *args, **kwargs) + longest * lines


def _json(value: Any, *args: Any, **kwargs: Any) -> int:
    extent = budget.current.get().measure(value)
    indent = sum(_width(option) for option in (*args[1:2], kwargs.get("indent")) if option is not None)
    return extent.characters * 2 + extent.parts * extent.depth * indent


def _nothing_but_numbers(_: Any, *args: Any, **kwargs: Any) -> int:
    if not all(isinstance(value, int | float | str) for value in (*args[1:2], kwargs.get("start", 0))):
        raise ExhaustedError("it adds up something else than numbers")
    return 0


OF_CALL: Final[dict[str, Callable[..., int]]] = {
    "replace": _replace, "join": _join, "format": _format, "format_map": _format, "tojson": _json,
    "center": _padded, "ljust": _padded, "rjust": _padded, "zfill": _padded, "batch": _padded, "slice": _padded,
    "round": _padded, "truncate": _padded, "indent": _indented, "expandtabs": _indented, "wordwrap": _wrapped,
    "string": _printed, "pprint": _printed, "xmlattr": _printed, "urlencode": _printed, "e": _printed,
    "escape": _printed, "forceescape": _printed, "split": _split, "rsplit": _split, "splitlines": _split,
    "list": _letters, "sum": _nothing_but_numbers, "trim": _as_text, "upper": _as_text, "lower": _as_text,
    "capitalize": _as_text, "title": _as_text, "striptags": _as_text, "wordcount": _as_text, "safe": _as_text,
}  # fmt: skip
"""How many characters a string method or a filter may make of its arguments."""
