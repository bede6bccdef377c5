"""Text that knows which of its characters came from outside the template that wrote the rest.

A `Foreign` is a str with a mark for every character. What str's methods make of it keeps the marks; where that cannot
be told, the whole result is marked, so that a mark may be too many, never too few. A method of a plain str loses the
marks of its arguments, but for `+` and `%`: use `own(text)`, `concat` and `join`.
Text is always what str makes of it. Knows nothing of templates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from string import Formatter
from typing import Any, Final, SupportsIndex

from bundler.prompt.conversation import Rendered

_FOREIGN, _OWN = b"\1", b"\0"
_RUN: Final = re.compile(b"\1+")
_MOST_RANGES: Final = 1 << 20
_PERCENT: Final = re.compile(
    r"%(?:\((?P<key>(?:[^()]|\([^()]*\))*)\))?(?P<form>[-#0 +]*(?:\*|\d+)?(?:\.(?:\*|\d*))?)[hlL]?(?P<kind>.)",
    re.DOTALL,
)
_NUMBERS = (bool, int, float, type(None))


class Foreign(str):
    """A str; `marks` has one byte for every character: 1 where it is foreign, else 0."""

    __slots__ = ("marks",)
    marks: bytes

    def __new__(cls, text: str = "", marks: bytes | None = None) -> Foreign:
        """The text, wholly foreign unless there are marks.

        Raises:
            ValueError: there is not one mark for every character.
        """
        made = super().__new__(cls, text)
        made.marks = _FOREIGN * len(made) if marks is None else marks
        if len(made.marks) != len(made):
            raise ValueError(f"{len(made.marks)} marks for {len(made)} characters")
        return made

    def __getnewargs__(self) -> tuple[str, bytes]:  # type: ignore[override] # as __new__ takes them
        return _plain(self), self.marks

    def __str__(self) -> str:
        return self

    def __repr__(self) -> str:
        return Foreign(super().__repr__())

    def __format__(self, form: str) -> str:
        return _laid_out(lambda text: str.__format__(text, form), self, form)

    def __add__(self, other: str) -> str:
        return concat((self, other)) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str) -> str:
        return concat((other, self)) if isinstance(other, str) else NotImplemented

    def __mul__(self, times: SupportsIndex) -> str:
        return _made(super().__mul__(times), self.marks * times)

    __rmul__ = __mul__

    def __mod__(self, given: Any) -> str:
        return _verified(super().__mod__(given), self, lambda: _percent(_plain(self), given))

    def __rmod__(self, form: str) -> str:
        return own(form) % self if isinstance(form, str) else NotImplemented

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        part = super().__getitem__(key)
        return _made(part, self.marks[key] if isinstance(key, slice) else bytes((self.marks[key],)))

    def __iter__(self) -> Iterator[str]:
        for character, mark in zip(super().__iter__(), self.marks, strict=True):
            yield Foreign(character) if mark else character

    def capitalize(self) -> str:
        return self._recased(super().capitalize())

    def casefold(self) -> str:
        return self._recased(super().casefold())

    def lower(self) -> str:
        return self._recased(super().lower())

    def swapcase(self) -> str:
        return self._recased(super().swapcase())

    def title(self) -> str:
        return self._recased(super().title())

    def upper(self) -> str:
        return self._recased(super().upper())

    def translate(self, table: Any) -> str:
        return Foreign(super().translate(table))

    def center(self, width: SupportsIndex, fill: str = " ") -> str:
        return _made(super().center(width, fill), self.marks.center(width, _marks(fill)))

    def ljust(self, width: SupportsIndex, fill: str = " ") -> str:
        return _made(super().ljust(width, fill), self.marks.ljust(width, _marks(fill)))

    def rjust(self, width: SupportsIndex, fill: str = " ") -> str:
        return _made(super().rjust(width, fill), self.marks.rjust(width, _marks(fill)))

    def zfill(self, width: SupportsIndex) -> str:
        filled = super().zfill(width)
        sign = 1 if self.startswith(("+", "-")) else 0
        return _made(filled, self.marks[:sign] + _OWN * (len(filled) - len(self)) + self.marks[sign:])

    def expandtabs(self, tabsize: SupportsIndex = 8) -> str:
        expanded = super().expandtabs(tabsize)
        stop, column, marks = tabsize.__index__(), 0, bytearray()
        for character, mark in zip(super().__iter__(), self.marks, strict=True):
            width = (stop - column % stop if stop > 0 else 0) if character == "\t" else 1
            marks += bytes((mark,)) * width
            column = 0 if character in "\n\r" else column + width
        return _made(expanded, bytes(marks))

    def format(self, *args: Any, **kwargs: Any) -> str:
        return _verified(super().format(*args, **kwargs), self, lambda: _pieces(Formatter(), self, args, kwargs))

    def format_map(self, mapping: Any) -> str:
        return _verified(super().format_map(mapping), self, lambda: _pieces(Formatter(), self, (), mapping))

    def join(self, items: Iterable[str]) -> str:
        pieces = list(items)
        return _made(super().join(pieces), self.marks.join(map(_marks, pieces)))

    def lstrip(self, characters: str | None = None) -> str:
        return self[len(self) - len(super().lstrip(characters)) :]

    def rstrip(self, characters: str | None = None) -> str:
        return self[: len(super().rstrip(characters))]

    def strip(self, characters: str | None = None) -> str:
        start = len(self) - len(super().lstrip(characters))
        return self[start : start + len(super().strip(characters))]

    def removeprefix(self, prefix: str) -> str:
        return self[len(self) - len(super().removeprefix(prefix)) :]

    def removesuffix(self, suffix: str) -> str:
        return self[: len(super().removesuffix(suffix))]

    def replace(self, old: str, new: str, count: SupportsIndex = -1) -> str:
        replaced = super().replace(old, new, count)
        if old:
            kept = _cut(self, super().split(old, count), len(old))
        else:
            everywhere, most = len(self) + 1, count.__index__()
            places = everywhere if most < 0 else min(most, everywhere)
            kept = ["", *self[: places - 1], self[places - 1 :]] if places else [self]
        return _made(replaced, _marks(new).join(map(_marks, kept)))

    def partition(self, separator: str) -> tuple[str, str, str]:
        head, middle, tail = super().partition(separator)
        return self[: len(head)], self[len(head) : len(head) + len(middle)], self[len(self) - len(tail) :]

    def rpartition(self, separator: str) -> tuple[str, str, str]:
        head, middle, tail = super().rpartition(separator)
        return self[: len(head)], self[len(head) : len(head) + len(middle)], self[len(self) - len(tail) :]

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return _cut(self, super().split(sep, maxsplit), None if sep is None else len(sep))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return _cut(self, super().rsplit(sep, maxsplit), None if sep is None else len(sep))

    def splitlines(self, keepends: bool = False) -> list[str]:
        lines = _cut(self, super().splitlines(keepends=True), 0)
        return (
            lines if keepends else [line[: len(text)] for line, text in zip(lines, super().splitlines(), strict=True)]
        )

    def _recased(self, text: str) -> str:
        return _made(text, self.marks if len(text) == len(self) else _FOREIGN * len(text))


def mark(value: Any) -> Any:
    """A JSON value with every string in it, keys too, wholly foreign. Tuples become lists."""
    if isinstance(value, str):
        return Foreign(_plain(value))
    if isinstance(value, Mapping):
        return {mark(key): mark(item) for key, item in value.items()}
    return [mark(item) for item in value] if isinstance(value, list | tuple) else value


def own(text: str) -> Foreign:
    """A text of the template's own whose methods notice foreign arguments; a Foreign as it is."""
    return text if isinstance(text, Foreign) else Foreign(text, _marks(text))


def ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Where the text is foreign: ordered, disjoint pairs of start and end. More than a million pairs become one."""
    if not isinstance(text, Foreign):
        return ()
    found = [run.span() for run in _RUN.finditer(text.marks)]
    return tuple(found) if len(found) <= _MOST_RANGES else ((found[0][0], found[-1][1]),)


def concat(pieces: Iterable[str]) -> str:
    """The pieces in a row; a plain str where nothing is foreign."""
    pieces = list(pieces)
    text = "".join(pieces)
    if not any(isinstance(piece, Foreign) for piece in pieces):
        return text
    return _made(text, b"".join(map(_marks, pieces)))


def join(pieces: Iterable[str]) -> Rendered:
    """The pieces in a row as a prompt."""
    text = concat(pieces)
    return Rendered(_plain(text), ranges(text))


def formatted(formatter: Formatter, form: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """What `formatter.vformat` gives, with marks.

    Raises:
        Exception: whatever it raises.
    """
    text = formatter.vformat(_plain(form), args, kwargs)
    return _verified(text, form, lambda: _pieces(formatter, form, args, kwargs))


def _plain(text: str) -> str:
    return str.__str__(text)


def _marks(text: str) -> bytes:
    return text.marks if isinstance(text, Foreign) else _OWN * len(text)


def _made(text: str, marks: bytes) -> str:
    return Foreign(text, marks) if _FOREIGN in marks else text


def _cut(text: str, pieces: Iterable[str], gap: int | None) -> list[str]:
    """The pieces, which lie so far apart in the text, with its marks. None: with white space between them."""
    cut, at = [], 0
    for piece in pieces:
        start = text.find(piece, at) if gap is None else at
        cut.append(text[start : start + len(piece)])
        at = start + len(piece) + (gap or 0)
    return cut


def _verified(text: str, form: str, pieces: Callable[[], list[str]]) -> str:
    """The text, made by a form, with the marks of its pieces where these are its pieces, else foreign as a whole."""
    if not ranges(form):
        with suppress(LookupError, TypeError, ValueError, StopIteration):
            marked = concat(pieces())
            if _plain(marked) == text:
                return marked
    return Foreign(text)


def _percent(form: str, given: Any) -> list[str]:
    """Pieces of `form % given`."""
    values = iter(given if isinstance(given, tuple) else (given,))
    pieces, at = [], 0
    for place in _PERCENT.finditer(form):
        pieces.append(form[at : place.start()])
        at = place.end()
        if place["kind"] == "%":
            pieces.append("%")
            continue
        sizes = tuple(next(values) for _ in range(place["form"].count("*")))
        value = next(values) if place["key"] is None else given[place["key"]]
        lay = _percent_layout(f"%{place['form']}{place['kind']}", sizes)
        pieces.append(_laid_out(lay, value, place["form"]) if place["kind"] == "s" else _shown(lay(value), value))
    return [*pieces, form[at:]]


def _percent_layout(form: str, sizes: tuple[Any, ...]) -> Callable[[Any], str]:
    return lambda value: form % (*sizes, value)


def _pieces(
    formatter: Formatter, form: str, args: Sequence[Any], kwargs: Mapping[str, Any], number: Iterator[int] | None = None
) -> list[str]:
    """Pieces of `form.format(*args, **kwargs)`."""
    number = count() if number is None else number
    pieces: list[str] = []
    for literal, field, spec, conversion in formatter.parse(_plain(form)):
        pieces.append(literal)
        if field is None:
            continue
        if field[:1] in ("", ".", "["):
            field = f"{next(number)}{field}"
        value, _ = formatter.get_field(field, args, kwargs)
        layout = concat(_pieces(formatter, spec or "", args, kwargs, number))
        if conversion in (None, "s") and isinstance(value, str):
            pieces.append(_laid_out(_layout(layout), value, layout))
        else:
            shown = formatter.convert_field(value, conversion)
            pieces.append(_shown(format(shown, layout), value, layout))
    return pieces


def _layout(form: str) -> Callable[[str], str]:
    return lambda text: str.__format__(text, form)


def _laid_out(lay: Callable[[str], str], value: Any, form: str) -> str:
    """The value in the width and precision that the form asks for."""
    if not isinstance(value, str) or ranges(form):
        return _shown(lay(value), value, form)
    stand_in = "\0" if "\0" not in form else "\1"
    marks = iter(_marks(value))
    layout = lay(stand_in * len(value))
    return _made(lay(_plain(value)), bytes(next(marks) if character == stand_in else 0 for character in layout))


def _shown(text: str, value: Any, form: str = "") -> str:
    """The text made of a value: foreign but for numbers and the template's own strings."""
    known = isinstance(value, _NUMBERS) or (isinstance(value, str) and not ranges(value))
    return _plain(text) if known and not ranges(form) else Foreign(text)
