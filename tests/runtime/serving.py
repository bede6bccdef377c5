"""The application over a scripted engine: in this process for the shapes of answers, on a port for real clients."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
from starlette.types import ASGIApp

from bundler import data
from bundler.formats.manifest import Manifest, Template
from bundler.runtime import page
from bundler.runtime.address import Listening, listen
from bundler.runtime.app import build_app
from bundler.runtime.httpserver import HttpServer
from bundler.runtime.service import Service
from bundler.runtime.services import Services
from bundler.runtime.startup import Startup
from tests.runtime.fake_engine import ScriptedEngine, loaded

TEMPLATE = Template(
    kind="jinja",
    text="{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{{ '[assistant]' if add_generation_prompt }}",
    source="gguf",
    reason="the model's own",
)
MANIFEST = Manifest(name="tiny", bundler="0", runtime={}, models=[], template=TEMPLATE)
BUNDLE_ID = "ab" * 32
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}


def manifest(**changes: Any) -> Manifest:
    return msgspec.structs.replace(MANIFEST, **changes)


def application(service: Service | Services, *, loopback_only: bool = True, api_key: str | None = None) -> ASGIApp:
    return build_app(
        service if isinstance(service, Services) else Services(service),
        page.routes(data.path("templates/chat")),
        created=1700000000,
        bundle_id=BUNDLE_ID,
        loopback_only=loopback_only,
        api_key=api_key,
    )


def application_of(engine: ScriptedEngine, of: Manifest = MANIFEST) -> ASGIApp:
    return application(Service(of, Startup.done(loaded(engine))))


async def call(app: ASGIApp, method: str, path: str, **arguments: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11434") as client:
        return await client.request(method, path, **arguments)


@contextmanager
def served(service: Service | Services, api_key: str | None = None) -> Iterator[str]:
    """The application on a free loopback port; yields its address. Stops it, and its engine, at the end."""
    place = listen("127.0.0.1", 0, BUNDLE_ID, reuse=False)
    assert isinstance(place, Listening)
    server = HttpServer(application(service, api_key=api_key))
    started = threading.Event()
    thread = threading.Thread(target=server.run_on, args=(place.socket, started.set, service.close))
    thread.start()
    try:
        assert started.wait(30)
        yield place.url
    finally:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()
