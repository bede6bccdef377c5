"""Go's values as Python's: what a template computes with, and its type's name in Go. Python's truth of them is Go's.

nil is None, bool bool, int int, float64 float, complex128 complex, string str, []any list, map[string]any dict. A str
holds the bytes of a Go string: those that are no UTF-8 are U+DC80 to U+DCFF, as Python's `surrogateescape` has them.
Nothing of Python shows through: what is none of these kinds is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

ANY: Final = "interface {}"
"""The type that takes every value."""
VALUE: Final = "reflect.Value"
"""As ANY, for a parameter that tells an absent value from nil."""

_LONE = re.compile("[\ud800-\udfff]")


class Absent:
    """What Go's reflection calls the zero Value: a map has no such key, or nothing was said. Printed `<no value>`."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


class Byte(int):
    """A uint8: what indexing a string gives."""


class Rune(int):
    """An int32."""


class _Named:
    """A value whose type has a name of its own, and maybe a String method, whose text is `printed`."""

    __slots__ = ()

    type_name: str
    _string: str | Callable[[], str] | None

    @property
    def printed(self) -> str | None:
        """What the type's String method gives, None where it has none."""
        return self._string() if callable(self._string) else self._string


class Slice(list[Any], _Named):
    """A slice of a type other than `[]interface {}`; a nil one is empty and `null` in JSON."""

    def __init__(
        self, type_name: str, items: Any = (), *, nil: bool = False, string: str | Callable[[], str] | None = None
    ) -> None:
        super().__init__(items)
        self.type_name = type_name
        self.nil = nil
        self._string = string


class Map(dict[str, Any], _Named):
    """A map with string keys of a type other than `map[string]interface {}`; a nil one is empty and `null` in JSON."""

    def __init__(
        self,
        type_name: str,
        items: Mapping[str, Any] | None = None,
        *,
        nil: bool = False,
        string: str | Callable[[], str] | None = None,
    ) -> None:
        super().__init__(items or {})
        self.type_name = type_name
        self.nil = nil
        self._string = string


class Struct(_Named):
    """A struct: `fields` in the order of their declaration, and no others."""

    __slots__ = ("_string", "fields", "type_name")

    def __init__(
        self, type_name: str, fields: Mapping[str, Any], string: str | Callable[[], str] | None = None
    ) -> None:
        self.type_name = type_name
        self.fields = dict(fields)
        self._string = string


@dataclass(frozen=True, slots=True)
class Function:
    """A function that a template may call.

    `parameters` are the names of Go types, the last one any number of times where it is `variadic`. `call` gets values
    of these types, gives one, and raises FunctionError with Go's text. Text that it makes of foreign arguments is
    foreign as a whole, unless it `keeps_marks` by itself.
    """

    call: Callable[..., Any]
    parameters: tuple[str, ...] = (ANY,)
    variadic: bool = False
    keeps_marks: bool = False

    def parameter(self, at: int) -> str:
        """The type of the argument at this place, from 0 on."""
        return self.parameters[min(at, len(self.parameters) - 1)]


_NAMES: Final[dict[type, str]] = {
    bool: "bool", int: "int", float: "float64", complex: "complex128", str: "string", Byte: "uint8", Rune: "int32",
    list: "[]interface {}", dict: "map[string]interface {}", type(None): "<nil>",
}  # fmt: skip
_ZEROS: Final[dict[str, Any]] = {"string": "", "int": 0, "bool": False, "float64": 0.0}


def type_name(value: Any) -> str:
    """The value's type as Go's `%T` prints it, `<nil>` for nil.

    Raises:
        TypeError: the value is none of Go's.
    """
    name = _NAMES.get(type(value))
    if name is None:
        if isinstance(value, str):
            return "string"
        if isinstance(value, _Named):
            return value.type_name
        if value is ABSENT:
            return "<nil>"
        raise TypeError(f"a template cannot use a Python {type(value).__name__}")
    return name


def is_bytes(value: Any) -> bool:
    """Whether the value is a slice of bytes, by its type's name or by what it holds."""
    if not isinstance(value, Slice):
        return False
    return value.type_name == "[]uint8" or (bool(value) and all(isinstance(item, Byte) for item in value))


def zero_of(holder: dict[str, Any]) -> Any:
    """What a map gives for a key that it has not, where the zero value of its type is asked for."""
    return _ZEROS.get(holder.type_name.removeprefix("map[string]")) if isinstance(holder, Map) else None


def encode(text: str) -> bytes:
    """The bytes of a Go string; a lone surrogate that stands for no byte is U+FFFD, as Go's JSON reads it."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return _LONE.sub(lambda found: found[0] if "\udc80" <= found[0] <= "\udcff" else "\ufffd", text).encode(
            "utf-8", "surrogateescape"
        )


def decode(data: bytes) -> str:
    """The inverse of `encode`."""
    return data.decode("utf-8", "surrogateescape")
