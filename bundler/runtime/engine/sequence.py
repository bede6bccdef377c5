"""A job on its way through the engine, a sequence of the KV cache that may hold its state, and a piece of it. Plain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from bundler.runtime.engine.interface import EngineReason, Job

CHUNK = 64
"""Prompts are cut at multiples of this many tokens, and a piece of a prompt is no shorter where that can be.

The same tokens computed in small and in large batches differ in their last bits. ggml's CPU attention takes another
path from 64 rows on; cut like this, a prompt's end is computed alike whether its beginning was cached or not.
"""

LEAST_SHIFTED = 4
"""Tokens that are not kept when a context shifts, however many are asked for; llama-server's number."""
MOST_CONTEXTS = 10
"""Of tokens, where an answer goes on and on by shifts; Ollama's number."""

Reuse = Literal["any", "chunks", "exact"]
"""What a prompt may begin with: any state of the same tokens; whole CHUNKs of it, so that its end is computed alike
each time; or whole CHUNKs that were computed alone, as they would be again, so that a seed repeats its answer."""


def stretch(missing: int, most: int) -> int:
    """How many of a prompt's `missing` tokens to compute now: all, or whole CHUNKs that leave one CHUNK at least."""
    return missing if missing <= most else min(most, max(missing - CHUNK, CHUNK)) // CHUNK * CHUNK


def aligned(length: int, cut: int) -> int:
    """Of a sequence's first `length` tokens, those up to the last whole CHUNK; a cut among them counts, CHUNKs behind
    it are counted from it."""
    start = cut if cut <= length else 0
    return start + (length - start) // CHUNK * CHUNK


def boundary(length: int, end: int, cut: int) -> int:
    """Of a prompt's first `length` tokens, how many may be taken so that the rest up to `end` is computed as always.

    Fewer than `end`, which is 1 at least. `cut`: where the prompt is cut in any case, 0 or from `end` on: nowhere.
    """
    if cut >= end:
        cut = 0
    if length < cut:
        return aligned(max(0, min(length, cut - CHUNK)), 0)
    return aligned(max(cut, min(length, end - CHUNK)), cut)


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences of one type both begin with; compares slices, which runs in C."""
    if not one or not other or one[0] != other[0]:
        return 0
    end, low, step = min(len(one), len(other)), 1, CHUNK
    while low < end and one[low : min(low + step, end)] == other[low : min(low + step, end)]:
        low, step = min(low + step, end), 2 * step
    high = min(low + step, end)
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


class Slot:
    """One sequence of the KV cache."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.tokens: list[int] = []
        """Those whose state is in the cache."""
        self.cells: list[int] = []
        """For each token the cell of its state, numbered as taken; slots with a common beginning may share them."""
        self.exact = 0
        """Of the tokens, the first so many were computed apart from other sequences, in whole CHUNKs or up to a cut."""
        self.shifted_at: int | None = None
        """From this token on the state was computed after tokens that are no longer before it; None: nowhere."""
        self.at_front = True
        """Whether they lie at the beginning of the cache: sums over other cells differ in their last bits."""
        self.task: Task | None = None
        self.last_used = 0

    @property
    def reusable(self) -> list[int]:
        """The tokens whose state is what computing them again would give."""
        return self.tokens if self.shifted_at is None else self.tokens[: self.shifted_at]


