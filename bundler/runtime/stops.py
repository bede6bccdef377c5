"""Ends an answer at a stop string, also one that is spread over several tokens.

Plain state: text in, text that may be shown out. What could still become a stop string is held back, so that no part
of one is ever shown.
"""

from __future__ import annotations

from collections.abc import Iterable


class StopFilter:
    """Of several stop strings the one that is complete first ends the answer, however the text is cut into pieces."""

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple({stop: None for stop in stops if stop})
        self._longest = max((len(stop) for stop in self._stops), default=0)
        self._firsts = frozenset(stop[0] for stop in self._stops)
        self._held = ""
        self.stopped = False
        """Whether a stop string was met; further text is ignored."""

    def push(self, text: str) -> str:
        """What may be shown now that `text` has come."""
        if self.stopped:
            return ""
        if not self._stops:
            return text
        text = self._held + text
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return text[: min(found)[1]]
        keep = self._longest_beginning(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """What was held back and turned out to be no stop string."""
        rest, self._held = self._held, ""
        return rest

    def _longest_beginning(self, text: str) -> int:
        """Length of the longest end of `text` that is the beginning of a stop string."""
        longest = min(self._longest - 1, len(text))
        if longest <= 0 or self._firsts.isdisjoint(text[-longest:]):
            return 0
        for length in range(longest, 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
