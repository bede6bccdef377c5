"""The comparisons of Go's text/template: `eq`, `ne`, `lt`, `le`, `gt`, `ge`, which never convert a value.

Go compares values of one basic kind, and integers of any; all else is an error with Go's text.
"""

from __future__ import annotations

from typing import Any, Final

from bundler.prompt.gotemplate.errors import FunctionError
from bundler.prompt.gotemplate.fmt import sprintf
from bundler.prompt.gotemplate.values import ABSENT, Byte, Map, Slice, Struct, encode, type_name

_KINDS: Final[dict[type, str]] = {
    bool: "bool", int: "int", float: "float", complex: "complex", str: "string", Byte: "int",
}  # fmt: skip
_UNORDERED: Final = ("bool", "complex")


def equal(first: Any, *others: Any) -> bool:
    """Whether the first is equal to one of the others.

    Raises:
        FunctionError: there is no other, or one that it cannot be compared with comes before one that is equal.
    """
    if not others:
        raise FunctionError("missing argument for comparison")
    if type(first) is str and type(others[0]) is str and len(others) == 1:
        return first == others[0]
    kind = _kind(first)
    return any(_is_equal(first, kind, other) for other in others)


def unequal(first: Any, second: Any) -> bool:
    return not equal(first, second)


def less(first: Any, second: Any) -> bool:
    """Whether the first number or string is below the second.

    Raises:
        FunctionError: they are of different kinds, or of one without an order.
    """
    kind, other = _kind(first), _kind(second)
    if not (kind and other):
        raise FunctionError("invalid type for comparison")
    if kind != other:
        raise _incompatible(first, second)
    if kind in _UNORDERED:
        raise FunctionError("invalid type for comparison")
    if kind == "string" and not (first.isascii() and second.isascii()):
        return encode(first) < encode(second)
    return bool(first < second)


def less_or_equal(first: Any, second: Any) -> bool:
    return less(first, second) or equal(first, second)


def greater(first: Any, second: Any) -> bool:
    return not less_or_equal(first, second)


def greater_or_equal(first: Any, second: Any) -> bool:
    return not less(first, second)


def _kind(value: Any) -> str:
    """Go's basic kind; empty for what is no single number, string or bool."""
    kind = _KINDS.get(type(value))
    if kind is None:
        return "string" if isinstance(value, str) else "int" if isinstance(value, int) else ""
    return kind


def _is_equal(first: Any, kind: str, other: Any) -> bool:
    other_kind = _kind(other)
    if kind != other_kind:
        if _is_nothing(first) or _is_nothing(other):
            return False
        raise _incompatible(first, other)
    return bool(first == other) if kind else _is_same(first, other)


def _is_same(first: Any, other: Any) -> bool:
    if not _is_nothing(first) and not _is_nothing(other):
        shapes = [list, dict, Struct]
        if [isinstance(first, shape) for shape in shapes] != [isinstance(other, shape) for shape in shapes]:
            types = type_name(first), type_name(other)
            raise FunctionError(sprintf("non-comparable types %s: %s, %s: %v", first, *types, other))
    if _is_nil(first) or _is_nil(other):
        return _is_nil(first) and _is_nil(other)
    if not _is_comparable(other):
        raise FunctionError(sprintf("non-comparable type %s: %s", other, type_name(other)))
    return type_name(first) == type_name(other) and _fields_are_equal(first, other)


def _fields_are_equal(first: Any, other: Any) -> bool:
    if isinstance(first, Struct):
        return all(_fields_are_equal(value, other.fields.get(name)) for name, value in first.fields.items())
    return type(first) is type(other) and bool(first == other)


def _is_comparable(value: Any) -> bool:
    if isinstance(value, Struct):
        return all(_is_comparable(field) for field in value.fields.values())
    return not isinstance(value, list | dict)


def _is_nothing(value: Any) -> bool:
    return value is None or value is ABSENT


def _is_nil(value: Any) -> bool:
    return _is_nothing(value) or (isinstance(value, Slice | Map) and value.nil)


def _incompatible(first: Any, second: Any) -> FunctionError:
    return FunctionError(f"incompatible types for comparison: {type_name(first)} and {type_name(second)}")
