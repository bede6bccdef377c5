"""llama-server's own dialect: POST /apply-template, the prompt of a chat without an answer."""

from __future__ import annotations

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from bundler.runtime.api.conversing import prompt_fields, rendered
from bundler.runtime.api.http import json_response, read_json
from bundler.runtime.api.models import asked
from bundler.runtime.api.openai_bodies import ChatCompletion
from bundler.runtime.request import Request
from bundler.runtime.services import Services

_CHAT = msgspec.json.Decoder(ChatCompletion)


class LlamaServer:
    """The dialect's routes over the models."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route("/apply-template", self._apply_template, methods=["POST"])]

    async def _apply_template(self, request: HttpRequest) -> Response:
        body = await read_json(request, _CHAT)
        service = asked(self._services, body.model)
        return json_response({"prompt": await rendered(service, Request(**prompt_fields(body)))})
