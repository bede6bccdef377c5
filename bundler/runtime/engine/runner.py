"""The engine's runner over llama.cpp: one batch, one context, a sampler for each running job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

from bundler.errors import BundleError
from bundler.runtime.engine.engine import Outcome
from bundler.runtime.engine.sequence import Piece, Task
from bundler.runtime.llama.candidates import Candidates
from bundler.runtime.llama.context import Batch, Context
from bundler.runtime.llama.likeliest import Likeliest
from bundler.runtime.llama.model import Model
from bundler.runtime.llama.sampler import Sampler


class Closable(Protocol):
    """What is to be closed."""

    def close(self) -> None: ...


class LlamaRunner:
    """See `engine.Runner`. Owns the model and the context."""

    def __init__(
        self, model: Model, context: Context, *, batch: int, context_length: int, beside: Sequence[Closable] = ()
    ) -> None:
        """`beside`: what else holds on to the model; closed before it is."""
        self._beside = beside
        self._model = model
        self._context = context
        self._batch = Batch(model, batch)
        self._context_length = context_length
        self._likeliest = Likeliest(model)
        self._samplers: dict[Task, Sampler] = {}
        self.is_end = model.vocabulary.is_end
        self.interrupt = context.interrupt

    def valid(self, tokens: Sequence[int]) -> bool:
        return not tokens or (min(tokens) >= 0 and max(tokens) < self._model.vocabulary.size)

    @cached_property
    def _candidates(self) -> Candidates:
        """Made where they are first needed: they take 24 bytes a token of the vocabulary."""
        return Candidates(self._model)

    def begin(self, task: Task) -> None:
        self._samplers[task] = Sampler(
            self._model, task.job, self._likeliest, lambda: self._candidates, self._context_length
        )

    def run(self, pieces: Sequence[Piece], beginning: Callable[[], None]) -> list[Outcome] | None:
        batch = self._batch
        for piece in pieces:
            if piece.task.job.encoded and piece.position == 0 and not self._encode(piece.task.job.encoded):
                return None
        batch.clear()
        ends = [
            batch.add(piece.slot.index, piece.tokens, piece.position, want_logits=piece.samples) for piece in pieces
        ]
        beginning()
        if not self._context.decode(batch):
            return None
        return [
            self._sample(piece.task, end) if piece.samples else None for piece, end in zip(pieces, ends, strict=True)
        ]

    def _encode(self, tokens: Sequence[int]) -> bool:
        self._batch.clear()
        self._batch.add(0, tokens, 0, want_logits=True)
        return self._context.encode(self._batch)

    def _sample(self, task: Task, index: int) -> Outcome:
        try:
            return self._samplers[task].sample(self._context, index)
        except BundleError as error:
            return error

    def end(self, task: Task) -> None:
        self._samplers.pop(task).close()

    def close(self) -> None:
        for task in list(self._samplers):
            self.end(task)
        if "_candidates" in self.__dict__:
            self._candidates.close()
        for each in self._beside:
            each.close()
        self._context.close()
        self._model.close()
