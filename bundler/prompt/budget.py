"""What one rendering of a template may use: steps, characters, time; and how values are measured before they are made.

Of Jinja it knows the namespace object alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from contextvars import ContextVar
from typing import Final, NamedTuple

from jinja2.utils import Namespace

STEPS: Final = 1_000_000
"""Rounds of loops, calls and filters, and parts of values that are measured. A long chat takes some ten thousand."""
CHARACTERS: Final = 64 << 20
"""Of all strings made on the way, the output among them."""
SECONDS: Final = 30.0
"""The end for what the other two do not catch; a rendering takes milliseconds."""

TRIAL_SECONDS: Final = 2.0
"""The end of a rendering that only finds out what the template reads."""

_CLOCK_EVERY = 256
_ITEM = 8
_CONTAINERS = (list, tuple, set, frozenset, KeysView, ValuesView)


class ExhaustedError(Exception):
    """The template did more than a chat template may."""


class Budget:
    """What is left for one rendering; `call_cost` is charged for each call of a macro. A trial has less time.

    It grows with the square of the input's parts, and with its text times its parts: templates in wide use look through
    all messages at every message, or build the prompt by appending to a growing string.
    """

    def __init__(self, call_cost: int, given: object, *, trial: bool = False) -> None:
        self.call_cost = call_cost
        self._seconds = TRIAL_SECONDS if trial else SECONDS
        self._deadline = time.monotonic() + self._seconds
        self._steps = self._step_limit = STEPS
        self._characters = self._character_limit = sys.maxsize
        extent = self.measure(given)
        self._step_limit = STEPS + extent.parts**2 // 4
        self._character_limit = CHARACTERS + extent.characters * (16 + extent.parts // 4)
        self._steps, self._characters = self._step_limit, self._character_limit

    def spend(self, steps: int, characters: int = 0) -> None:
        """Take from what is left.

        Raises:
            ExhaustedError: there is not enough.
        """
        before = self._steps // _CLOCK_EVERY
        self._steps -= steps
        self._characters -= characters
        if self._steps < 0:
            raise ExhaustedError(f"it takes more than {self._step_limit} steps")
        if self._characters < 0:
            raise ExhaustedError(f"it makes more than {self._character_limit} characters of text")
        if self._steps // _CLOCK_EVERY != before and time.monotonic() > self._deadline:
            raise ExhaustedError(f"it works for more than {self._seconds:.0f} seconds")

    def rounds(self, items: Iterable[object], characters: int = 0) -> Iterator[object]:
        """The items, each for one step and so many characters."""
        for item in items:
            self.spend(1, characters)
            yield item

    def measure(self, value: object) -> Extent:
        """How large the value is as text, what is shared in it counted each time; one step for every part of it.

        Raises:
            ExhaustedError: that is more than may be printed.
        """
        if isinstance(value, str):
            return Extent(len(value), 1, 0)
        characters = parts = deepest = 0
        waiting: list[tuple[object, int]] = [(value, 0)]
        while waiting:
            part, depth = waiting.pop()
            parts += 1
            characters += len(part) if isinstance(part, str) else _ITEM
            inside = _parts_of(part)
            if inside:
                self.spend(1 + len(inside))
                deepest = max(deepest, depth + 1)
                waiting += [(item, depth + 1) for item in inside]
            if characters > self._characters:
                self.spend(0, characters)
        return Extent(characters, parts, deepest)


class Extent(NamedTuple):
    """Size of a value: characters of its text at least, parts in all, levels of nesting."""

    characters: int
    parts: int
    depth: int


current: ContextVar[Budget] = ContextVar("budget of the rendering")


def _parts_of(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, ItemsView):
        return [part for pair in value for part in pair]
    if isinstance(value, _CONTAINERS):
        return list(value)
    if isinstance(value, Namespace):
        return list(object.__getattribute__(value, "_Namespace__attrs").values())
    return []
