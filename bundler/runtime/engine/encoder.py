"""The engine of an encoder-decoder model: its encoder reads the prompt, its decoder writes the answer.

What the encoder made of a prompt belongs to the context and not to a sequence, so one job is computed at a time, and
nothing of it is left for the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bundler.runtime.engine.interface import Engine, EngineFinish, Handle, Job, OnTokens, PromptTooLong


class EncoderDecoderEngine:
    """See `interface.Engine`."""

    parallel = 1

    def __init__(self, engine: Engine, *, vocabulary: int, start: int, ending: Sequence[int]) -> None:
        """`engine` runs the decoder, which begins with the token `start`; prompts end with `ending`.

        `vocabulary`: how many token ids there are.
        """
        self._engine = engine
        self._vocabulary = vocabulary
        self._start = start
        self._ending = list(ending)

    @property
    def context_length(self) -> int:
        """Most tokens of a prompt, and of an answer."""
        return self._engine.context_length

    def submit(self, job: Job) -> Handle:
        """See `interface.Engine.submit`."""
        if not job.prompt or min(job.prompt) < 0 or max(job.prompt) >= self._vocabulary:
            raise ValueError("the prompt has no tokens, or one that the model does not have")
        ended = list(job.prompt[-len(self._ending) :]) == self._ending
        encoded = [*job.prompt, *([] if ended else self._ending)]
        if len(encoded) >= self.context_length:
            raise PromptTooLong(len(encoded), self.context_length)
        on_tokens = _counting(job.on_tokens, len(encoded))
        return self._engine.submit(
            msgspec.structs.replace(job, prompt=[self._start], encoded=encoded, on_tokens=on_tokens)
        )

    def close(self) -> None:
        """See `interface.Engine.close`."""
        self._engine.close()


def _counting(on_tokens: OnTokens, prompt_tokens: int) -> OnTokens:
    """Tell of the prompt that was encoded, not of what the decoder began with."""

    def told(new: list[int], finish: EngineFinish | None) -> None:
        counted = finish and msgspec.structs.replace(finish, prompt_tokens=prompt_tokens)
        on_tokens(new, counted)

    return told
