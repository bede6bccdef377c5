"""uvicorn's HTTP/1 connections, parsed by llhttp, where a bundle asks more of them.

A head has a limit and one Host; who offers another protocol is answered in this one; a request whose client is gone is
cancelled at once; HTTP/1.0 gets no chunks. How requests are parsed and responses framed is httptools' and uvicorn's.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

_MOST_UNPARSED = 1 << 14
"""Bytes that may come without ending a head or belonging to a body."""


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True
        self._unparsed = 0
        self._refused = False
        self._answered: RequestResponseCycle | None = None
        self._task: asyncio.Task[None]

    # What the transport calls.

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if cycle := self._under_way():
            cycle.disconnected = True  # uvicorn tells the newest of pipelined requests alone
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unset_keepalive_if_required()
        self._unparsed += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST)
        else:
            if self._unparsed > _MOST_UNPARSED:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    # What the parser calls.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else it is a chunked body's trailer, which nobody wants
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request.

        Raises:
            ValueError: it cannot be answered; the parser stops there, and `data_received` refuses it.
        """
        if self.parser.should_upgrade():
            return
        version = self.parser.get_http_version()
        hosts = [name for name, _ in self.headers].count(b"host")
        if version not in ("1.0", "1.1") or hosts > 1 or (hosts == 0 and version == "1.1"):
            raise ValueError("no HTTP/1, or not one Host")
        if not self.url.startswith(b"/"):
            raise ValueError("a whole address, whose host is not what is checked")
        self._in_head, self._unparsed = False, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._unparsed = 0
        super().on_message_complete()
        if not self.pipeline:
            self.flow.resume_reading()  # else nobody would see that the client goes away

    # The rest is uvicorn's way to a request's task, and this class's own.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        answering: Any = _answering(cycle, app)  # uvicorn's type for it is not Starlette's
        self._task = self.loop.create_task(cycle.run_asgi(answering))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)

    def _under_way(self) -> RequestResponseCycle | None:
        """The request that is being answered."""
        cycle = self._answered
        return None if cycle is None or cycle.response_complete else cycle

    def _parse(self, data: bytes) -> None:
        """Feed the parser. Who offers another protocol is answered in this one.

        Raises:
            HttpParserError: what has come is no request that can be answered.
        """
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:  # the parser takes what follows for the other protocol
                rest = memoryview(rest)[upgrade.args[0] :]
                self._parse_without_upgrade()
            else:
                return

    def _parse_without_upgrade(self) -> None:
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise httptools.HttpParserError("a tunnel is asked for")
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(b"\r\n".join((*lines, b"\r\n")))

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer what is no request, unless it comes after one that is being answered; then close."""
        self._refused = True
        self.pipeline.clear()
        cycle = self._under_way()
        if cycle and not cycle.more_body:
            cycle.keep_alive = False
            self.flow.resume_reading()
            return
        if not (cycle and cycle.response_started):
            said = status.phrase.encode()
            self.transport.write(
                b"%bcontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
                % (STATUS_LINE[status], len(said), said)
            )
        self.transport.close()


def _answering(cycle: RequestResponseCycle, app: ASGIApp) -> ASGIApp:
    """`app`, which ends quietly when it is cancelled because the client is gone."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send if scope["http_version"] == "1.1" else _Unchunked(cycle))
        except asyncio.CancelledError:
            if not cycle.disconnected:
                raise

    return answer


class _Unchunked:
    """Sends a response to HTTP/1.0: where its length is not known, it ends with the connection."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._endless = False

    async def __call__(self, message: Message) -> None:
        cycle: Any = self._cycle
        if message["type"] == "http.response.start":
            self._endless = all(name != b"content-length" for name, _ in message.get("headers", ()))
            if self._endless:
                cycle.chunked_encoding = False
        elif self._endless:
            cycle.expected_content_length = len(message.get("body", b""))
        await cycle.send(message)
