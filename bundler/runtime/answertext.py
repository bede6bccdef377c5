"""The text of one answer, made of its tokens as they come: until a stop string, or the end of its time."""

from __future__ import annotations

from collections.abc import Callable

from bundler.runtime.detokenize import Detokenizer
from bundler.runtime.engine.interface import Vocabulary
from bundler.runtime.stops import StopFilter


class AnswerText:
    """The text of an answer so far, with the number of tokens that went into it."""

    def __init__(
        self, vocabulary: Vocabulary, stops: list[str], seconds: float | None, clock: Callable[[], float]
    ) -> None:
        """`seconds` from its first token after which the answer ends with its line; None: no limit."""
        self._detokenizer = Detokenizer(vocabulary.piece)
        self._filter = StopFilter(stops)
        self._seconds = seconds
        self._clock = clock
        self._began: float | None = None
        self.tokens = 0
        self.out_of_time = False
        self.cut = False
        """Whether tokens were dropped, so that the answer is not whole however it ended."""

    @property
    def stopped(self) -> bool:
        return self._filter.stopped

    @property
    def ended(self) -> bool:
        """Whether no further token is wanted."""
        return self.stopped or self.out_of_time

    def push(self, tokens: list[int]) -> str:
        text = ""
        for token in tokens:
            if self.ended:
                break
            self.tokens += 1
            new = self._detokenizer.push(token)
            text += self._filter.push(new)
            if self._seconds is not None:
                self._look_at_clock(self._seconds, new)
        return text

    def _look_at_clock(self, seconds: float, new: str) -> None:
        now = self._clock()
        if self._began is None:
            self._began = now
        self.out_of_time = "\n" in new and now - self._began > seconds

    def drop(self, tokens: list[int]) -> str:
        """Leave tokens out that the vocabulary can no longer be asked about."""
        self.cut = self.cut or (bool(tokens) and not self.ended)
        return ""

    def finish(self) -> str:
        return self._filter.finish()
