"""What the server does with bytes that a well-behaved client sends seldom, or never."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from starlette.types import Message, Receive, Scope, Send

from bundler.runtime.address import Listening, listen
from bundler.runtime.httpserver import HttpServer
from tests.runtime.fake_engine import until
from tests.runtime.serving import BUNDLE_ID

HEAD = b"Host: localhost\r\n"


class Echo:
    """Answers with method, path and body; keeps what it saw."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.waiting = threading.Event()
        self.cancelled = threading.Event()
        self.headers: list[tuple[bytes, bytes]] = []
        self.early = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["path"] == "/forever":
            try:
                await _body(receive)
                self.waiting.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        body = b"" if self.early or scope["path"] == "/early" else await _body(receive)
        answer = f"{scope['method']} {scope['path']} ".encode() + body
        headers = [(b"content-length", str(len(answer)).encode()), *self.headers]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["path"] == "/early":
            await _body(receive)
        await send({"type": "http.response.body", "body": answer})
        after: Message = await receive()
        assert after["type"] == "http.disconnect"


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    return body


@contextmanager
def echoing(app: Echo, *, verbose: bool = False) -> Iterator[Callable[[], socket.socket]]:
    place = listen("127.0.0.1", 0, BUNDLE_ID, reuse=False)
    assert isinstance(place, Listening)
    server = HttpServer(app, verbose=verbose)
    started = threading.Event()
    address = place.socket.getsockname()
    thread = threading.Thread(target=server.run_on, args=(place.socket, started.set))
    thread.start()
    try:
        assert started.wait(30)
        yield lambda: socket.create_connection(address, 30)
    finally:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()


