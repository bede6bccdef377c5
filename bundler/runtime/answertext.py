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
        self.ended = False
        """Whether no further token is wanted."""
        self.cut = False
        """Whether tokens were dropped, so that the answer is not whole however it ended."""

    @property
    def stopped(self) -> bool:
        return self._filter.stopped

    def push(self, tokens: list[int]) -> str:
        text = ""
        for token in tokens:
            if self.ended:
                break
            self.tokens += 1
            new = self._detokenizer.push(token)
            text += self._filter.push(new)
            self.ended = self._filter.stopped or (self._seconds is not None and self._out_of_time(self._seconds, new))
        return text

    def _out_of_time(self, seconds: float, new: str) -> bool:
        now = self._clock()
        if self._began is None:
            self._began = now
        return "\n" in new and now - self._began > seconds

    def drop(self, tokens: list[int]) -> str:
        """Leave tokens out that the vocabulary can no longer be asked about."""
        self.cut = self.cut or (bool(tokens) and not self.ended)
        return ""

    def finish(self) -> str:
        return self._filter.finish()
