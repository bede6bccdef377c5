"""Who computes what in the next step: queue, slots, chunked prefill mixed with decode, room in the KV cache.

Plain state. It touches no device: the KV cache is reached through `keep` alone, sampled tokens come in by `advance`. A
slot is one sequence of the KV cache; after its job ends its tokens stay, for the next prompt that begins like them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

from bundler.runtime.engine.interface import EngineReason, Job, Overloaded, PromptTooLong

CHUNK = 64
"""Prompts are cut at multiples of this many tokens, and a piece of a prompt is no shorter where that can be.

The same tokens computed in small and in large batches differ in their last bits. ggml's CPU attention takes another
path from 64 rows on; cut like this, a prompt's end is computed alike whether its beginning was cached or not.
"""

HEADROOM = 256
"""Tokens that each running task is expected to grow by, when it is decided whether another one may begin."""

Keep = Callable[[int, int], int]
"""(slot, length) -> tokens that remain: trims the slot's sequence in the KV cache; 0 where it had to be emptied."""


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
        self.exact = self.seeded or job.sampling.temperature <= 0
        """Whether only what was computed in whole CHUNKs is reused."""
        self.cached = 0
        self.slot: Slot | None = None
        self.admission = 0
        """Counts up: the later a task got its slot, the earlier it gives it back when cells run out."""
        self.cancelled = False
        self.reason: EngineReason | None = None
        self.error = ""

    @property
    def completion_tokens(self) -> int:
        return len(self.tokens) - self.prompt_tokens