def replies(request: bytes, app: Echo | None = None, pieces: int = 1) -> bytes:
    """All that comes back until the server closes; the request goes in so many pieces."""
    with echoing(app or Echo()) as connect, closing(connect()) as connection:
        step = -(-len(request) // pieces)
        for at in range(0, len(request), step):
            connection.sendall(request[at : at + step])
        return received(connection)


def received(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def closing_post(headers: bytes, body: bytes) -> bytes:
    return b"POST /x HTTP/1.1\r\nConnection: close\r\n" + HEAD + headers + b"\r\n" + body


WELL: dict[str, tuple[bytes, bytes]] = {
    "length": (closing_post(b"Content-Length: 2\r\n", b"hi"), b"POST /x hi"),
    "chunks": (closing_post(b"Transfer-Encoding: chunked\r\n", b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"), b"POST /x hi"),
    "trailer": (
        closing_post(b"Transfer-Encoding: chunked\r\n", b"2\r\nhi\r\n0\r\nHost: evil\r\n\r\n"),
        b"POST /x hi",
    ),
    "escaped path": (b"GET /a%20b?c=%20 HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"\r\n", b"GET /a b "),
    "an old client": (b"GET / HTTP/1.0\r\n\r\n", b"GET / "),
    "an upgrade that is not taken": (
        closing_post(b"Content-Length: 2\r\n", b"hi").replace(b": close", b": close, Upgrade\r\nUpgrade: h2c"),
        b"POST /x hi",
    ),
    "pipelined": (
        b"GET /1 HTTP/1.1\r\n" + HEAD + b"\r\nGET /2 HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"\r\n",
        b"GET /2 ",
    ),
}


@pytest.mark.parametrize("case", WELL)
@pytest.mark.parametrize("pieces", [1, 1000])
def test_requests_that_are_answered(case: str, pieces: int) -> None:
    request, ending = WELL[case]
    reply = replies(request, pieces=pieces)
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert reply.endswith(b"\r\n\r\n" + ending)


def test_pipelined_requests_are_answered_in_their_order() -> None:
    assert replies(WELL["pipelined"][0]).count(b"HTTP/1.1 200 OK") == 2


ILL: dict[str, bytes] = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\n" + HEAD + b"Host: evil\r\n\r\n",
    "two lengths": closing_post(b"Content-Length: 1\r\nContent-Length: 2\r\n", b"hi"),
    "length and chunks": closing_post(b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "another coding": closing_post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"),
    "a negative length": closing_post(b"Content-Length: -1\r\n", b""),
    "a space in a name": b"GET / HTTP/1.1\r\n" + HEAD + b"Content-Length : 0\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\n" + HEAD + b"X: a\r\n b\r\n\r\n",
    "a bare line feed": b"GET / HTTP/1.1\n" + HEAD + b"\r\n",
    "a whole address, whose host is not what is checked": b"GET http://evil/x HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a tunnel": b"CONNECT localhost:80 HTTP/1.1\r\n" + HEAD + b"\r\n",
    "another version": b"GET / HTTP/2.0\r\n" + HEAD + b"\r\n",
    "a chunk without size": closing_post(b"Transfer-Encoding: chunked\r\n", b"z\r\nhi\r\n"),
}


@pytest.mark.parametrize("case", ILL)
def test_requests_that_are_refused(case: str) -> None:
    app = Echo()
    reply = replies(ILL[case], app)
    assert reply.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert reply.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /" + b"a" * 20000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 20000,
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 4000,
    ],
    ids=["target", "header", "headers"],
)
def test_a_head_that_does_not_end_is_refused(beginning: bytes) -> None:
    assert replies(beginning).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


def test_a_trailer_is_no_header() -> None:
    app = Echo()
    replies(WELL["trailer"][0], app)
    assert [value for name, value in app.scopes[0]["headers"] if name == b"host"] == [b"localhost"]


def test_a_client_that_waits_for_leave_to_send_gets_it() -> None:
    with echoing(Echo()) as connect, closing(connect()) as connection:
        connection.sendall(closing_post(b"Content-Length: 2\r\nExpect: 100-continue\r\n", b""))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hi")
        assert received(connection).endswith(b"POST /x hi")


def test_the_head_of_an_answer_does_not_wait_long_for_its_body() -> None:
    with echoing(Echo()) as connect, closing(connect()) as connection:
        connection.sendall(closing_post(b"Content-Length: 2\r\n", b"").replace(b"/x", b"/early"))
        assert connection.recv(1 << 16).endswith(b"\r\n\r\n")
        connection.sendall(b"hi")
        assert received(connection) == b"POST /early "


def test_what_is_no_request_after_one_does_not_spoil_its_answer() -> None:
    request = b"GET /1 HTTP/1.1\r\n" + HEAD + b"\r\n"
    reply = replies(request + b"nonsense\r\n\r\n")
    assert reply.endswith(b"\r\n\r\nGET /1 ")
    assert reply.count(b"HTTP/1.1") == 1


def test_many_offers_of_another_protocol_in_one_packet() -> None:
    offer = b"GET /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n" + HEAD + b"\r\n"
    assert replies(offer * 2000 + WELL["length"][0]).count(b"200 OK") == 2001


def test_an_answer_before_the_body_is_read_by_who_still_sends() -> None:
    app = Echo()
    app.early = True
    body = b"a" * (1 << 22)
    request = b"POST /x HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    assert replies(request + WELL["length"][0], app).count(b"200 OK") == 2


FOREVER = b"POST /forever HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n%b"
GONE: dict[str, tuple[bytes, bytes]] = {
    "no body": (FOREVER % (0, b""), b""),
    "a large body": (FOREVER % (100_000, b""), b"a" * 100_000),
    "another request waits": (FOREVER % (0, b"") + WELL["length"][0], b""),
}


@pytest.mark.parametrize("case", GONE)
def test_work_for_a_client_that_is_gone_is_cancelled(case: str, caplog: pytest.LogCaptureFixture) -> None:
    app = Echo()
    with echoing(app, verbose=True) as connect:
        with closing(connect()) as connection:
            first, rest = GONE[case]
            connection.sendall(first)
            until(lambda: bool(app.scopes))
            connection.sendall(rest)
            until(app.waiting.is_set)
        assert app.cancelled.wait(10)
    assert [scope["path"] for scope in app.scopes] == ["/forever"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_work_that_does_not_end_is_cut_when_the_server_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.runtime.httpserver._STREAMS_END_SECONDS", 0.01)
    app = Echo()
    with echoing(app) as connect, closing(connect()) as connection:
        connection.sendall(b"GET /forever HTTP/1.1\r\n" + HEAD + b"\r\n")
        until(lambda: bool(app.scopes))
    assert app.cancelled.is_set()


def test_a_header_cannot_begin_another() -> None:
    app = Echo()
    app.headers = [(b"x-echo", b"a\r\nset-cookie: b")]
    assert replies(b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n", app) == b""


def test_a_head_alone_has_no_body() -> None:
    reply = replies(b"HEAD /x HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"\r\n")
    assert b"content-length: 8\r\n" in reply
    assert reply.endswith(b"\r\n\r\n")
