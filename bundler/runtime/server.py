"""`serve`: listen, load, answer until a signal comes.

The weights load in a thread from the first moment; this thread meanwhile imports the web stack and answers /health.
Nothing here polls: an idle server sleeps.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from bundler import data
from bundler.runtime import announce, desktop
from bundler.runtime.address import DEFAULT_HOST, Listening, Running, listen
from bundler.runtime.bundlefile import BundleFile
from bundler.runtime.defaults import from_manifest
from bundler.runtime.engine.interface import Loaded
from bundler.runtime.interruption import Interruption
from bundler.runtime.settings import ServeSettings
from bundler.runtime.startup import Startup, load_model

if TYPE_CHECKING:
    from bundler.runtime.httpserver import HttpServer
    from bundler.runtime.service import Service


def serve(bundle: BundleFile, settings: ServeSettings, environment: Mapping[str, str]) -> int:
    """Serve the bundle until SIGINT or SIGTERM; returns the exit code.

    Raises:
        BundleError: the port cannot be had, or the model cannot be loaded.
    """
    began = time.monotonic()
    seen = settings.browser and desktop.present(environment)
    usual = settings.host is None and settings.port is None
    reuse = usual and (seen or sys.stdout.isatty())
    place = listen(settings.host or DEFAULT_HOST, settings.port, bundle.digest, reuse=reuse)
    if isinstance(place, Running):
        announce.running(bundle.manifest.name, place.url)
        if seen:
            desktop.open_page(place.url, environment)
        return 0
    interruption = Interruption()
    interruption.install()
    options = settings.load.options(from_manifest(bundle.manifest))
    progress = announce.ProgressLine()
    startup = Startup(progress.tell)
    startup.begin(lambda tell: load_model(bundle, options, environment, tell))
    announce.listening(bundle, place)
    service, server = _build(bundle, startup, place, verbose=settings.load.verbose)

    def loaded(outcome: Future[Loaded]) -> None:
        progress.clear()
        if outcome.exception() is None:
            announce.ready(outcome.result().facts, time.monotonic() - began)
        else:
            server.stop()

    def started() -> None:
        interruption.on_first = server.stop
        startup.outcome.add_done_callback(loaded)
        if seen:
            desktop.open_page(place.url, environment)

    server.run_on(place.socket, started, service.close)
    progress.clear()
    if not startup.running:
        startup.outcome.result()
    return 0


def _build(bundle: BundleFile, startup: Startup, place: Listening, *, verbose: bool) -> tuple[Service, HttpServer]:
    from bundler.runtime import page  # the web stack is imported while the weights load
    from bundler.runtime.app import build_app
    from bundler.runtime.httpserver import HttpServer
    from bundler.runtime.security import is_loopback
    from bundler.runtime.service import Service

    loopback_only = is_loopback(place.host)
    if not loopback_only:
        announce.open_to_network(place)
    service = Service(bundle.manifest, startup)
    service.prepare()
    app = build_app(
        service,
        page.routes(data.path("templates/chat")),
        created=bundle.modified,
        bundle_id=bundle.digest,
        loopback_only=loopback_only,
        verbose=verbose,
    )
    return service, HttpServer(app, verbose=verbose)
