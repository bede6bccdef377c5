"""A server on loopback that answers as Hugging Face does, or worse."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REVISION = "0123456789abcdef0123456789abcdef01234567"
Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; `server.hub` says how it is answered."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        hub.asked.append((self.path, dict(self.headers)))
        hub.answer(self)

    def log_message(self, format: str, *arguments: object) -> None:
        return None

    def reply(self, status: int, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        """Send an answer whose `Content-Length` may be a lie; then end the connection where it was."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        if length not in (None, len(body)):
            self.close_connection = True


class Hub:
    """Files by path, and what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.special: dict[str, list[Answer]] = {}
        """By the end of a path: how the next requests for it are answered, one after the other; the last one stays."""
        self.listed: dict[str, Any] = {}
        self.url = ""
        self.stop: Callable[[], None] = lambda: None
        """Ends the server, so that nobody can reach it."""

    def add(self, repository: str, path: str, data: bytes, **listed: Any) -> None:
        """A file of a repository; `listed` replaces what the listing says of it."""
        self.files[f"/{repository}/resolve/{REVISION}/{path}"] = data
        digest = hashlib.sha256(data).hexdigest()
        entry = {"rfilename": path, "size": len(data), "lfs": {"sha256": digest, "size": len(data)}, **listed}
        self.listed.setdefault(repository, []).append(entry)

    def requests(self, ending: str) -> list[dict[str, str]]:
        """The headers of the requests for a path with this ending."""
        return [headers for path, headers in self.asked if path.split("?")[0].endswith(ending)]

    def answer(self, request: Request) -> None:
        path = request.path.split("?")[0]
        for ending, answers in self.special.items():
            if path.endswith(ending) and answers:
                (answers.pop(0) if len(answers) > 1 else answers[0])(request)
                return
        self.usual(request)

    def usual(self, request: Request) -> None:
        path = request.path.split("?")[0]
        if path.startswith("/api/models/"):
            repository = path.removeprefix("/api/models/").partition("/revision/")[0]
            if repository not in self.listed:
                request.reply(404, b"{}")
                return
            body = json.dumps({"sha": REVISION, "siblings": self.listed[repository]}).encode()
            request.reply(200, body, Content_Type="application/json")
        elif path in self.files:
            self.file(request, self.files[path])
        else:
            request.reply(404, b"Not Found")

    def file(self, request: Request, data: bytes, etag: str = "") -> None:
        etag = etag or f'"{hashlib.md5(data).hexdigest()}"'
        if request.headers.get("If-None-Match") == etag:
            request.reply(304, ETag=etag)
            return
        asked = request.headers.get("Range", "")
        if asked and request.headers.get("If-Range", etag) == etag:
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
            if begin >= len(data):
                request.reply(416)
                return
            where = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            request.reply(206, data[begin:], ETag=etag, Content_Range=where)
        else:
            request.reply(200, data, ETag=etag)


@contextmanager
def running() -> Iterator[Hub]:
    """A hub at work on a port of its own."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
    server.daemon_threads = True
    server.hub = hub  # type: ignore[attr-defined]
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def stop() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    hub.stop = stop
    try:
        yield hub
    finally:
        if thread.is_alive():
            stop()
