"""The engine's loop: one thread, `step()` = schedule -> run -> postprocess; asleep while there is nothing to do.

Knows token ids, jobs and a runner that computes; neither text nor llama.cpp.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from bundler.errors import BundleError
from bundler.runtime.engine.interface import EngineClosed, EngineFinish, Job
from bundler.runtime.engine.scheduler import Scheduler
from bundler.runtime.engine.sequence import Piece, Task

Outcome = int | None | BundleError
"""Of a piece: the token drawn after it; None where it does not sample; or why none could be drawn."""


class Runner(Protocol):
    """What computes. Used from the engine's thread alone, but for `valid` and `interrupt`."""

    def valid(self, tokens: Sequence[int]) -> bool:
        """Whether these are token ids of the model."""

    def begin(self, task: Task) -> None:
        """A task is about to be computed: make its sampler."""

    def run(self, pieces: Sequence[Piece], beginning: Callable[[], None]) -> Sequence[Outcome] | None:
        """Compute the pieces in one batch; for each what came of it. Calls `beginning` right before it computes.

        None as a whole: interrupted; the slots of the pieces may hold some of their tokens, or a state of no use.

        Raises:
            BundleError: the computation failed; the state of every slot is unknown.
        """

    def interrupt(self) -> None:
        """End a `run` of another thread soon, or else the next one."""

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation."""

    def end(self, task: Task) -> None:
        """A task that was begun is over."""

    def close(self) -> None:
        """Free everything."""


class _Run:
    """When a task was computed, in seconds of a monotonic clock."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.first_token: float | None = None


class TaskHandle:
    """See `interface.Handle`."""

    def __init__(self, task: Task, cancel: Callable[[Task], None]) -> None:
        self._task = task
        self._cancel = cancel

    def cancel(self) -> None:
        self._cancel(self._task)


class RunningEngine:
    """See `interface.Engine`. Owns the runner and the thread."""

    def __init__(self, runner: Runner, scheduler: Scheduler, clock: Callable[[], float] = time.monotonic) -> None:
        self._runner = runner
        self._scheduler = scheduler
        self._clock = clock
        self._runs: dict[Task, _Run] = {}
        self._changed = threading.Condition()
        self._computing: Sequence[Piece] = ()
        self._undelivered: list[tuple[Task, list[int], EngineFinish | None]] = []
        self._closed_because = ""
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self._thread.start()

    @property
    def context_length(self) -> int:
        return self._scheduler.context_length

    @property
    def parallel(self) -> int:
        return self._scheduler.parallel

    def submit(self, job: Job) -> TaskHandle:
        if not self._runner.valid(job.prompt):
            raise ValueError("the prompt holds a token id that the model does not have")
        with self._changed:
            if self._closed_because:
                raise EngineClosed(self._closed_because)
            task = self._scheduler.submit(job, self._clock())
            self._changed.notify()
        return TaskHandle(task, self._cancel)

    def close(self) -> None:
        with self._changed:
            self._closed_because = self._closed_because or "the model is being unloaded"
            for task in [*self._scheduler.waiting, *self._scheduler.running]:
                task.cancelled = True
            if self._computing:
                self._runner.interrupt()
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _cancel(self, task: Task) -> None:
        """Mark the task; where its prompt is being computed right now, which may take long, stop that."""
        with self._changed:
            task.cancelled = True
            if self._scheduler.worth_interrupting(self._computing, task):
                self._runner.interrupt()
            self._changed.notify()

    def _loop(self) -> None:
        try:
            while self._wait_for_work():
                self.step()
        except Exception as error:  # nobody may wait for ever on an engine that is gone
            self._die(error)
        finally:
            self._runner.close()

    def _wait_for_work(self) -> bool:
        with self._changed:
            while not self._scheduler.busy:
                if self._closed_because:
                    return False
                self._changed.wait()
        return True

    def _die(self, error: Exception) -> None:
        message = f"the engine stopped: {type(error).__name__}: {error}"
        with self._changed:
            self._closed_because = message
            orphans = [*self._scheduler.waiting, *self._scheduler.running]
        self._runs.clear()
        for task in orphans:
            task.reason, task.error = "failed", message
            self._finish(task, [])
        self._deliver()

    def step(self) -> None:
        """Compute one batch.

        What came of it is handed out in one go when the next one begins to be computed: receivers then work beside
        llama.cpp, and take no turns at the interpreter with the engine.
        """
        with self._changed:
            ended = self._scheduler.collect(self._clock())
            admitted = self._scheduler.admit()
            self._computing = pieces = self._scheduler.schedule()
        for task in ended:
            self._finish(task, [])
        for task in admitted:
            if task not in self._runs:
                self._runs[task] = _Run(self._clock())
                self._runner.begin(task)
        if not pieces:
            self._deliver()
            return
        try:
            drawn = self._runner.run(pieces, self._deliver)
        except BundleError as error:
            with self._changed:
                failed = self._scheduler.fail(error.message)
            for task in failed:
                self._finish(task, [])
            self._deliver()
            return
        finally:
            with self._changed:
                self._computing = ()
        if drawn is None:
            with self._changed:
                self._scheduler.interrupted(pieces)
            return
        for piece, token in zip(pieces, drawn, strict=True):
            self._postprocess(piece, token)
        if not self._scheduler.busy:
            self._deliver()

    def _postprocess(self, piece: Piece, token: Outcome) -> None:
        task = piece.task
        if isinstance(token, BundleError):
            with self._changed:
                self._scheduler.give_up(piece, token.message)
            self._finish(task, [])
            return
        ends = token is not None and not task.job.ignore_end and self._runner.is_end(token)
        with self._changed:
            self._scheduler.advance(piece, token, ends)
        if token is None:
            return
        run = self._runs[task]
        if run.first_token is None:
            run.first_token = self._clock()
        new = [] if ends else [token]
        if task.reason:
            self._finish(task, new)
        else:
            self._undelivered.append((task, new, None))

    def _finish(self, task: Task, new: list[int]) -> None:
        now = self._clock()
        run = self._runs.pop(task, None)
        if run is not None:
            self._runner.end(task)
        began = now if run is None else run.began
        first = now if run is None or run.first_token is None else run.first_token
        assert task.reason is not None
        finish = EngineFinish(
            reason=task.reason,
            prompt_tokens=task.prompt_tokens,
            completion_tokens=task.completion_tokens,
            cached_tokens=task.cached,
            prompt_seconds=first - began,
            completion_seconds=now - first,
            error=task.error,
        )
        self._undelivered.append((task, new, finish))

    def _deliver(self) -> None:
        deliveries, self._undelivered = self._undelivered, []
        for task, new, finish in deliveries:
            try:
                task.job.on_tokens(new, finish)
            except Exception:  # the receiver is gone (a closed event loop); others must go on
                task.cancelled = True
