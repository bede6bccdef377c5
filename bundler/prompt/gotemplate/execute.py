"""One run of a template: what it has written and what it may still do.

Knows limits and strings, nothing of trees: compiled templates call it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

from bundler.prompt.foreign import Foreign, concat
from bundler.prompt.gotemplate import limits
from bundler.prompt.gotemplate.quote import REPLACEMENT
from bundler.prompt.gotemplate.values import Struct, decode, encode

BREAK, CONTINUE = 1, 2
"""What a step gives that ends a round of a range; all others give None."""

Step = Callable[["Run", list[Any], Any], int | None]
"""Does something: a run, the values of the variables of this template, and dot."""
Expression = Callable[["Run", list[Any], Any], Any]
"""Gives a value, of the same."""

_CLOCK_EVERY: Final = 256
_SURROGATES: Final = re.compile("[\ud800-\udfff]+")


class Exhausted(Exception):  # noqa: N818 - turned into a LimitError where the place is known
    """The run has used up what it may; the text says what."""


class Run:
    """`steps` and `characters` are what is left, and are counted down by whoever uses them up.

    `write` appends to the output. `is_marked` says whether any of the data is Foreign.
    """

    __slots__ = (
        "_deadline", "_gathered", "_given_parts", "_left", "characters", "depth", "is_marked", "pieces", "steps",
        "write",
    )  # fmt: skip

    def __init__(self, data: Any) -> None:
        parts, characters, self.is_marked = _extent(data)
        self.pieces: list[str] = []
        self.write = self.pieces.append
        self._gathered = 0
        self.depth = 0
        self.characters = limits.CHARACTERS + limits.CHARACTERS_PER_GIVEN * characters
        self._given_parts = parts
        self._left = limits.STEPS + parts * parts
        self._deadline = time.monotonic() + limits.SECONDS
        self.steps = 0
        self.renew()

    def renew(self) -> None:
        """More steps, up to the limit: `steps` below 0 is the time to ask for them.

        Raises:
            Exhausted: there are no more, or the time is up.
        """
        if self._left <= 0:
            raise Exhausted(f"more than {limits.STEPS + self._given_parts**2} steps")
        if time.monotonic() > self._deadline:
            raise Exhausted(f"more than {limits.SECONDS:.0f} seconds")
        self._gather()
        portion = min(self._left, _CLOCK_EVERY)
        self._left -= portion - self.steps
        self.steps = portion

    def write_printed(self, text: str) -> None:
        """Write what was made of a value other than a string, which takes steps by its length.

        Raises:
            Exhausted: there are no more.
        """
        self.write(text)
        self.steps -= len(text) >> 8
        if self.steps < 0:
            self.renew()

    def too_long(self) -> NoReturn:
        """Say that `characters` fell below 0.

        Raises:
            Exhausted: always.
        """
        raise Exhausted("too much text")

    def output(self) -> str:
        """All that was written; a Foreign where the data was.

        Raises:
            Exhausted: it is too long.
        """
        self._gather()
        return _valid(concat(self.pieces) if self.is_marked else "".join(self.pieces))

    def _gather(self) -> None:
        """Make one piece of those that came since the last time, if they are not too long."""
        latest = self.pieces[self._gathered :]
        self.characters -= sum(map(len, latest))
        if self.characters < 0:
            self.too_long()
        self.pieces[self._gathered :] = [concat(latest) if self.is_marked else "".join(latest)]
        self._gathered += 1


def is_marked(value: Any) -> bool:
    """Whether there is a Foreign in the value."""
    return isinstance(value, Foreign) or (isinstance(value, list | dict | Struct) and _extent(value)[2])


def _extent(data: Any) -> tuple[int, int, bool]:
    """How many parts the data has, how many characters its strings, and whether one of them is Foreign."""
    characters = 0
    marked = False
    parts = [data]
    for part in parts:
        kind = type(part)
        if kind is str:
            characters += len(part)
        elif kind is Foreign:
            characters += len(part)
            marked = True
        elif kind is Struct:
            parts += part.fields.values()
        elif isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            parts += part
            parts += part.values()
    return len(parts), characters, marked


def _valid(text: str) -> str:
    """The text as UTF-8 has it: bytes of one character that came apart are joined, what else is none becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        pieces: list[str] = []
        at = 0
        for found in _SURROGATES.finditer(text):
            pieces += (text[at : found.start()], _mended(text[found.start() : found.end()]))
            at = found.end()
        return concat([*pieces, text[at:]])
    return text


def _mended(escaped: str) -> str:
    mended = _SURROGATES.sub(lambda found: REPLACEMENT * len(found[0]), decode(encode(escaped)))
    return Foreign(mended) if isinstance(escaped, Foreign) else mended