class Task:
    """A job on its way through the engine."""

    def __init__(self, job: Job, context_length: int, now: float = 0.0) -> None:
        """`now`: seconds of the clock that time limits are measured by."""
        self.job = job
        self.tokens = list(job.prompt)
        """The prompt and what was generated, without what was dropped."""
        self.prompt_tokens = len(self.tokens)
        self.dropped = 0
        """Tokens that shifts took out."""
        self.keep = max(0, min(self.prompt_tokens if job.keep < 0 else job.keep, context_length - LEAST_SHIFTED))
        """Of the tokens, the first so many stay in a shift."""
        self.limit = context_length * (MOST_CONTEXTS if job.shift else 1)
        """Most tokens, prompt and answer together, dropped ones included."""
        if job.max_tokens is not None:
            asked = self.prompt_tokens + max(0, job.max_tokens)
            self.limit = asked if job.shift else min(self.limit, asked)
        self.deadline = math.inf if job.time_limit is None else now + job.time_limit
        self._context_length = context_length
        self.seeded = job.sampling.seed is not None
        """Whether the same answer is wanted from the same job: then nothing else stays in the cache, if nobody runs."""
        self.reuse: Reuse = "exact" if self.seeded else "chunks" if job.sampling.temperature <= 0 else "any"
        self.cut = 0
        """So many tokens are computed before the next is begun, as these may be there already; 0: it is not cut."""
        self.stops: set[int] = set()
        """After so many tokens the next ones are a step of their own, and the state before them is saved: for prompts
        that begin alike, where memory cannot be cut back to what they have in common."""
        self.cached = 0
        self.slot: Slot | None = None
        self.awaited: Task | None = None
        """One that is computing the beginning of this one's prompt, which is then taken from it or what it saved."""
        self.awaited_length = 0
        self.admission = 0
        """Counts up: the later a task got its slot, the earlier it gives it back when cells run out."""
        self.passed_over = 0
        """Steps running in which its prompt was not computed further, as shorter ones went first."""
        self.cancelled = False
        self.reason: EngineReason | None = None
        self.error = ""

    @property
    def completion_tokens(self) -> int:
        return len(self.tokens) + self.dropped - self.prompt_tokens

    @property
    def growth(self) -> int:
        """Tokens that the sequence may still get, up to its end or to its next shift."""
        return min(self.limit - self.dropped, self._context_length) - len(self.tokens)

    @property
    def lasting(self) -> int:
        """Of the tokens, the first so many are the prompt's."""
        return min(self.prompt_tokens, self.keep) if self.dropped else self.prompt_tokens

    @property
    def missing(self) -> int:
        """Tokens whose state is to be computed, or taken from the awaited task."""
        return len(self.tokens) - (len(self.slot.tokens) if self.slot else 0)

    @property
    def waited_enough(self) -> bool:
        """Whether the awaited task, if there is one, has got as far as was awaited, or never will."""
        source = self.awaited
        if source is None:
            return False
        return source.slot is None or source.dropped > 0 or len(source.slot.tokens) >= self.awaited_length

    def usable(self, common: int, exact: int = 0) -> int:
        """How many tokens it may take from a sequence that begins with `common` of its own: never all, as one has to be
        computed. `exact`: of the sequence, see `Slot.exact`."""
        count = len(self.tokens)
        if not common:
            return 0
        match self.reuse:
            case "any":
                return min(common, count - 1)
            case "chunks":
                return boundary(common, count, self.cut)
            case "exact":
                return boundary(min(common, exact), count, self.cut)

    def last_stop(self) -> int:
        """Where its state is saved in any case: a CHUNK before its end at least, as a conversation's next turn often
        goes on from there in another way."""
        return boundary(len(self.tokens), len(self.tokens), 0)

    def stop_for(self, other: Task) -> int:
        """Where it can stop so that `other` goes on from the state there; 0: nowhere in what it computes next."""
        end = len(self.tokens)
        length = other.usable(min(common_prefix(self.tokens, other.tokens), end - 1))
        if self.reuse != "any":  # what is computed in whole CHUNKs comes out the same
            length = boundary(length, end, 0)
        begin = max(len(self.slot.tokens) if self.slot else 0, self.awaited_length)
        return length if length > begin and not self.dropped else 0


class Piece:
    """Tokens of one slot for the next step. With `samples` a token is drawn after the last."""

    def __init__(self, task: Task, slot: Slot, tokens: list[int], position: int, samples: bool) -> None:
        self.task = task
        self.slot = slot
        self.tokens = tokens
        self.position = position
        self.samples = samples
        self.alone = False
        """Whether nothing else is computed in the same step."""

    @property
    def repeatable(self) -> bool:
        """Whether its state is the one that its tokens get whenever they are computed alone, in whole CHUNKs."""
        return self.alone and (len(self.tokens) >= CHUNK or self.position == 0)
