"""`serve`: listen, load, answer until a signal comes.

The weights load in a thread from the first moment; this thread meanwhile imports the web stack and answers /health.
Nothing here polls: an idle server sleeps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from bundler import data
from bundler.runtime import announce
from bundler.runtime.bundlefile import BundleFile
from bundler.runtime.engine.interface import Loaded
from bundler.runtime.interruption import Interruption
from bundler.runtime.loader import Loader
from bundler.runtime.settings import ServeSettings
from bundler.runtime.startup import Startup

if TYPE_CHECKING:
    from bundler.runtime.address import Listening
    from bundler.runtime.httpserver import HttpServer
    from bundler.runtime.services import Services


_HEAD_START_SECONDS = 0.3
"""For loading, at most: a slow medium must not keep the port closed."""


def serve(bundle: BundleFile, settings: ServeSettings, environment: Mapping[str, str]) -> int:
    """Serve the bundle until SIGINT or SIGTERM; returns the exit code.

    Raises:
        BundleError: the port cannot be had, or the model cannot be loaded.
    """
    interruption = Interruption()
    interruption.install()
    with announce.ProgressLine() as progress:
        startup = Startup(progress.tell)
        loader = Loader(bundle, settings.load, environment)
        first = startup.outcome
        first.add_done_callback(lambda outcome: progress.clear())
        loader.begin(bundle.manifest.name, startup)
        startup.under_way.wait(_HEAD_START_SECONDS)  # the two threads would only take turns at the interpreter

        from bundler.runtime import desktop
        from bundler.runtime.address import DEFAULT_HOST, Running, listen, with_key

        seen = settings.browser and desktop.present(environment)
        usual = settings.host is None and settings.port is None
        reuse = usual and (seen or sys.stdout.isatty())
        place = listen(settings.host or DEFAULT_HOST, settings.port, bundle.digest, reuse=reuse)
        page_url = with_key(place.url, settings.api_key)

        def show_page() -> None:
            if seen:
                desktop.open_page(page_url, environment)

        if isinstance(place, Running):
            progress.clear()
            announce.running(bundle.manifest.name, page_url)
            show_page()
            return 0
        announce.listening(bundle, place, page_url)
        _answer(bundle, startup, loader, place, interruption, show_page, settings)
    if first.done():
        first.result()
    return 0


def _answer(
    bundle: BundleFile,
    startup: Startup,
    loader: Loader,
    place: Listening,
    interruption: Interruption,
    show_page: Callable[[], None],
    settings: ServeSettings,
) -> None:
    """Answer requests until a signal comes or loading fails."""
    services, server = _build(bundle, startup, loader, place, settings)

    def loaded(outcome: Future[Loaded]) -> None:
        if outcome.exception() is None:
            announce.ready(outcome.result().facts)
        else:
            server.stop()

    def started() -> None:
        interruption.on_first = server.stop
        services.main.residence.begin()
        startup.outcome.add_done_callback(loaded)
        show_page()

    server.run_on(place.socket, started, services.close)


def _build(
    bundle: BundleFile, startup: Startup, loader: Loader, place: Listening, settings: ServeSettings
) -> tuple[Services, HttpServer]:
    from bundler.runtime import page  # the web stack is imported while the weights load
    from bundler.runtime.app import build_app
    from bundler.runtime.httpserver import HttpServer
    from bundler.runtime.security import is_loopback
    from bundler.runtime.service import Service
    from bundler.runtime.services import Services

    loopback_only = is_loopback(place.address)
    if not loopback_only:
        announce.open_to_network(place, with_key=settings.api_key is not None)
    life = settings.life

    def service_of(name: str, own: Startup) -> Service:
        return Service(
            bundle.manifest.of(name),
            own,
            keep_alive=life.keep_alive,
            request_seconds=life.request_timeout,
            shift=life.context_shift,
        )

    main, *others = bundle.manifest.names
    services = Services(service_of(main, startup), [service_of(name, loader.later(name)) for name in others])
    services.main.prepare()
    app = build_app(
        services,
        page.routes(data.path("templates/chat")),
        created=bundle.modified,
        bundle_id=bundle.digest,
        loopback_only=loopback_only,
        api_key=settings.api_key,
        verbose=settings.load.verbose,
    )
    return services, HttpServer(app, verbose=settings.load.verbose)
