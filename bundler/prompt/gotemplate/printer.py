"""One value in one directive of Go's fmt: how each kind of value answers each verb, flag, width and precision.

Reads no format strings; see fmt for those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from bundler.prompt.foreign import Foreign, concat
from bundler.prompt.gotemplate.errors import FunctionError
from bundler.prompt.gotemplate.numerals import SHORTEST, format_float
from bundler.prompt.gotemplate.quote import MAX_RUNE, can_backquote, is_print, quote, quote_rune, rune
from bundler.prompt.gotemplate.values import ABSENT, ANY, Byte, Map, Slice, Struct, decode, encode, is_bytes, type_name

MAX_CHARACTERS: Final = 16 << 20
"""The longest text that one call makes."""
MAX_DEPTH: Final = 100
"""Values nested deeper are not printed."""

_BASES: Final = {"v": "d", "d": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}
_PREFIXES: Final = {"b": "0b", "x": "0x", "X": "0X"}
_FLOAT_VERBS: Final = {
    "v": ("g", SHORTEST), "b": ("b", SHORTEST), "g": ("g", SHORTEST), "G": ("G", SHORTEST), "x": ("x", SHORTEST),
    "X": ("X", SHORTEST), "f": ("f", 6), "F": ("f", 6), "e": ("e", 6), "E": ("E", 6),
}  # fmt: skip
_WRAPPED = 1 << 64


@dataclass(slots=True)
class Directive:
    """What stands between `%` and the verb. `plus_v` and `sharp_v` are `+` and `#` before `v`."""

    minus: bool = False
    plus: bool = False
    sharp: bool = False
    space: bool = False
    zero: bool = False
    plus_v: bool = False
    sharp_v: bool = False
    width: int | None = None
    precision: int | None = None

    def for_value(self) -> None:
        """Turn to the meaning that the flags have before `v`."""
        self.plus_v, self.plus = self.plus, False
        self.sharp_v, self.sharp = self.sharp, False


class Printer:
    """Text under construction. `directive` is how the next value is written."""

    def __init__(self) -> None:
        self.directive = Directive()
        self._pieces: list[str] = []
        self._characters = 0
        self._without_methods = False

    def text(self) -> str:
        """What was written; a Foreign where part of it came from outside."""
        return self._pieces[0] if len(self._pieces) == 1 else concat(self._pieces)

    def write(self, text: str) -> None:
        """Append as it is.

        Raises:
            FunctionError: the whole gets too long.
        """
        self._room(len(text))
        self._characters += len(text)
        self._pieces.append(text)

    def value(self, value: Any, verb: str) -> None:
        """Append the value as an operand.

        Raises:
            FunctionError: the whole gets too long, or the value is nested too deep.
        """
        if value is None or value is ABSENT:
            if verb in "Tv":
                self._pad("<nil>")
            else:
                self._bad_verb(None, verb)
        elif verb == "T":
            self._string(type_name(value), "s")
        elif verb == "p" and not isinstance(value, list | dict):
            self._bad_verb(value, verb)
        elif isinstance(value, Slice) and value.type_name == "[]uint8":
            self._list(value, verb, 0)
        else:
            self._inner(value, verb, 0)

    def _inner(self, value: Any, verb: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise FunctionError(f"the value is nested more than {MAX_DEPTH} deep")
        if isinstance(value, str) and verb != "w":
            return self._string(value, verb)
        if self._by_method(value, verb):
            return None
        if value is None or value is ABSENT:
            return self.write(f"{ANY}(nil)" if self.directive.sharp_v else "<nil>")
        if isinstance(value, bool):
            return self._boolean(value, verb)
        if isinstance(value, int):
            return self._integer(value, verb)
        if isinstance(value, float):
            return self._float(value, verb, value)
        if isinstance(value, complex):
            return self._complex(value, verb)
        if isinstance(value, Struct):
            return self._struct(value, verb, depth)
        return self._map(value, verb, depth) if isinstance(value, dict) else self._list(value, verb, depth)

    def _by_method(self, value: Any, verb: str) -> bool:
        """Whether a String method, or the lack of one to wrap an error, has dealt with the value."""
        if self._without_methods:
            return False
        if verb == "w":
            self._bad_verb(value, verb, ANY)
            return True
        if self.directive.sharp_v or verb not in "vsxXq" or not isinstance(value, Struct | Slice | Map):
            return False
        printed = value.printed
        if printed is None:
            return False
        self._string(printed, verb)
        return True

    def _bad_verb(self, value: Any, verb: str, nil_type: str = "") -> None:
        self.write(f"%!{verb}(")
        if value is None or value is ABSENT:
            self.write(f"{nil_type}=<nil>" if nil_type else "<nil>")
        else:
            before, self._without_methods = self._without_methods, True
            self.write(f"{type_name(value)}=")
            self._inner(value, "v", 0)
            self._without_methods = before
        self.write(")")

    def _boolean(self, value: bool, verb: str) -> None:
        if verb in "tv":
            self._pad("true" if value else "false")
        else:
            self._bad_verb(value, verb)

    def _integer(self, value: int, verb: str) -> None:
        if verb == "v" and self.directive.sharp_v and isinstance(value, Byte):
            self._hexadecimal(value, prefixed=True)
        elif verb in _BASES:
            self._pad_number(self._digits(value, verb))
        elif verb == "c":
            self._pad(rune(value))
        elif verb == "q":
            self._pad(quote_rune(value, ascii_only=self.directive.plus))
        elif verb == "U":
            self._pad_number(self._code_point(value % _WRAPPED))
        else:
            self._bad_verb(value, verb)

    def _hexadecimal(self, value: int, *, prefixed: bool) -> None:
        before, self.directive.sharp = self.directive.sharp, prefixed
        self._pad_number(self._digits(value, "x"))
        self.directive.sharp = before

    def _digits(self, value: int, verb: str) -> str:
        """An integer with sign, prefix, and the zeros that precision or the flag `0` ask for."""
        flags = self.directive
        if flags.precision == 0 and value == 0:
            return " " * (flags.width or 0)
        wanted = flags.precision or 0
        sign = "-" if value < 0 else "+" if flags.plus else " " if flags.space else ""
        if flags.precision is None and flags.zero and not flags.minus and flags.width is not None:
            wanted = flags.width - len(sign)
        self._room(wanted)
        base = _BASES[verb]
        digits = f"{abs(value):{base}}".rjust(wanted, "0")
        if flags.sharp:
            digits = _PREFIXES.get(base, "0" if base == "o" and digits[0] != "0" else "") + digits
        return f"{sign}{'0o' if verb == 'O' else ''}{digits}"

    def _code_point(self, code: int) -> str:
        digits = max(self.directive.precision or 0, 4)
        self._room(digits)
        shown = self.directive.sharp and code <= MAX_RUNE and is_print(chr(code))
        return f"U+{code:0{digits}X}" + (f" '{chr(code)}'" if shown else "")

    def _float(self, value: float, verb: str, whole: Any) -> None:
        """`whole` is the operand that a wrong verb is told of, of which `value` may be a part."""
        if verb not in _FLOAT_VERBS:
            return self._bad_verb(whole, verb)
        flags = self.directive
        form, precision = _FLOAT_VERBS[verb]
        if flags.precision is not None:
            precision = flags.precision
        self._room(precision)
        number = format_float(value, form, precision)
        sign, number = (number[0], number[1:]) if number[0] in "+-" else ("+", number)
        if sign == "+" and flags.space and not flags.plus:
            sign = " "
        if number[0] in "IN":
            signed = number == "Inf" or flags.space or flags.plus
            return self._pad_number(sign + number if signed else number)
        if flags.sharp and form != "b":
            number = _with_point(number, form, precision)
        if sign == "+" and not flags.plus:
            return self._pad(number)
        if flags.zero and not flags.minus and (flags.width or 0) > len(number) + 1:
            self._room(flags.width or 0)
            return self.write(sign + number.rjust((flags.width or 0) - 1, "0"))
        return self._pad(sign + number)

    def _complex(self, value: complex, verb: str) -> None:
        if verb not in _FLOAT_VERBS:
            return self._bad_verb(value, verb)
        before = self.directive.plus
        self.write("(")
        self._float(value.real, verb, value)
        self.directive.plus = True
        self._float(value.imag, verb, value)
        self.write("i)")
        self.directive.plus = before
        return None

    def _string(self, value: str, verb: str) -> None:
        flags = self.directive
        if verb in "vs" and not (verb == "v" and flags.sharp_v):
            self._pad(value if flags.precision is None else value[: flags.precision])
        elif verb in "vq":
            self._pad(self._quoted(value if flags.precision is None else value[: flags.precision]))
        elif verb in "xX":
            self._bytes_in_hexadecimal(encode(value), verb, type(value))
        else:
            self._bad_verb(value, verb)

    def _quoted(self, value: str) -> str:
        plain = str.__str__(value)
        if self.directive.sharp and can_backquote(plain):
            text = f"`{plain}`"
        else:
            text = quote(plain, ascii_only=self.directive.plus)
        return text if value is plain or not isinstance(value, Foreign) else Foreign(text)

    def _bytes_in_hexadecimal(self, data: bytes, verb: str, kind: type[str] = str) -> None:
        flags = self.directive
        if flags.precision is not None:
            data = data[: flags.precision]
        prefix = f"0{verb}" if flags.sharp and data else ""
        self._room((5 if flags.space else 2) * len(data))
        text = prefix + data.hex(" ").replace(" ", " " + prefix) if flags.space else prefix + data.hex()
        self._pad(kind(text.upper() if verb == "X" else text))

    def _list(self, value: list[Any], verb: str, depth: int) -> None:
        if verb == "p":
            return self._hexadecimal(0, prefixed=not self.directive.sharp)
        if verb in "sqxX" and is_bytes(value):
            return self._string(decode(bytes(value)), verb)
        if not self.directive.sharp_v:
            return self._row("[", value, "]", lambda item: self._inner(item, verb, depth + 1))
        name = type_name(value)
        self.write("[]byte" if name == "[]uint8" and depth == 0 and verb == "v" else name)
        if isinstance(value, Slice) and value.nil:
            return self.write("(nil)")
        return self._row("{", value, "}", lambda item: self._inner(item, verb, depth + 1))

    def _map(self, value: dict[str, Any], verb: str, depth: int) -> None:
        if verb == "p":
            return self._hexadecimal(0, prefixed=not self.directive.sharp)

        def entry(key: str) -> None:
            self._inner(key, verb, depth + 1)
            self.write(":")
            self._inner(value[key], verb, depth + 1)

        if not self.directive.sharp_v:
            return self._row("map[", sorted(value), "]", entry)
        self.write(type_name(value))
        if isinstance(value, Map) and value.nil:
            return self.write("(nil)")
        return self._row("{", sorted(value), "}", entry)

    def _struct(self, value: Struct, verb: str, depth: int) -> None:
        named = self.directive.plus_v or self.directive.sharp_v

        def entry(field: tuple[str, Any]) -> None:
            if named:
                self.write(field[0] + ":")
            self._inner(field[1], verb, depth + 1)

        self._row(value.type_name + "{" if self.directive.sharp_v else "{", value.fields.items(), "}", entry)

    def _row(self, start: str, items: Iterable[Any], end: str, write_item: Callable[[Any], None]) -> None:
        self.write(start)
        between = ""
        for item in items:
            if between:
                self.write(between)
            write_item(item)
            between = ", " if self.directive.sharp_v else " "
        self.write(end)

    def _pad_number(self, text: str) -> None:
        """The flag `0` has been dealt with, or does not apply."""
        before, self.directive.zero = self.directive.zero, False
        self._pad(text)
        self.directive.zero = before

    def _pad(self, text: str) -> None:
        flags = self.directive
        missing = (flags.width or 0) - len(text)
        if missing <= 0:
            return self.write(text)
        self._room(missing)
        fill = ("0" if flags.zero and not flags.minus else " ") * missing
        if flags.minus:
            self.write(text)
            return self.write(fill)
        self.write(fill)
        return self.write(text)

    def _room(self, characters: int) -> None:
        if self._characters + characters > MAX_CHARACTERS:
            raise FunctionError(f"it makes more than {MAX_CHARACTERS} characters")


def _with_point(number: str, form: str, precision: int) -> str:
    """A float with the decimal point and the zeros that `#` asks for."""
    marks = "pP" if form in "xX" else "eEpP"
    end = next((at for at, character in enumerate(number) if character in marks), len(number))
    number, tail = number[:end], number[end:]
    wanted = 0
    if form in "gGx":
        wanted = 6 if precision == SHORTEST else precision
        wanted -= len(number.replace(".", "").lstrip("0"))
    if "." not in number:
        wanted -= number == "0"
        number += "."
    return number + "0" * max(wanted, 0) + tail
