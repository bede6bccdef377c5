"""What a streamed token costs the event loop: application and HTTP server over an engine that computes nothing."""

from __future__ import annotations

import json
import multiprocessing
import socket
import threading
import time
from typing import Any, Literal

from bundler.runtime.address import Listening, listen
from bundler.runtime.engine.interface import EngineFinish, Handle, Job, Loaded
from bundler.runtime.httpserver import HttpServer
from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests.runtime.fake_engine import FACTS, ByteVocabulary, ScriptedHandle
from tests.runtime.serving import BUNDLE_ID, MANIFEST, application

_TOKENS = 1000
_PAUSE = 0.001
"""Seconds between two tokens of a stream: the loop sleeps before each."""

Kind = Literal["text", "chat"]
_REQUESTS: dict[Kind, tuple[str, dict[str, Any]]] = {
    "text": ("/v1/completions", {"prompt": "Hi", "stream": True}),
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "stream": True}),
}
KINDS: tuple[Kind, ...] = ("text", "chat")


class _Words(ByteVocabulary):
    def piece(self, token: int, *, special: bool = False) -> bytes:
        return b" word"


class _Paced:
    """Waits until all streams have begun, then gives each a token at a time; counts the loop's CPU meanwhile."""

    context_length = 4096

    def __init__(self, streams: int) -> None:
        self.parallel = streams
        self.loop: threading.Thread | None = None
        self.seconds = 0.0
        self._jobs: list[Job] = []

    def submit(self, job: Job) -> Handle:
        self._jobs.append(job)
        if len(self._jobs) == self.parallel:
            threading.Thread(target=self._work, daemon=True).start()
        return ScriptedHandle()

    def close(self) -> None:
        pass

    def _work(self) -> None:
        assert self.loop is not None
        assert self.loop.ident is not None
        clock = time.pthread_getcpuclockid(self.loop.ident)
        time.sleep(50 * _PAUSE)  # the requests' own work is done
        began = time.clock_gettime(clock)
        for _ in range(_TOKENS):
            for job in self._jobs:
                job.on_tokens([1], None)
            time.sleep(_PAUSE)
        self.seconds = time.clock_gettime(clock) - began
        finish = EngineFinish(
            reason="length",
            prompt_tokens=1,
            completion_tokens=_TOKENS,
            cached_tokens=0,
            prompt_seconds=0,
            completion_seconds=0,
        )
        for job in self._jobs:
            job.on_tokens([], finish)


def seconds_per_token(kind: Kind, streams: int) -> float:
    """CPU of the event loop's thread for a token of one of `streams` answers."""
    engine = _Paced(streams)
    place = listen("127.0.0.1", 0, BUNDLE_ID, reuse=False)
    assert isinstance(place, Listening)
    service = Service(MANIFEST, Startup.done(Loaded(engine=engine, vocabulary=_Words(), facts=FACTS)))
    server = HttpServer(application(service))
    started = threading.Event()
    engine.loop = threading.Thread(target=server.run_on, args=(place.socket, started.set, service.close), daemon=True)
    engine.loop.start()
    started.wait()
    port = place.socket.getsockname()[1]
    spawning = multiprocessing.get_context("spawn")
    clients = [spawning.Process(target=_read, args=(port, *_REQUESTS[kind])) for _ in range(streams)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
        assert client.exitcode == 0, "a stream was not whole"
    server.stop()
    engine.loop.join()
    return engine.seconds / streams / _TOKENS


def _read(port: int, path: str, body: dict[str, Any]) -> None:
    sent = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {len(sent)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode() + sent)
        stream = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert stream.count(b" word") == _TOKENS
