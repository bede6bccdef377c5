"""From a rendered prompt to token ids: the template's own control tokens are read, foreign spellings of them stay text.

A prompt without a foreign spelling is tokenized in one call. In any other, each stretch between two control tokens of
the template that holds a foreign spelling is tokenized as plain text, and the rest as it would be in one call.
llama.cpp's tokenizer also cuts a text at control tokens first (src/llama-vocab.cpp), so that nothing else changes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from bundler.prompt.conversation import Rendered
from bundler.prompt.specials import Specials
from bundler.runtime.engine.interface import Vocabulary

_SPACE = " \t\n\v\f\r"
Span = tuple[int, int]


def tokenize(prompt: Rendered, specials: Specials, vocabulary: Vocabulary) -> list[int]:
    """The token ids of `prompt`, without any that the vocabulary would put before or after it."""
    text = prompt.text
    found = specials.occurrences(text) if prompt.foreign else []
    own: list[Span] = []
    foreign: list[Span] = []
    for span in found:
        (foreign if _touches(prompt.foreign, span) else own).append(span)
    if not foreign:
        return vocabulary.tokenize(text, add_special=False, parse_special=True)
    reader = _Reader(vocabulary)
    ids: list[int] = []
    done = 0
    longest = max(end - start for start, end in foreign)
    for before, after in pairwise([(0, 0), *_disjoint(text, own), (len(text), len(text))]):
        start, end = before[1], after[0]
        near = foreign[bisect_left(foreign, (start - longest, 0)) : bisect_left(foreign, (end, 0))]
        inside = [span for span in near if span[1] > start]
        if inside:
            ids += reader.special(text[done:start])
            ids += reader.plain(text, *reader.trimmed(text, before, after), inside)
            done = end
    return ids + reader.special(text[done:])


class _Reader:
    """A vocabulary, and what was found out about its control tokens."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._taken_whole = cache(self._find_taken_whole)
        self._swallows = cache(self._find_swallows)

    def special(self, text: str) -> list[int]:
        return self._vocabulary.tokenize(text, add_special=False, parse_special=True) if text else []

    def plain(self, text: str, start: int, end: int, spellings: Sequence[Span]) -> list[int]:
        """The part from `start` to `end` without control tokens; `spellings` are where it looks like one."""
        cuts = {first + 1 for first, last in spellings if last - first > 1 and self._taken_whole(text[first:last])}
        places = [start, *sorted(cut for cut in cuts if start < cut < end), end]
        ids: list[int] = []
        for first, last in pairwise(places):
            ids += self._vocabulary.tokenize(text[first:last], add_special=False, parse_special=False)
        return ids

    def trimmed(self, text: str, before: Span, after: Span) -> Span:
        """What lies between two control tokens, without the white space that they swallow."""
        start, end = before[1], after[0]
        if self._swallows(text[slice(*before)])[1]:
            start = end - len(text[start:end].lstrip(_SPACE))
        if self._swallows(text[slice(*after)])[0]:
            end = start + len(text[start:end].rstrip(_SPACE))
        return start, end

    def _find_taken_whole(self, spelling: str) -> bool:
        """Whether llama.cpp reads the spelling as a token in plain text too: it makes some tokens user-defined."""
        ids = self._vocabulary.tokenize(spelling, add_special=False, parse_special=False)
        return len(ids) == 1 and self._vocabulary.piece(ids[0], special=True) == spelling.encode()

    def _find_swallows(self, spelling: str) -> tuple[bool, bool]:
        """Whether the token swallows white space before it, and behind it, as Phi 3's do."""
        if not spelling:
            return False, False
        before = self.special(f"a {spelling}") == self.special(f"a{spelling}")
        return before, self.special(f"{spelling} a") == self.special(f"{spelling}a")


def _touches(ranges: Sequence[Span], span: Span) -> bool:
    """Whether a character of `span` lies in one of the ranges, which are ordered and disjoint."""
    at = bisect_left(ranges, span[1], key=lambda one: one[0])
    return at > 0 and ranges[at - 1][1] > span[0]


def _disjoint(text: str, spans: Sequence[Span]) -> list[Span]:
    """Of spans that overlap those that llama.cpp takes: the longest in bytes, then the first. Ordered."""
    taken: list[Span] = []
    for start, end in sorted(spans, key=lambda span: (-len(text[slice(*span)].encode()), span)):
        at = bisect_right(taken, (start, end))
        if (at == 0 or taken[at - 1][1] <= start) and (at == len(taken) or end <= taken[at][0]):
            taken.insert(at, (start, end))
    return taken
