"""Who computes what in the next step: queue, slots, chunked prefill mixed with decode, room in the KV cache.

Plain state. It touches no device: what the KV cache holds is `cache`'s business, sampled tokens come in by `advance`.
Prompts that begin alike and come together are computed once: the later ones wait for the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from bundler.runtime.engine.cache import WORTH_SAVING, Cache
from bundler.runtime.engine.interface import Job, Overloaded, PromptTooLong
from bundler.runtime.engine.sequence import CHUNK, Piece, Slot, Task, aligned, stretch

HEADROOM = 256
"""Tokens that each running task is expected to grow by, when it is decided whether another one may begin."""

PATIENCE = 4
"""Steps that a prompt waits while shorter ones take all there is room for."""


class Scheduler:
    """Decides, remembers, and never computes. Not thread-safe: the engine holds a lock around it."""

    def __init__(
        self,
        cache: Cache,
        *,
        context_length: int,
        parallel: int | None = None,
        batch: int = 512,
        spare: int = 0,
        ubatch: int | None = None,
        mixed_batch: int = 128,
        most_stalled: int = 1536,
        queue: int = 64,
    ) -> None:
        """`cache` holds at least `context_length` cells; `parallel`: most running tasks, None: one for each slot.

        `batch`: most tokens of a step, but for `spare` further ones where they end a prompt; `mixed_batch`: for each
        prompt, most prompt tokens of a step in which other sequences wait for their next token, likewise; `ubatch`: of
        a step's tokens so many are computed at once, None: all; `most_stalled`: of several prompts, most tokens that
        are computed one step after another while these wait; `queue`: most waiting jobs.
        """
        self.context_length = context_length
        self.parallel = parallel or len(cache.slots)
        self.waiting: deque[Task] = deque()
        self._cache = cache
        self._batch = batch
        self._spare = spare
        self._ubatch = ubatch or batch + spare
        self._mixed_batch = mixed_batch
        self._most_stalled = most_stalled
        self._queue = queue
        self._admissions = 0
        self._stalled = 0

    @property
    def running(self) -> list[Task]:
        return [slot.task for slot in self._cache.slots if slot.task is not None]

    @property
    def busy(self) -> bool:
        return bool(self.waiting) or any(slot.task for slot in self._cache.slots)

    def submit(self, job: Job, now: float = 0.0) -> Task:
        """Put a job into the queue; `now` in seconds of the clock that `collect` is told.

        Raises:
            ValueError, PromptTooLong, Overloaded: as `Engine.submit`.
        """
        if not job.prompt:
            raise ValueError("the prompt has no tokens")
        if len(job.prompt) >= self.context_length:
            raise PromptTooLong(len(job.prompt), self.context_length)
        if len(self.waiting) >= self._queue + self.parallel - len(self.running):
            raise Overloaded(len(self.waiting))
        task = Task(job, self.context_length, now)
        task.cut = self._cache.cut(task.tokens)
        self.waiting.append(task)
        return task

    def collect(self, now: float = 0.0) -> list[Task]:
        """Take out the tasks that end without another step: cancelled ones, those out of time, or wanting no token."""
        for task in [*self.waiting, *self.running]:
            if task.cancelled:
                task.reason = "cancelled"
            elif task.limit <= task.prompt_tokens:
                task.reason = "length"
            elif task.deadline <= now:
                task.reason = "timeout"
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
            running, task = self.running, self.waiting[0]
            if len(running) >= self.parallel or (running and not self._fits(task, running)):
                break
            self.waiting.popleft()
            self._place(task, running)
            admitted.append(task)
        return admitted

    def schedule(self) -> list[Piece]:
        """The next step: every sequence that waits for its next token, and prompt tokens as far as the batch goes.

        Short prompts go first, but pass no other one over in more than PATIENCE steps running. Where several prompts
        wait, they have some steps for themselves, so that the last of them does not wait for the answers to the first.
        """
        self._make_room()
        if self._end_waits():
            self._make_room()
        pieces, prefills = [], []
        for slot in self._cache.slots:
            task = slot.task
            if task is None or task.awaited is not None:
                continue
            if task.missing == 1:
                pieces.append(Piece(task, slot, task.tokens[-1:], len(slot.tokens), True))
            else:
                prefills.append((task.missing, slot.index, task, slot))
        if pieces and len(prefills) > 1 and self._stalled + self._batch <= self._most_stalled:
            self._stalled += self._batch
            pieces = []
        else:
            self._stalled = 0
        budget = self._batch - len(pieces)
        if pieces:
            budget = min(budget, self._mixed_batch * len(prefills))
        prefills.sort(key=lambda entry: (entry[2].passed_over < PATIENCE, *entry[:2]))
        alone = not pieces and len(prefills) == 1
        for missing, _, task, slot in prefills:
            count = self._portion(task, slot, budget, alone=alone)
            task.passed_over = 0 if count else task.passed_over + 1
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
        slot, task = piece.slot, piece.task
        self._cache.extend(slot, piece.tokens)
        if piece.repeatable and piece.position == slot.exact:
            slot.exact = aligned(len(slot.tokens), task.cut)
        if token is None:
            if self._cache.checkpoints and len(slot.tokens) in (task.last_stop(), *task.stops):
                self._cache.checkpoint(slot)
            return
        task.tokens.append(token)
        if ends:
            task.reason = "stop"
        elif len(task.tokens) + task.dropped >= task.limit:
            task.reason = "length"
        elif len(task.tokens) >= self.context_length:
            self._shift(task, slot)
        if task.reason:
            self._release(task)

    def worth_interrupting(self, pieces: Sequence[Piece], task: Task) -> bool:
        """Whether a step computes a prompt of the task, and no other task would lose what it has if it ended midway."""
        prompted = any(piece.task is task and len(piece.tokens) > 1 for piece in pieces)
        return prompted and (self._cache.trims or len(pieces) == 1)

    def interrupted(self, pieces: Sequence[Piece]) -> None:
        """Note that a step was ended midway: nothing of it is kept, and its tokens are computed again."""
        for piece in pieces:
            self._cache.interrupted(piece.slot)

    def _shift(self, task: Task, slot: Slot) -> None:
        discard = (len(task.tokens) - task.keep) // 2
        del task.tokens[task.keep : task.keep + discard]
        task.dropped += discard
        task.cut, task.stops = self._cache.cut(task.tokens), set()
        self._cache.shift(slot, task, discard)

    def give_up(self, piece: Piece, message: str) -> None:
        """Note that a piece was computed, and end its task, for which no token could be drawn that is allowed."""
        self.advance(piece, None, False)
        piece.task.reason, piece.task.error = "constraint", message
        self._release(piece.task)

    def fail(self, message: str) -> list[Task]:
        """End every running task, and forget what the KV cache holds: its state is unknown after a failed step."""
        failed = self.running
        for task in failed:
            task.reason, task.error = "failed", message
            self._release(task)
        self._cache.forget()
        return failed

    def _fits(self, task: Task, running: list[Task]) -> bool:
        """Whether the task's cells, and those that the running ones are about to need, are there."""
        to_come = sum(min(one.growth, HEADROOM) + self._cells_to_come(one) for one in running)
        length = len(task.tokens) + min(task.growth, HEADROOM)
        held = self._cache.used_by_running(self._cache.cells - to_come - length)
        if held + to_come + length <= self._cache.cells:
            return True
        shared = max((self._shared(task, one) for one in running), default=0)
        return held + to_come + length - shared <= self._cache.cells

    def _shared(self, task: Task, other: Task) -> int:
        """Tokens of the task's beginning that it may have in common with a running one, in the same cells."""
        if task.seeded or not self._cache.trims:
            return 0
        return self._cache.reusable(task, other.tokens[: other.lasting], 0)

    def _cells_to_come(self, task: Task) -> int:
        """Cells that the task needs for the tokens it has."""
        shares = task.awaited is not None and self._cache.trims
        return len(task.tokens) - task.awaited_length if shares else task.missing

    def _to_come(self, task: Task, other: Task) -> int:
        """Tokens of the task's beginning that it may take from a running one, once that one has computed them."""
        if self._cache.checkpoints and not task.seeded:
            return other.stop_for(task)
        return self._shared(task, other)

    def _place(self, task: Task, running: list[Task]) -> None:
        """Give a slot to the task, and see whose computing spares it some of its own."""
        known = self._cache.known(task) if self._cache.checkpoints and not task.seeded else 0
        slot = self._cache.claim(task)
        if task.seeded and not running:
            self._cache.empty_all_but(slot)
        sources = [(self._to_come(task, one), one) for one in running]
        length, source = max(sources, key=lambda pair: pair[0], default=(0, None))
        if source is not None and length >= len(slot.tokens) + WORTH_SAVING:
            task.awaited, task.awaited_length = source, length
            if self._cache.checkpoints:
                source.stops.add(length)
        task.stops = {known} if known >= max(len(slot.tokens), task.awaited_length) + WORTH_SAVING else set()
        if not task.admission:
            task.cached = len(slot.tokens)
        self._admissions += 1
        task.admission = self._admissions
        task.slot, slot.task = slot, task

    def _end_waits(self) -> bool:
        """Have the tasks take the beginning that they waited for whose wait is over; whether there are any.

        Where another one did not get that far, they may need more cells than before.
        """
        ended = [(slot, slot.task) for slot in self._cache.slots if slot.task is not None and slot.task.waited_enough]
        for slot, task in ended:
            task.awaited, task.awaited_length = None, 0
            self._cache.top_up(slot, task)
            if not task.completion_tokens:
                task.cached = len(slot.tokens)
        return bool(ended)

    def _make_room(self) -> None:
        """See that every token of a running task has a cell: first old state goes, then the latest task waits again.

        The task that runs for longest always fits: no context is longer than the cache.
        """
        latest_last = sorted(self.running, key=lambda task: task.admission)
        while self._cache.used + sum(self._cells_to_come(task) for task in self.running) > self._cache.cells:
            if self._cache.evict_oldest():
                continue
            task = latest_last.pop()
            slot = task.slot
            assert slot is not None
            self._release(task)
            self._cache.evict(slot)
            task.cut = self._cache.cut(task.tokens)
            self.waiting.appendleft(task)

    def _portion(self, task: Task, slot: Slot, most: int, *, alone: bool) -> int:
        """How many tokens of a prompt to compute now: up to its cut, and no more than `most` but for the spare ones.

        Where states are saved, a prompt's end is a step of its own, and what comes after a beginning that others share.
        `alone`: nothing else is in the step. Fewer are taken then, where it would else end in less than a CHUNK
        computed by itself: these tokens would come out in another way than when the prompt comes again.
        """
        begin, end = len(slot.tokens), len(task.tokens)
        stops = {task.cut, end, *task.stops}
        if self._cache.checkpoints and end - begin >= 2 * CHUNK:
            stops.add(task.last_stop())
        missing = min(stop for stop in stops if stop > begin) - begin
        count = missing if missing <= most + self._spare else stretch(missing, max(0, most))
        if not alone or not self._ends_short(count):
            return count
        most = (missing - CHUNK if count == missing else count) // CHUNK * CHUNK
        return next((size for size in range(most, 0, -CHUNK) if not self._ends_short(size)), count)

    def _ends_short(self, tokens: int) -> bool:
        """Whether of a step of so many tokens the last are computed by themselves, and are less than a CHUNK."""
        return CHUNK < self._ubatch < tokens and 0 < tokens % self._ubatch < CHUNK

    def _release(self, task: Task) -> None:
        task.awaited, task.awaited_length = None, 0
        if task.slot is not None:
            self._cache.used_now(task.slot)
            task.slot.task = None
            task.slot = None
