"""Carries tokens from the engine's thread into an event loop.

Tokens that come while the loop is busy are handed on together, and those of several answers with one wake-up: waking
a loop is a system call, and the loop then takes turns at the interpreter with the engine.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any

from bundler.runtime.engine.interface import Drawn, EngineFinish


class Postman:
    """Tells coroutines of one event loop that something has come for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._lock = threading.Lock()
        self._waiting: list[Inbox] = []
        self._wake = self._bell()

    def _bell(self) -> Callable[[], None]:
        """What has `_deliver` called soon, from any thread; it does nothing once the loop is closed."""
        if sys.platform == "linux":  # asyncio's own way takes three system calls more
            bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            weakref.finalize(self, os.close, bell).atexit = False

            def ring() -> None:
                os.eventfd_write(bell, 1)

            def answer() -> None:
                os.eventfd_read(bell)
                self._deliver()

            self.loop.add_reader(bell, answer)
        else:

            def ring() -> None:
                with suppress(RuntimeError):
                    self.loop.call_soon_threadsafe(self._deliver)

        return ring

    def ring(self, inbox: Inbox) -> None:
        """Have the inbox looked into soon; in any thread."""
        with self._lock:
            self._waiting.append(inbox)
            wake = len(self._waiting) == 1
        if wake:
            self._wake()

    def _deliver(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for inbox in waiting:
            inbox.deliver()


class _Arrival(asyncio.Future[None]):
    """What one coroutine waits for. It goes on within `set_result`; a plain future has the loop take another turn."""

    _resume: Callable[[_Arrival], object]
    _context: Context

    def add_done_callback(self, fn: Callable[[Any], object], *, context: Context | None = None) -> None:
        self._resume, self._context = fn, context or copy_context()

    def set_result(self, result: None) -> None:
        super().set_result(result)
        self._context.run(self._resume, self)

    def cancel(self, msg: Any | None = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            self.get_loop().call_soon(self._resume, self, context=self._context)
        return cancelled


class Inbox:
    """One answer's tokens; `put` is called by the engine, `get` by one coroutine of the postman's loop."""

    def __init__(self, postman: Postman) -> None:
        self._postman = postman
        self._lock = threading.Lock()
        self._tokens: list[int] = []
        self._drawn: deque[Drawn] = deque()
        self._finish: EngineFinish | None = None
        self._rung = False
        self._reader: _Arrival | None = None

    def put(self, tokens: list[int], finish: EngineFinish | None) -> None:
        """Take new tokens; never blocks, and does nothing once the loop is closed."""
        with self._lock:
            self._tokens += tokens
            self._finish = finish or self._finish
            ring, self._rung = not self._rung, True
        if ring:
            self._postman.ring(self)

    def put_drawn(self, drawn: Drawn) -> None:
        """Take what is told of a token, before the token itself."""
        self._drawn.append(drawn)

    def drawn(self, count: int) -> list[Drawn]:
        """What was told of the next `count` tokens."""
        return [self._drawn.popleft() for _ in range(min(count, len(self._drawn)))]

    def deliver(self) -> None:
        """Have the coroutine that waits take what has come."""
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> tuple[list[int], EngineFinish | None]:
        """All tokens that have come since the last call, with the finish when it is there; waits for either."""
        while not self._rung:
            self._reader = _Arrival(loop=self._postman.loop)
            await self._reader
        with self._lock:
            tokens, self._tokens = self._tokens, []
            self._rung = False
            return tokens, self._finish
