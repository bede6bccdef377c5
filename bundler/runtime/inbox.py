"""Carries tokens from the engine's thread into an event loop.

Tokens that come while the loop is busy are handed on together, and those of several answers with one wake-up: waking
a loop is a system call, and the loop then takes turns at the interpreter with the engine.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress

from bundler.runtime.engine.interface import Drawn, EngineFinish


class Postman:
    """Tells coroutines of one event loop that something has come for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._lock = threading.Lock()
        self._waiting: list[asyncio.Event] = []

    def ring(self, ready: asyncio.Event) -> None:
        """Have `ready` set soon; in any thread. Does nothing once the loop is closed."""
        with self._lock:
            self._waiting.append(ready)
            wake = len(self._waiting) == 1
        if wake:
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for ready in waiting:
            ready.set()


class Inbox:
    """One answer's tokens; `put` is called by the engine, `get` by one coroutine of the postman's loop."""

    def __init__(self, postman: Postman) -> None:
        self._postman = postman
        self._lock = threading.Lock()
        self._tokens: list[int] = []
        self._drawn: deque[Drawn] = deque()
        self._finish: EngineFinish | None = None
        self._woken = False
        self._ready = asyncio.Event()

    def put(self, tokens: list[int], finish: EngineFinish | None) -> None:
        """Take new tokens; never blocks, and does nothing once the loop is closed."""
        with self._lock:
            self._tokens += tokens
            self._finish = finish or self._finish
            wake, self._woken = not self._woken, True
        if wake:
            self._postman.ring(self._ready)

    def put_drawn(self, drawn: Drawn) -> None:
        """Take what is told of a token, before the token itself."""
        self._drawn.append(drawn)

    def drawn(self, count: int) -> list[Drawn]:
        """What was told of the next `count` tokens."""
        return [self._drawn.popleft() for _ in range(min(count, len(self._drawn)))]

    async def get(self) -> tuple[list[int], EngineFinish | None]:
        """All tokens that have come since the last call, with the finish when it is there; waits for either."""
        await self._ready.wait()
        with self._lock:
            tokens, self._tokens = self._tokens, []
            self._woken = False
            self._ready.clear()
            return tokens, self._finish
