"""The ASGI application: page, health and API behind the guard. Binds no port."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Awaitable, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bundler.runtime.api.embeddings import Embeddings
from bundler.runtime.api.errors import RETRY_SECONDS, ApiError, from_status
from bundler.runtime.api.http import error_response, json_response
from bundler.runtime.api.llamaserver import LlamaServer
from bundler.runtime.api.openai import OpenAI
from bundler.runtime.api.reranking import Reranking
from bundler.runtime.residence import Residence
from bundler.runtime.security import Guard, KeyGuard
from bundler.runtime.services import Services


def build_app(
    services: Services,
    page: Sequence[Route],
    *,
    created: int,
    bundle_id: str,
    loopback_only: bool,
    api_key: str | None = None,
    verbose: bool = False,
) -> ASGIApp:
    """Everything that one server answers.

    `created` (Unix seconds) is shown for the models; `bundle_id` goes into every response, so that another start of
    the same bundle can recognise it. With `api_key`, everything but page and health wants that key.
    """
    public = [*page, Route("/health", _Health(services.main.residence), methods=["GET"])]
    dialects = (OpenAI(services, created), Embeddings(services), Reranking(services), LlamaServer(services))
    app: ASGIApp = _Routes([*public, *(route for dialect in dialects for route in dialect.routes())])
    if api_key:
        app = KeyGuard(app, key=api_key, open_paths={route.path for route in public})
    return Guard(_Errors(app, verbose=verbose), loopback_only=loopback_only, bundle_id=bundle_id)


class _Routes:
    """Starlette's router, which looks through all routes in turn, behind a look at those without parameters.

    Their endpoints are called without Starlette's exception handlers, which this application does not have.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._router = Router(routes)
        plain = [route for route in reversed(routes) if not route.param_convertors]
        self._apps = {route.path: (route.methods or set(), _app_of(route)) for route in plain}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        methods, app = self._apps.get(scope["path"], (_NO_METHODS, self._router))
        await (app if scope["method"] in methods else self._router)(scope, receive, send)


_NO_METHODS: set[str] = set()


def _app_of(route: Route) -> ASGIApp:
    """What answers the route's requests."""
    endpoint = route.endpoint
    if not inspect.iscoroutinefunction(endpoint):
        return route.app

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app


class _Health:
    """200 when requests are answered, also by loading the main model anew; 503 with its progress before."""

    def __init__(self, residence: Residence) -> None:
        self._residence = residence
        self._startup = residence.startup

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._response()(scope, receive, send)

    def _response(self) -> Response:
        if self._startup.loaded:
            return json_response({"status": "ok"})
        if self._residence.ready:
            return json_response({"status": "ok", "model": "unloaded" if self._startup.unloaded else "loading"})
        if self._startup.running:
            said = {
                "status": "loading model",
                "progress": round(self._startup.fraction, 3),
                "stage": self._startup.stage,
            }
            return json_response(said, 503, {"Retry-After": str(RETRY_SECONDS)})
        return json_response({"status": "error", "message": str(self._startup.outcome.exception())}, 503)


class _Errors:
    """Turns exceptions into error responses; after the first byte of a response it can only cut the connection."""

    def __init__(self, app: ASGIApp, *, verbose: bool) -> None:
        self._app = app
        self._verbose = verbose

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        def watched_send(message: Message) -> Awaitable[None]:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            return send(message)

        try:
            # With "app" in its scope, Starlette's router raises for what it cannot route, else it answers in text.
            await self._app({**scope, "app": self}, receive, watched_send)
        except ClientDisconnect:
            return
        except Exception as error:
            response = error_response(self._api_error(error, Request(scope)))
            if not begun:
                await response(scope, receive, send)

    def _api_error(self, error: Exception, request: Request) -> ApiError:
        method, path = request.method, request.url.path
        if isinstance(error, ApiError):
            return error
        if isinstance(error, HTTPException):
            return from_status(error.status_code, method, path, dict(error.headers or {}))
        print(f"error: failed to answer {method} {path}: {type(error).__name__}: {error}", file=sys.stderr)
        if self._verbose:
            traceback.print_exception(error)
        return ApiError(500, "the server failed to answer; its terminal says more", kind="server_error")
