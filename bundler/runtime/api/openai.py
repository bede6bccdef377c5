"""The OpenAI dialect: /v1/models, /v1/chat/completions, /v1/completions.

A thin translation: bodies to internal requests (`openai_requests`), events back to OpenAI's objects and stream chunks.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from bundler.runtime.api.conversing import rendered
from bundler.runtime.api.errors import from_failed, require_model
from bundler.runtime.api.http import EventStream, json_response, read_json, unless_gone
from bundler.runtime.api.openai_bodies import ChatCompletion, Completion
from bundler.runtime.api.openai_requests import chat_request, completion_request
from bundler.runtime.request import Delta, Event, Failed, Finished, Request, Usage
from bundler.runtime.service import Service

_CHAT = msgspec.json.Decoder(ChatCompletion)
_TEXT = msgspec.json.Decoder(Completion)
_DONE = b"data: [DONE]\n\n"
_GONE = 499

Kind = Literal["chat", "text"]
Events = AsyncGenerator[Event, None]


class OpenAI:
    """The dialect's routes over one service."""

    def __init__(self, service: Service, created: int) -> None:
        self._service = service
        self._created = created

    def routes(self) -> list[Route]:
        return [
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/v1/models/{model:path}", self._model, methods=["GET"]),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/completions", self._text, methods=["POST"]),
        ]

    async def _models(self, request: HttpRequest) -> Response:
        return json_response({"object": "list", "data": [self._card()]})

    async def _model(self, request: HttpRequest) -> Response:
        require_model(request.path_params["model"], self._service.name)
        return json_response(self._card())

    def _card(self) -> dict[str, Any]:
        """The model, its status as llama-server's router gives it, and what our page says in an empty chat."""
        startup = self._service.startup
        status: dict[str, Any] = {"value": "loaded"}
        if not startup.loaded:
            status = {"value": "loading", "progress": startup.fraction, "stage": startup.stage}
        card = {"id": self._service.name, "object": "model", "created": self._created, "owned_by": "bundle"}
        page = self._service.page
        return card | {"status": status} | ({"page": page} if page else {})

    async def _chat(self, request: HttpRequest) -> Response:
        body = await read_json(request, _CHAT)
        require_model(body.model, self._service.name)
        asked = chat_request(body, self._service.defaults)
        if body.render_only:
            return json_response(_Shape("chat", self._service.name).rendered(await rendered(self._service, asked)))
        return await self._respond(request, "chat", body, asked)

    async def _text(self, request: HttpRequest) -> Response:
        body = await read_json(request, _TEXT)
        require_model(body.model, self._service.name)
        return await self._respond(request, "text", body, completion_request(body, self._service.defaults))

    async def _respond(
        self, request: HttpRequest, kind: Kind, body: ChatCompletion | Completion, asked: Request
    ) -> Response:
        events = self._service.answer(asked)
        shape = _Shape(kind, self._service.name)
        if not body.stream:
            return await unless_gone(request.receive, _whole(events, shape)) or Response(status_code=_GONE)
        started = await unless_gone(request.receive, _start(events))
        if started is None:
            await events.aclose()
            return Response(status_code=_GONE)
        return EventStream(_chunks(events, shape, with_usage=body.wants_usage))


class _Shape:
    """OpenAI's objects for one answer; all share an id, a time and the model's name."""

    def __init__(self, kind: Kind, model: str) -> None:
        self._chat = kind == "chat"
        self._model = model
        self._id = f"{'chatcmpl' if self._chat else 'cmpl'}-{secrets.token_hex(12)}"
        self._created = int(time.time())

    def whole(self, text: str, finish: Finished) -> dict[str, Any]:
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        return {
            **self._head("chat.completion" if self._chat else "text_completion"),
            "choices": [{"index": 0, **choice, "logprobs": None, "finish_reason": finish.reason}],
            "usage": _usage(finish.usage),
        }

    def rendered(self, prompt: str) -> dict[str, Any]:
        """Ollama's answer to `_debug_render_only`, within an answer that has no choices."""
        shown = {"rendered_template": prompt, "image_count": 0}
        return {**self._head("chat.completion"), "choices": [], "_debug_info": shown}

    def chunk(self, delta: dict[str, str], finish_reason: str | None, *, usage: bool) -> dict[str, Any]:
        content: dict[str, Any] = {"delta": delta} if self._chat else {"text": delta.get("content", "")}
        return {
            **self._chunk_head(),
            "choices": [{"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}],
            **({"usage": None} if usage else {}),
        }

    def usage_chunk(self, usage: Usage) -> dict[str, Any]:
        return {**self._chunk_head(), "choices": [], "usage": _usage(usage)}

    @property
    def first(self) -> dict[str, str] | None:
        """What comes before the text: the role, in a chat."""
        return {"role": "assistant", "content": ""} if self._chat else None

    def _chunk_head(self) -> dict[str, Any]:
        return self._head("chat.completion.chunk" if self._chat else "text_completion")

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}


async def _start(events: Events) -> bool:
    """Wait until the prompt is accepted: until then an error still has a status of its own."""
    event = await anext(events)
    if isinstance(event, Failed):
        await events.aclose()
        raise from_failed(event)
    return True


async def _whole(events: Events, shape: _Shape) -> Response:
    texts = []
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Delta):
                texts.append(event.text)
            elif isinstance(event, Failed):
                raise from_failed(event)
            elif isinstance(event, Finished):
                if event.reason == "cancelled":
                    raise from_failed(_STOPPING)
                return json_response(shape.whole("".join(texts), event))
    raise from_failed(_STOPPING)


async def _chunks(events: Events, shape: _Shape, *, with_usage: bool) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        if shape.first:
            yield _data(shape.chunk(shape.first, None, usage=with_usage))
        async for event in events:
            if isinstance(event, Delta):
                yield _data(shape.chunk({"content": event.text}, None, usage=with_usage))
            elif isinstance(event, Failed):
                yield _data(from_failed(event).openai())
            elif isinstance(event, Finished) and event.reason == "cancelled":
                yield _data(from_failed(_STOPPING).openai())
            elif isinstance(event, Finished):
                yield _data(shape.chunk({}, event.reason, usage=with_usage))
                if with_usage:
                    yield _data(shape.usage_chunk(event.usage))
                yield _DONE


_STOPPING = Failed("unavailable", "the server is stopping; the answer was not finished")


def _data(value: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
