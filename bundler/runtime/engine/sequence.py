"""A job on its way through the engine, and a sequence of the KV cache that may hold its state. Plain state."""

from __future__ import annotations

from typing import Literal

from bundler.runtime.engine.interface import EngineReason, Job

CHUNK = 64
"""Prompts are cut at multiples of this many tokens, and a piece of a prompt is no shorter where that can be.

The same tokens computed in small and in large batches differ in their last bits. ggml's CPU attention takes another
path from 64 rows on; cut like this, a prompt's end is computed alike whether its beginning was cached or not.
"""

Reuse = Literal["any", "chunks", "exact"]
"""What a prompt may begin with: any state of the same tokens; whole CHUNKs of it, so that its end is computed alike
each time; or whole CHUNKs that were computed alone, as they would be again, so that a seed repeats its answer."""


class Slot:
    """One sequence of the KV cache."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.tokens: list[int] = []
        """Those whose state is in the cache."""
        self.cells: list[int] = []
        """For each token the cell of its state, numbered as taken; slots with a common beginning may share them."""
        self.exact = 0
        """Of the tokens, the first so many were computed in whole CHUNKs and apart from other sequences."""
        self.at_front = True
        """Whether they lie at the beginning of the cache: sums over other cells differ in their last bits."""
        self.task: Task | None = None
        self.last_used = 0


class Task:
    """A job on its way through the engine."""

    def __init__(self, job: Job, context_length: int) -> None:
        self.job = job
        self.tokens = list(job.prompt)
        """The prompt and what was generated."""
        self.prompt_tokens = len(self.tokens)
        self.limit = context_length
        """Most tokens, prompt and answer together."""
        if job.max_tokens is not None:
            self.limit = min(self.limit, self.prompt_tokens + max(0, job.max_tokens))
        self.seeded = job.sampling.seed is not None
        """Whether the same answer is wanted from the same job: then nothing else stays in the cache, if nobody runs."""
        self.reuse: Reuse = "exact" if self.seeded else "chunks" if job.sampling.temperature <= 0 else "any"
        self.cached = 0
        self.slot: Slot | None = None
        self.awaited: Task | None = None
        """One that is computing the beginning of this one's prompt, which is then taken from it."""
        self.awaited_length = 0
        self.admission = 0
        """Counts up: the later a task got its slot, the earlier it gives it back when cells run out."""
        self.cancelled = False
        self.reason: EngineReason | None = None
        self.error = ""

    @property
    def completion_tokens(self) -> int:
        return len(self.tokens) - self.prompt_tokens

    @property
    def missing(self) -> int:
        """Tokens whose state is to be computed, or taken from the awaited task."""
        return len(self.tokens) - (len(self.slot.tokens) if self.slot else 0)

    @property
    def cells_to_come(self) -> int:
        """Cells that it needs for the tokens it has."""
        return len(self.tokens) - self.awaited_length if self.awaited else self.missing
