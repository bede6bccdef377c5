"""uvicorn on a socket that is open already, without its tick: an idle server makes no system call."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import uvicorn
import uvicorn.lifespan.off  # uvicorn finds it by name, which a freezer cannot see
from starlette.types import ASGIApp

from bundler.runtime.httpprotocol import HttpProtocol

_STREAMS_END_SECONDS = 5


class HttpServer(uvicorn.Server):
    """Answers until `stop` is called, in any thread."""

    def __init__(self, app: ASGIApp, *, verbose: bool = False) -> None:
        if verbose:
            logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
        super().__init__(
            uvicorn.Config(
                app,
                http=HttpProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=logging.INFO if verbose else logging.CRITICAL,
                access_log=verbose,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=_STREAMS_END_SECONDS,
            )
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_asked = asyncio.Event()
        self._on_started: Callable[[], None] = lambda: None
        self._on_stopping: Callable[[], Awaitable[None]] | None = None

    def run_on(
        self,
        listener: socket.socket,
        on_started: Callable[[], None] = lambda: None,
        on_stopping: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Answer on `listener` until stopped.

        `on_started` runs in the event loop once requests are taken, `on_stopping` before connections are closed.
        """
        self._on_started, self._on_stopping = on_started, on_stopping
        asyncio.run(self.serve(sockets=[listener]))

    def stop(self) -> None:
        """Stop soon; answers under way have five seconds to end. Does nothing where it has stopped already."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(self._stop_asked.set)

    def capture_signals(self) -> AbstractContextManager[Any]:  # type: ignore[override] # the caller takes the signals
        return nullcontext()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.server_state.default_headers = self.config.encoded_headers
        self._on_started()
        await self._stop_asked.wait()
        if self._on_stopping is not None:
            await self._on_stopping()
