"""The server's own end."""

from __future__ import annotations

from bundler.runtime.address import Listening, listen
from bundler.runtime.httpserver import HttpServer
from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests.runtime.serving import BUNDLE_ID, MANIFEST, application


def test_a_server_that_has_stopped_may_be_told_again() -> None:
    """Loading fails, or a signal comes, when the server is gone already."""
    place = listen("127.0.0.1", 0, BUNDLE_ID, reuse=False)
    assert isinstance(place, Listening)
    server = HttpServer(application(Service(MANIFEST, Startup())))
    server.run_on(place.socket, server.stop)
    server.stop()
