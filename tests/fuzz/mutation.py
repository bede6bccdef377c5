"""Damage to texts and bytes: what was there is cut, doubled, moved, exchanged, or gets foreign pieces."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

Text = TypeVar("Text", str, bytes)


def mutated(chance: Random, text: Text, pieces: Sequence[Text], other: Text) -> Text:
    """The text with one to six faults; `pieces` may be put in, and parts of `other`."""
    for _ in range(chance.choice([1, 1, 2, 3, 6])):
        text = _once(chance, text, pieces, other)
    return text


def _once(chance: Random, text: Text, pieces: Sequence[Text], other: Text) -> Text:
    start, end = _span(chance, text)
    before, middle, after = text[:start], text[start:end], text[end:]
    match chance.randrange(8):
        case 0:
            return before + after
        case 1:
            return before + middle + middle + after
        case 2:
            return before + middle * chance.choice([3, 20, 300]) + after if len(middle) < 100 else before + after
        case 3:
            return before + chance.choice(pieces) + after
        case 4:
            return before + middle + chance.choice(pieces) * chance.choice([1, 1, 1, 2, 100]) + after
        case 5:
            low, high = _span(chance, other)
            return before + other[low:high] + after
        case 6:
            return middle + before + after
        case _:
            return before + middle


def _span(chance: Random, text: Text) -> tuple[int, int]:
    """A range of the text, mostly a short one."""
    start = chance.randrange(len(text) + 1)
    length = chance.choice([0, 1, 1, 2, 4, 8, 30, 1000])
    return start, min(start + chance.randrange(length + 1), len(text))
