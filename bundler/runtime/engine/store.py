"""States of sequences that had to leave the KV cache, or were there before it: kept in memory, up to a limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bundler.runtime.engine.interface import State
from bundler.runtime.engine.sequence import CHUNK


class Saved(NamedTuple):
    """The state of a sequence outside of the KV cache."""

    tokens: Sequence[int]
    exact: int
    state: State


class Store:
    """States saved in memory, up to a limit in bytes; what was used least recently goes first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._entries: list[Saved] = []

    def put(self, saved: Saved, *, near: int = CHUNK) -> None:
        """Keep a state, in place of those of the same tokens without the last, at most `near` of them."""
        size = len(saved.state)
        if size > self.limit:
            return
        count = len(saved.tokens)
        for entry in self._entries:
            if count - near <= len(entry.tokens) <= count and entry.tokens == saved.tokens[: len(entry.tokens)]:
                self._drop(entry)
        while self._entries and self.size + size > self.limit:
            self._drop(self._entries[0])
        self._entries.append(saved)
        self.size += size

    def entries(self) -> Iterable[Saved]:
        """All of them, the one used least recently first."""
        return tuple(self._entries)

    def touch(self, saved: Saved) -> None:
        """Note that it was used."""
        self._entries = [*(entry for entry in self._entries if entry is not saved), saved]

    def _drop(self, saved: Saved) -> None:
        self._entries = [entry for entry in self._entries if entry is not saved]
        self.size -= len(saved.state)
