"""The OpenAI dialect: /v1/models, /v1/chat/completions, /v1/completions.

A thin translation: bodies to internal requests (`openai_requests`), events back to OpenAI's objects (`openai_shapes`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from bundler.runtime.api.choices import numbered
from bundler.runtime.api.conversing import rendered
from bundler.runtime.api.errors import from_failed
from bundler.runtime.api.http import EventStream, json_response, read_json
from bundler.runtime.api.models import asked
from bundler.runtime.api.openai_bodies import ChatCompletion, Completion
from bundler.runtime.api.openai_requests import chat_requests, completion_requests
from bundler.runtime.api.openai_shapes import Shape, usage
from bundler.runtime.request import Delta, Event, Failed, Finished, Request, ToldToken, Usage
from bundler.runtime.service import Service
from bundler.runtime.services import Services

_CHAT = msgspec.json.Decoder(ChatCompletion)
_TEXT = msgspec.json.Decoder(Completion)
_ENCODE = msgspec.json.Encoder().encode
_DONE = b"data: [DONE]\n\n"

Events = AsyncGenerator[tuple[int, Event], None]


class OpenAI:
    """The dialect's routes over the models."""

    def __init__(self, services: Services, created: int) -> None:
        self._services = services
        self._created = created

    def routes(self) -> list[Route]:
        return [
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/v1/models/{model:path}", self._model, methods=["GET"]),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/completions", self._text, methods=["POST"]),
        ]

    async def _models(self, request: HttpRequest) -> Response:
        return json_response({"object": "list", "data": [self._card(service) for service in self._services]})

    async def _model(self, request: HttpRequest) -> Response:
        return json_response(self._card(asked(self._services, request.path_params["model"])))

    def _card(self, service: Service) -> dict[str, Any]:
        """A model, its status as llama-server's router gives it, and what our page says in an empty chat."""
        startup = service.startup
        status: dict[str, Any] = {"value": "loaded"}
        if startup.unloaded:
            status = {"value": "unloaded"}
        elif startup.failed:
            status = {"value": "unloaded", "failed": True}
        elif not startup.loaded:
            status = {"value": "loading", "progress": startup.fraction, "stage": startup.stage}
        card = {"id": service.name, "object": "model", "created": self._created, "owned_by": "bundle"}
        page = service.page
        return card | {"status": status} | ({"page": page} if page else {})

    async def _chat(self, request: HttpRequest) -> Response | EventStream:
        body = await read_json(request, _CHAT)
        service = asked(self._services, body.model)
        requests = chat_requests(body, service.defaults)
        shape = Shape("chat", service.name)
        if body.render_only:
            return json_response(shape.rendered(await rendered(service, requests[0])))
        return await _respond(service, shape, body, requests)

    async def _text(self, request: HttpRequest) -> Response | EventStream:
        body = await read_json(request, _TEXT)
        service = asked(self._services, body.model)
        requests = completion_requests(body, service.defaults)
        return await _respond(service, Shape("text", service.name), body, requests)


async def _respond(
    service: Service, shape: Shape, body: ChatCompletion | Completion, requests: Sequence[Request]
) -> Response | EventStream:
    events = numbered([service.answer(one) for one in requests])
    answers = _Answers(shape, len(requests), each=body.n or 1)
    if not body.stream:
        return await answers.whole(events)
    await _start(events)
    await asyncio.sleep(0)  # requests that came with this one reach the engine first
    return EventStream(answers.chunks(events, with_usage=body.wants_usage))


class _Answers:
    """Turns the events of all answers to one request into OpenAI's objects."""

    def __init__(self, shape: Shape, count: int, *, each: int) -> None:
        """`each`: answers to the same prompt."""
        self._shape = shape
        self._each = each
        self._indices = range(count)
        self._usages: list[Usage | None] = [None] * count

    async def whole(self, events: Events) -> Response:
        """One object with all of them."""
        texts: list[list[str]] = [[] for _ in self._usages]
        told: list[list[ToldToken]] = [[] for _ in self._usages]
        reasons = [""] * len(self._usages)
        async with aclosing(events):
            async for index, event in events:
                if isinstance(event, Delta):
                    texts[index].append(event.text)
                    told[index].extend(event.tokens)
                elif isinstance(event, Finished):
                    reasons[index], self._usages[index] = event.reason, event.usage
                if failed := _failure(event):
                    raise from_failed(failed)
        if not all(reasons):
            raise from_failed(_STOPPING)
        choices = [
            self._shape.choice(index, "".join(texts[index]), told[index], reason)
            for index, reason in enumerate(reasons)
        ]
        return json_response(self._shape.whole(choices, self._usage()))

    async def chunks(self, events: Events, *, with_usage: bool) -> AsyncGenerator[tuple[bytes, bool], None]:
        """A stream: its events, and whether more follow. What is known to end with the next one goes with that.

        An answer that fails ends it.
        """
        shape = self._shape
        around = [_around(shape.chunk(index, {"content": ""}, None, usage=with_usage)) for index in self._indices]
        async with aclosing(events):
            if shape.first:
                for index in self._indices:
                    yield _data(shape.chunk(index, shape.first, None, usage=with_usage)), True
            held = b""
            async for index, event in events:
                if isinstance(event, Delta):
                    if event.tokens:
                        delta = {"content": event.text}
                        data = _data(shape.chunk(index, delta, None, usage=with_usage, told=event.tokens))
                    else:
                        before, after = around[index]
                        data = before + _ENCODE(event.text) + after
                    if event.last:
                        held += data
                    else:
                        yield data, True
                elif failed := _failure(event):
                    yield held + _data(from_failed(failed).openai()), False
                    return
                elif isinstance(event, Finished):
                    self._usages[index] = event.usage
                    held += _data(shape.chunk(index, {}, event.reason, usage=with_usage))
                    if all(self._usages):
                        break
                    yield held, True
                    held = b""
            if with_usage:
                held += _data(shape.usage_chunk(self._usage()))
            yield held + _DONE, False

    def _usage(self) -> dict[str, Any]:
        return usage([each for each in self._usages if each is not None], self._each)


async def _start(events: Events) -> None:
    """Wait until the first prompt is accepted: until then an error still has a status of its own."""
    _, event = await anext(events)
    if isinstance(event, Failed):
        await events.aclose()
        raise from_failed(event)


_STOPPING = Failed("unavailable", "the server is stopping; the answer was not finished")


def _failure(event: Event) -> Failed | None:
    """What keeps an answer from being whole."""
    if isinstance(event, Finished) and event.reason == "cancelled":
        return _STOPPING
    return event if isinstance(event, Failed) else None


def _data(value: dict[str, Any]) -> bytes:
    return b"data: " + _ENCODE(value) + b"\n\n"


def _around(value: dict[str, Any]) -> tuple[bytes, bytes]:
    """What comes before and after the last string of `_data(value)`, an empty one."""
    before, _, after = _data(value).rpartition(b'""')
    return before, after
