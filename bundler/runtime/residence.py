"""When a model is in memory: until nobody has asked for a while, and again when somebody does.

Knows nothing of HTTP or of requests. Used from one event loop; nothing here polls.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, ParamSpec, TypeVar

from bundler.errors import BundleError
from bundler.runtime.engine.interface import EngineClosed, Loaded
from bundler.runtime.startup import Startup

P = ParamSpec("P")
T = TypeVar("T")


class Residence:
    """One model of the process: who uses it, and how long it stays when nobody does."""

    def __init__(self, startup: Startup, keep_alive: float | None = None) -> None:
        """`keep_alive`: seconds without use after which the model is unloaded; None: never."""
        self.startup = startup
        self._keep_alive = math.inf if keep_alive is None else keep_alive
        self._users = 0
        self._timer: asyncio.TimerHandle | None = None
        self._unloading: asyncio.Future[None] | None = None
        self._threads: set[asyncio.Task[Any]] = set()
        self._waiting: asyncio.Task[None] | None = None
        self._reviving = asyncio.Lock()
        self._closed = asyncio.Event()
        self._was_loaded = startup.unloaded

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    @property
    def ready(self) -> bool:
        """Whether requests are answered: also when the model is loaded anew for the next one."""
        self._was_loaded = self._was_loaded or self.startup.loaded is not None
        return self._was_loaded and not self.startup.failed

    def begin(self) -> None:
        """Count the time without use from the end of loading on."""
        if self._keep_alive < math.inf:
            self._waiting = asyncio.create_task(self._wait_for_loading())

    async def _wait_for_loading(self) -> None:
        with suppress(BundleError, EngineClosed):
            async with self.use():
                pass

    def use(self, keep_alive: float | None = None) -> AbstractAsyncContextManager[Loaded]:
        """The model, for as long as the block lasts; it is loaded where it is not there.

        `keep_alive`: seconds that it stays afterwards, until somebody asks for another time; None: as it was before.

        Raises:
            BundleError: it could not be loaded.
            EngineClosed: `close` was called.
        """
        return _Use(self, keep_alive)

    async def in_thread(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Run in a thread what needs the model, which stays until that is done, even where nobody waits for it."""
        self._enter()
        task = asyncio.create_task(asyncio.to_thread(work, *arguments, **named))
        self._threads.add(task)
        task.add_done_callback(self._thread_done)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Free the model for good. Whoever waits for it gets an error; threads that use it are waited for."""
        self._closed.set()
        self._stop_timer()
        if self._threads:
            await asyncio.wait(self._threads)
        if self._unloading is not None:
            await self._unloading
        if self.startup.loaded:
            await asyncio.to_thread(self.startup.loaded.engine.close)

    async def enter(self) -> Loaded:
        """Begin to use the model, as `use` does; `leave` follows, also where this fails."""
        self._enter()
        return await self._loaded()

    def leave(self, keep_alive: float | None) -> None:
        if keep_alive is not None:
            self._keep_alive = keep_alive
        self._leave()

    async def _loaded(self) -> Loaded:
        startup = self.startup
        if startup.unloaded or (startup.failed and self._was_loaded):
            await self._load_again()
        if startup.running:
            waiting = {asyncio.ensure_future(startup.wait()), asyncio.ensure_future(self._closed.wait())}
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in waiting:
                    one.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
        if self.closed:
            raise EngineClosed("the server is stopping")
        loaded = startup.outcome.result()
        self._was_loaded = True
        return loaded

    async def _load_again(self) -> None:
        async with self._reviving:
            if self._unloading is not None:
                await asyncio.shield(self._unloading)
            if (self.startup.unloaded or self.startup.failed) and not self.closed:
                self.startup.again()

    def _enter(self) -> None:
        self._users += 1
        self._stop_timer()

    def _leave(self) -> None:
        self._users -= 1
        if self._users or self.closed or self._keep_alive == math.inf:
            return
        if self._keep_alive <= 0:
            self._rest()
        else:
            self._timer = asyncio.get_running_loop().call_later(self._keep_alive, self._rest)

    def _rest(self) -> None:
        """Nobody used the model for its time: free it, or where it is still being loaded, as soon as it is there."""
        self._timer = None
        if self.startup.running:
            self.begin()
            return
        loaded = self.startup.unload()
        if loaded is not None:
            self._was_loaded = True
            self._unloading = asyncio.ensure_future(asyncio.to_thread(loaded.engine.close))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _thread_done(self, task: asyncio.Task[Any]) -> None:
        self._threads.discard(task)
        self._leave()
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it where nobody waits


class _Use(AbstractAsyncContextManager[Loaded]):
    """The model while a block lasts. Each request has one, and a generator in its place would cost it more."""

    def __init__(self, residence: Residence, keep_alive: float | None) -> None:
        self._residence = residence
        self._keep_alive = keep_alive

    async def __aenter__(self) -> Loaded:
        try:
            return await self._residence.enter()
        except BaseException:
            self._residence.leave(self._keep_alive)
            raise

    async def __aexit__(self, *error: object) -> None:
        self._residence.leave(self._keep_alive)