class Slot:
    """One sequence of the KV cache."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.tokens: list[int] = []
        """Those whose state is in the cache."""
        self.exact = 0
        """Of these, the first so many were computed in whole CHUNKs and apart from other sequences."""
        self.at_front = True
        """Whether they lie at the beginning of the cache: sums over other cells differ in their last bits."""
        self.task: Task | None = None
        self.last_used = 0


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


class Scheduler:
    """Decides, remembers, and never computes. Not thread-safe: the engine holds a lock around it."""

    def __init__(
        self,
        keep: Keep,
        *,
        slots: int,
        cells: int,
        context_length: int,
        batch: int = 512,
        mixed_batch: int = 128,
        queue: int = 64,
    ) -> None:
        """`cells`: tokens that the KV cache holds, all slots together, at least `context_length`.

        `batch`: most tokens of a step; `mixed_batch`: most prompt tokens of a step in which other sequences wait for
        their next token; `queue`: most waiting jobs.
        """
        self.context_length = context_length
        self.slots = [Slot(index) for index in range(slots)]
        self.waiting: deque[Task] = deque()
        self._keep = keep
        self._cells = cells
        self._batch = batch
        self._mixed_batch = mixed_batch
        self._queue = queue
        self._uses = 0
        self._admissions = 0

    @property
    def running(self) -> list[Task]:
        return [slot.task for slot in self.slots if slot.task is not None]

    @property
    def busy(self) -> bool:
        return bool(self.waiting) or any(slot.task for slot in self.slots)

    def submit(self, job: Job) -> Task:
        """Put a job into the queue.

        Raises:
            ValueError, PromptTooLong, Overloaded: as `Engine.submit`.
        """
        if not job.prompt:
            raise ValueError("the prompt has no tokens")
        if len(job.prompt) >= self.context_length:
            raise PromptTooLong(len(job.prompt), self.context_length)
        idle = sum(slot.task is None for slot in self.slots)
        if len(self.waiting) >= self._queue + idle:
            raise Overloaded(len(self.waiting))
        task = Task(job, self.context_length)
        self.waiting.append(task)
        return task

    def collect(self) -> list[Task]:
        """Take out the tasks that end without another step: cancelled ones, and those that want no token at all."""
        for task in [*self.waiting, *self.running]:
            if task.cancelled:
                task.reason = "cancelled"
            elif task.limit <= task.prompt_tokens:
                task.reason = "length"
        ended = [task for task in [*self.waiting, *self.running] if task.reason]
        self.waiting = deque(task for task in self.waiting if not task.reason)
        for task in ended:
            self._release(task)
        return ended

    def admit(self) -> list[Task]:
        """Give free slots to waiting tasks, first come first served, as far as there is room; returns those that begin.

        One that comes back after `schedule` took its slot away is among them again.
        """
        admitted = []
        while self.waiting:
            task = self.waiting[0]
            free = [slot for slot in self.slots if slot.task is None]
            if not free or (self.running and sum(map(_demand, [*self.running, task])) > self._cells):
                break
            self.waiting.popleft()
            slot, common = _best_slot(free, task.tokens)
            self._place(task, slot, common)
            admitted.append(task)
        return admitted

    def schedule(self) -> list[Piece]:
        """The next step: every sequence that waits for its next token, and prompt tokens as far as the batch goes."""
        self._make_room()
        pieces, prefills = [], []
        for slot in self.slots:
            task = slot.task
            if task is None:
                continue
            if len(task.tokens) - len(slot.tokens) == 1:
                pieces.append(Piece(task, slot, task.tokens[-1:], len(slot.tokens), True))
            else:
                prefills.append((len(task.tokens) - len(slot.tokens), slot.index, task, slot))
        budget = self._batch - len(pieces)
        if pieces:
            budget = min(budget, self._mixed_batch)
        for index, (missing, _, task, slot) in enumerate(sorted(prefills, key=lambda entry: entry[:2])):
            count = _cut(missing, min(budget, max(budget // (len(prefills) - index), CHUNK)))
            if not count:
                continue
            budget -= count
            begin = len(slot.tokens)
            pieces.append(Piece(task, slot, task.tokens[begin : begin + count], begin, count == missing))
        if len(pieces) == 1:
            pieces[0].alone = True
        return pieces

    def advance(self, piece: Piece, token: int | None, ends: bool) -> None:
        """Note that a piece was computed and, where it samples, the token drawn and whether that one ends generation.

        A task that ends has its `reason` set and is out of its slot.
        """
        slot = piece.slot
        slot.tokens.extend(piece.tokens)
        if piece.alone and piece.position == slot.exact:
            slot.exact += len(piece.tokens) // CHUNK * CHUNK
        if token is None:
            return
        task = piece.task
        task.tokens.append(token)
        if ends:
            task.reason = "stop"
        elif len(task.tokens) >= task.limit:
            task.reason = "length"
        if task.reason:
            self._release(task)

    def fail(self, message: str) -> list[Task]:
        """End every running task, and forget what the KV cache holds: its state is unknown after a failed step."""
        failed = self.running
        for task in failed:
            task.reason, task.error = "failed", message
            self._release(task)
        for slot in self.slots:
            self._trim(slot, 0)
        return failed

    def _place(self, task: Task, slot: Slot, common: int) -> None:
        if task.seeded and not slot.at_front:
            reusable = 0
        elif task.exact:
            reusable = max(0, min(common, slot.exact, len(task.tokens) - CHUNK)) // CHUNK * CHUNK
        else:
            reusable = min(common, len(task.tokens) - 1)
        if task.seeded and not self.running:
            for other in self.slots:
                if other is not slot:
                    self._trim(other, 0)
        self._trim(slot, reusable)
        if not slot.tokens:
            slot.at_front = not any(other.tokens for other in self.slots)
        if not task.admission:
            task.cached = len(slot.tokens)
        self._admissions += 1
        task.admission = self._admissions
        task.slot, slot.task = slot, task

    def _make_room(self) -> None:
        """See that every token of a running task has a cell: first old state goes, then the latest task waits again.

        The task that runs for longest always fits: no context is longer than the cache.
        """
        idle = sorted((slot for slot in self.slots if slot.task is None), key=lambda slot: -slot.last_used)
        latest_last = sorted(self.running, key=lambda task: task.admission)
        while sum(len(slot.task.tokens if slot.task else slot.tokens) for slot in self.slots) > self._cells:
            if idle:
                self._trim(idle.pop(), 0)
                continue
            task = latest_last.pop()
            slot = task.slot
            assert slot is not None
            self._release(task)
            self._trim(slot, 0)
            self.waiting.appendleft(task)

    def _trim(self, slot: Slot, length: int) -> None:
        if length == len(slot.tokens) and length > 0:
            return
        del slot.tokens[self._keep(slot.index, length) :]
        slot.exact = min(slot.exact, len(slot.tokens) // CHUNK * CHUNK)

    def _release(self, task: Task) -> None:
        if task.slot is not None:
            self._uses += 1
            task.slot.last_used = self._uses
            task.slot.task = None
            task.slot = None


def _demand(task: Task) -> int:
    """Cells that a task is about to need."""
    return min(task.limit, len(task.tokens) + HEADROOM)


def _cut(missing: int, most: int) -> int:
    """How many of a prompt's `missing` tokens to compute now: all, or whole CHUNKs that leave one CHUNK at least."""
    if missing <= most:
        return missing
    return min(most, max(missing - CHUNK, CHUNK)) // CHUNK * CHUNK


def _best_slot(free: Sequence[Slot], prompt: Sequence[int]) -> tuple[Slot, int]:
    """The slot that holds most of the prompt's beginning, else the one unused for longest; and how much it holds."""
    commons = {slot.index: _common_prefix(slot.tokens, prompt) for slot in free}
    best = max(free, key=lambda slot: (commons[slot.index], not slot.tokens, -slot.last_used))
    return best, commons[best.index]


def _common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    pairs: Iterator[tuple[int, int]] = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
