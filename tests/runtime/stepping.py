"""A scheduler driven step by step over a runner that only counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bundler.runtime.engine.cache import Cache
from bundler.runtime.engine.interface import Job
from bundler.runtime.engine.scheduler import Scheduler
from bundler.runtime.engine.sequence import CHUNK, Piece, Task
from bundler.runtime.request import Sampling
from tests.runtime.counting import END, RANDOM, Answer, CountingRunner, job


class RowsRunner(CountingRunner):
    """Remembers for each token of a slot with how many it was computed, CHUNK at most; 0: beside other slots'."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, list[int]] = {}

    def keep(self, slot: int, length: int) -> int:
        kept = super().keep(slot, length)
        del self.rows.setdefault(slot, [])[kept:]
        return kept

    def shift(self, slot: int, keep: int, discard: int) -> bool:
        shifted = super().shift(slot, keep, discard)
        if shifted:
            del self.rows[slot][keep : keep + discard]
        return shifted

    def copy(self, source: int, target: int, length: int) -> int:
        copied = super().copy(source, target, length)
        self.rows[target] = self.rows[source][:copied]
        return copied

    def run(self, pieces: Sequence[Piece], beginning: Callable[[], None]) -> list[int | None] | None:
        for piece in pieces:
            rows = 0 if len(pieces) > 1 else min(len(piece.tokens), CHUNK)
            self.rows.setdefault(piece.slot.index, []).extend([rows] * len(piece.tokens))
        return super().run(pieces, beginning)


class Steps:
    """Drives a scheduler step by step, with the runner's rules."""

    def __init__(
        self,
        *,
        slots: int = 2,
        cells: int = 4096,
        context: int = 2048,
        saved: int = 0,
        trims: bool = True,
        shifts: bool = True,
        beginning: Sequence[int] = (),
        batch: int = 512,
        spare: int = 0,
        ubatch: int | None = None,
    ) -> None:
        self.runner = RowsRunner()
        self.runner.trims, self.runner.shifts = trims, shifts
        self.cache = Cache(self.runner, slots=slots, cells=cells, saved_limit=saved, beginning=beginning)
        self.scheduler = Scheduler(self.cache, context_length=context, batch=batch, spare=spare, ubatch=ubatch)

    def submit(self, prompt: Sequence[int], max_tokens: int | None = None, sampling: Sampling = RANDOM) -> Task:
        return self.scheduler.submit(job(prompt, Answer(), max_tokens, sampling))

    def submit_shifting(self, prompt: Sequence[int], *, keep: int = 0, max_tokens: int | None = None) -> Task:
        shifting = Job(prompt=prompt, keep=keep, max_tokens=max_tokens, shift=True, on_tokens=Answer().take)
        return self.scheduler.submit(shifting)

    def step(self, *, ignore_end: bool = False) -> list[tuple[int, int]]:
        """One step; (slot, number of tokens) of each piece."""
        self.scheduler.collect()
        self.scheduler.admit()
        pieces = self.scheduler.schedule()
        drawn = self.runner.run(pieces, lambda: None) or []
        for piece, token in zip(pieces, drawn, strict=True):
            self.scheduler.advance(piece, token, token == END and not ignore_end)
        return [(piece.slot.index, len(piece.tokens)) for piece in pieces]

    def finish(self, task: Task) -> None:
        while task.reason is None:
            assert self.step()
