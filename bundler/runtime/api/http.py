"""What every dialect needs of HTTP: a bounded JSON body in, JSON or events out.

The server cancels the task of a request whose client goes away; nobody here looks out for that.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bundler.runtime.api.errors import ApiError, from_decoding

MAX_BODY = 32 << 20
"""Bytes of a request's body."""

T = TypeVar("T")


async def read_json(request: HttpRequest, decoder: msgspec.json.Decoder[T]) -> T:
    """The body of `request`, checked by `decoder`.

    Raises:
        ApiError: it is too large (413), no JSON, or of the wrong types (400).
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_BODY:
        raise _too_large()
    body = bytearray()
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise _too_large()
        more = message.get("more_body", False)
    if not body:
        raise ApiError(400, "the body is empty; send JSON", code="invalid_json")
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise from_decoding(cause) from cause
    except RecursionError as cause:
        raise ApiError(400, "the body is nested too deeply", code="invalid_json") from cause


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def error_response(error: ApiError) -> Response:
    return json_response(error.openai(), error.status, error.headers)


class EventStream:
    """Server-sent events, each sent when it comes; an ASGI application."""

    def __init__(self, events: AsyncGenerator[tuple[bytes, bool], None]) -> None:
        """`events`: each with whether more follow."""
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events) as events:
            await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
            async for event, more in events:
                await send({"type": "http.response.body", "body": event, "more_body": more})


_STREAM_HEADERS = [
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
    (b"content-type", b"text/event-stream; charset=utf-8"),
]


def _too_large() -> ApiError:
    return ApiError(413, f"the body is larger than {MAX_BODY >> 20} MiB", code="body_too_large")
