"""The chat page's files, read once and answered from memory."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}
_INDEX = "index.html"


class Asset:
    """One file with its entity tag; browsers ask each time whether it has changed."""

    def __init__(self, path: Path) -> None:
        self._body = path.read_bytes()
        self._type = _TYPES[path.suffix]
        self._etag = f'"{hashlib.sha256(self._body).hexdigest()[:32]}"'

    async def __call__(self, request: Request) -> Response:
        headers = {"ETag": self._etag, "Cache-Control": "no-cache"}
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if self._etag in known or known == ["*"]:
            return Response(status_code=304, headers=headers)
        return Response(self._body, headers=headers, media_type=self._type)


def routes(folder: Path) -> list[Route]:
    """A route for each file below `folder` of a type that pages are made of; `index.html` is at `/`."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in _TYPES)
    places = ((path.relative_to(folder).as_posix(), path) for path in files)
    return [Route("/" if name == _INDEX else f"/{name}", Asset(path).__call__) for name, path in places]
