"""What goes over the wire, and the server's own end."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from http.client import HTTPResponse
from urllib.parse import urlsplit

import msgspec

from bundler.runtime.address import Listening, listen
from bundler.runtime.httpserver import HttpServer
from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests.runtime.fake_engine import ScriptedEngine, loaded, until
from tests.runtime.serving import BUNDLE_ID, HELLO, MANIFEST, application, served


def test_a_server_that_has_stopped_may_be_told_again() -> None:
    """Loading fails, or a signal comes, when the server is gone already."""
    place = listen("127.0.0.1", 0, BUNDLE_ID, reuse=False)
    assert isinstance(place, Listening)
    server = HttpServer(application(Service(MANIFEST, Startup())))
    server.run_on(place.socket, server.stop)
    server.stop()


ANSWER = "abcä🦙" * 4000
ASKED = msgspec.json.encode(HELLO | {"stream": True})


def connected(url: str) -> socket.socket:
    """A connection of a client that can take little at a time."""
    parts = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(30)
    connection.connect((parts.hostname, parts.port))
    return connection


def ask(connection: socket.socket, version: str) -> None:
    head = f"POST /v1/chat/completions {version}\r\nHost: localhost\r\nContent-Length: {len(ASKED)}\r\n\r\n"
    connection.sendall(head.encode() + ASKED)


def text_of(events: bytes) -> str:
    chunks = [json.loads(line[6:]) for line in events.split(b"\n\n") if line.startswith(b"data: {")]
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


def test_two_streams_over_one_connection_to_a_client_that_reads_late() -> None:
    engine = ScriptedEngine(ANSWER)
    with served(Service(MANIFEST, Startup.done(loaded(engine)))) as url, closing(connected(url)) as connection:
        for _ in range(2):
            ask(connection, "HTTP/1.1")
            until(lambda: bool(engine.finishes))
            engine.finishes.clear()
            response = HTTPResponse(connection)
            response.begin()
            assert response.headers["transfer-encoding"] == "chunked"
            events = response.read()
            assert events.endswith(b"data: [DONE]\n\n")
            assert text_of(events) == ANSWER


def test_a_stream_to_a_client_that_knows_no_chunks() -> None:
    service = Service(MANIFEST, Startup.done(loaded(ScriptedEngine("Hällo"))))
    with served(service) as url, closing(connected(url)) as connection:
        ask(connection, "HTTP/1.0")
        head, _, events = b"".join(iter(lambda: connection.recv(4096), b"")).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert text_of(events) == "Hällo"
    assert events.endswith(b"data: [DONE]\n\n")
