"""Who may talk to the server: those who have its key, where it has one, and no web pages of other sites.

A site that the user visits can send requests to 127.0.0.1. Its name in the Host header (DNS rebinding) or in Origin
gives it away. The rules follow Ollama's (server/routes.go); Ollama's further origins (app://, extensions) are not
allowed here.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Set
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bundler.runtime.api.errors import ApiError
from bundler.runtime.api.http import error_response

_LOCAL_ENDINGS = (".localhost", ".local", ".internal")
_CONTENT_SECURITY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"


def is_loopback(host: str) -> bool:
    """Whether a server that listens on `host` can be reached from this machine only."""
    address = _address(host)
    return address.is_loopback if address else host.lower() == "localhost"


@lru_cache(maxsize=64)
def host_allowed(header: str, own_name: str = "") -> bool:
    """Whether a Host header names this machine, for a server that listens on loopback.

    Addresses of this machine or network, `localhost` and local names are fine; any other name could be another
    site's. The port does not matter: it may be a forwarded one.
    """
    name = _host_of(header)
    address = _address(name)
    if address:
        return address.is_private or address.is_loopback
    return name == "localhost" or name.endswith(_LOCAL_ENDINGS) or (bool(own_name) and name == own_name.lower())


def origin_allowed(origin: str, host_header: str) -> bool:
    """Whether a page of `origin` may call a server that it addresses as `host_header`.

    Pages of the server itself and of other servers on this machine may.
    """
    try:
        parts = urlsplit(origin)
        name = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not name:
        return False
    return parts.netloc.lower() == host_header.lower() or is_loopback(name) or name.endswith(".localhost")


class Guard:
    """Refuses foreign Hosts and Origins before anything else sees the request; answers CORS preflights of others."""

    def __init__(self, app: ASGIApp, *, loopback_only: bool, bundle_id: str) -> None:
        self._app = app
        self._loopback_only = loopback_only
        self._own_name = socket.gethostname()
        self._always = [
            (b"bundle-id", bundle_id.encode()),
            (b"content-security-policy", _CONTENT_SECURITY.encode()),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        extra = list(self._always)
        refusal = self._refusal(headers)
        if refusal is None and origin is not None:
            extra += [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]
        if refusal is None and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await send({"type": "http.response.start", "status": 204, "headers": extra + _preflight(headers)})
            await send({"type": "http.response.body", "body": b""})
            return

        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *extra]
            return send(message)

        app = self._app if refusal is None else error_response(refusal)
        await app(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers) -> ApiError | None:
        host = headers.get("host", "")
        if host and self._loopback_only and not host_allowed(host, self._own_name):
            return ApiError(
                403,
                f"the host {host!r} is not this machine; use http://127.0.0.1 or http://localhost",
                code="host_refused",
            )
        origin = headers.get("origin")
        if origin is not None and not origin_allowed(origin, host):
            return ApiError(403, f"pages of {origin!r} may not use this server", code="origin_refused")
        return None


class KeyGuard:
    """Lets requests through that bring the API key; `open_paths` need none."""

    def __init__(self, app: ASGIApp, *, key: str, open_paths: Set[str]) -> None:
        self._app = app
        self._key = key.encode()
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in self._open_paths and not self._brought(Headers(scope=scope)):
            raise ApiError(
                401,
                "this server wants its API key, as in `Authorization: Bearer KEY`, and the request has none or another",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        await self._app(scope, receive, send)

    def _brought(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return hmac.compare_digest(given.encode("latin-1"), self._key)


def _preflight(headers: Headers) -> list[tuple[bytes, bytes]]:
    answer = [
        (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE, OPTIONS"),
        (b"access-control-allow-headers", headers.get("access-control-request-headers", "*").encode("latin-1")),
        (b"access-control-max-age", b"600"),
    ]
    if headers.get("access-control-request-private-network") == "true":
        answer.append((b"access-control-allow-private-network", b"true"))
    return answer


def _host_of(header: str) -> str:
    """The name or address in a Host header, without port, brackets and final dot; empty for nonsense."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
