"""The functions that every Go template has, but for `and` and `or`, which evaluate their arguments by themselves.

Takes and gives Go's values. Comparisons, printing and escaping are compare's, fmt's and escape's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bundler.prompt.foreign import Foreign
from bundler.prompt.gotemplate import compare, escape, fmt
from bundler.prompt.gotemplate.errors import FunctionError
from bundler.prompt.gotemplate.values import (
    ABSENT,
    ANY,
    VALUE,
    Byte,
    Function,
    Slice,
    decode,
    encode,
    type_name,
    zero_of,
)  # fmt: skip

_UNTYPED: Final = (None, ABSENT)


def length(item: Any) -> int:
    """Of a string in bytes, of a list or map in items.

    Raises:
        FunctionError: it has none.
    """
    if isinstance(item, str):
        return len(item) if item.isascii() else len(encode(item))
    if isinstance(item, list | dict):
        return len(item)
    if item is None:
        raise FunctionError("len of nil pointer")
    if item is ABSENT:
        raise FunctionError("reflect: call of reflect.Value.Type on zero Value")
    raise FunctionError(f"len of type {type_name(item)}")


def index(item: Any, *indexes: Any) -> Any:
    """The item at the first index, and in it that at the second, and so on; of a string a byte.

    Raises:
        FunctionError: an index is out of range or of the wrong type, or an item has none.
    """
    if item in _UNTYPED:
        raise FunctionError("index of untyped nil")
    for key in indexes:
        if item is None:
            raise FunctionError("index of nil pointer")
        item = _at(item, key)
    return item


def _at(item: Any, key: Any) -> Any:
    if isinstance(item, dict):
        if isinstance(key, str):
            return item[key] if key in item else zero_of(item)
        if key in _UNTYPED:
            raise FunctionError("value is nil; should be of type string")
        raise FunctionError(f"value has type {type_name(key)}; should be string")
    if isinstance(item, str):
        data = encode(item)
        return Byte(data[_position(key, len(data), "string")])
    if isinstance(item, list):
        return item[_position(key, len(item), "slice")]
    raise FunctionError(f"can't index item of type {type_name(item)}")


def _position(value: Any, most: int, indexed: str = "") -> int:
    """The index, at most `most`; below that where an item is asked for of what is `indexed`."""
    if value in _UNTYPED:
        raise FunctionError("cannot index slice/array with nil")
    if not isinstance(value, int) or isinstance(value, bool):
        raise FunctionError(f"cannot index slice/array with type {type_name(value)}")
    if not 0 <= value <= most:
        raise FunctionError(f"index out of range: {int(value)}")
    if indexed and value == most:
        raise FunctionError(f"reflect: {indexed} index out of range")
    return value


def cut(item: Any, *indexes: Any) -> Any:
    """`slice`: the part of a string (in bytes) or list between the indexes; a third one limits its capacity only.

    Raises:
        FunctionError: an index is out of range or of the wrong type, or the item has no parts.
    """
    if item in _UNTYPED:
        raise FunctionError("slice of untyped nil")
    if len(indexes) > 3:
        raise FunctionError(f"too many slice indexes: {len(indexes)}")
    if isinstance(item, str):
        if len(indexes) == 3:
            raise FunctionError("cannot 3-index slice a string")
        data = item if item.isascii() else encode(item)
        start, end = _bounds(indexes, len(data))
        return item[start:end] if data is item else _part_of_text(item, encode(item), start, end)
    if not isinstance(item, list):
        raise FunctionError(f"can't slice item of type {type_name(item)}")
    start, end = _bounds(indexes, len(item))
    part = list.__getitem__(item, slice(start, end))
    return Slice(item.type_name, part, nil=item.nil) if isinstance(item, Slice) else part


def _bounds(indexes: tuple[Any, ...], count: int) -> tuple[int, int]:
    given = [_position(value, count) for value in indexes]
    start, end = (*given[:2], *(0, count)[len(given) :]) if len(given) < 2 else given[:2]
    if start > end:
        raise FunctionError(f"invalid slice index: {start} > {end}")
    if len(given) == 3 and end > given[2]:
        raise FunctionError(f"invalid slice index: {end} > {given[2]}")
    return start, end


def _part_of_text(text: str, data: bytes, start: int, end: int) -> str:
    part = decode(data[start:end])
    if not isinstance(text, Foreign):
        return part
    before = len(decode(data[:start]))
    whole = text[before : before + len(part)]
    return whole if whole == part else Foreign(part)


def call(name: str, function: Any, *_: Any) -> Any:
    """`call`, with the text of its first argument: no value of a template is a function.

    Raises:
        FunctionError: always.
    """
    if function in _UNTYPED:
        raise FunctionError("call of nil")
    raise FunctionError(f"non-function {name} of type {type_name(function)}")


def _text(function: Callable[..., str], *parameters: str) -> Function:
    return Function(function, (*parameters, ANY), variadic=True, keeps_marks=True)


def _plain(function: Callable[..., Any], *parameters: str, variadic: bool = False) -> Function:
    return Function(function, parameters, variadic, keeps_marks=True)


BUILTINS: Final = {
    "and": _plain(bool, VALUE, VALUE, variadic=True),
    "or": _plain(bool, VALUE, VALUE, variadic=True),
    "not": _plain(lambda value: not value, VALUE),
    "len": _plain(length, VALUE),
    "index": _plain(index, VALUE, VALUE, variadic=True),
    "slice": _plain(cut, VALUE, VALUE, variadic=True),
    "call": _plain(call, VALUE, VALUE, variadic=True),
    "eq": _plain(compare.equal, VALUE, VALUE, variadic=True),
    "ne": _plain(compare.unequal, VALUE, VALUE),
    "lt": _plain(compare.less, VALUE, VALUE),
    "le": _plain(compare.less_or_equal, VALUE, VALUE),
    "gt": _plain(compare.greater, VALUE, VALUE),
    "ge": _plain(compare.greater_or_equal, VALUE, VALUE),
    "print": _text(fmt.sprint),
    "println": _text(fmt.sprintln),
    "printf": _text(fmt.sprintf, "string"),
    "html": _text(escape.html),
    "js": _text(escape.js),
    "urlquery": _text(escape.urlquery),
}
"""By name. `and` and `or` have entries for the number of their arguments only."""
