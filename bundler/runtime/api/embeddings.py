"""OpenAI's POST /v1/embeddings: texts in, vectors of length 1 out.

Adds `truncate` (cut a text that is too long, where OpenAI refuses it) as Ollama has it. Vectors go out as numbers or,
as OpenAI's own clients ask for, as base64 of little-endian 32-bit floats.
"""

from __future__ import annotations

import array
import asyncio
import base64
import sys
from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any, Literal

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from bundler.errors import BundleError
from bundler.runtime.api.errors import ApiError, from_failed
from bundler.runtime.api.http import json_response, read_json
from bundler.runtime.api.models import asked, resident
from bundler.runtime.api.openai_bodies import TokenId
from bundler.runtime.embedding import Embedded, TextTooLong, embed, normalised
from bundler.runtime.engine.interface import EngineClosed
from bundler.runtime.request import Failed
from bundler.runtime.service import Service
from bundler.runtime.services import Services

MOST_INPUTS = 2048


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /v1/embeddings."""

    input: str | list[str | TokenId | list[TokenId]]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None
    truncate: bool | None = None
    user: str | None = None


_BODY = msgspec.json.Decoder(Body)


class Embeddings:
    """The route over the models."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route("/v1/embeddings", self._embeddings, methods=["POST"])]

    async def _embeddings(self, request: HttpRequest) -> Response:
        body = await read_json(request, _BODY)
        service = asked(self._services, body.model)
        embedded = await _embed(service, _inputs(body.input), body)
        if body.dimensions and body.dimensions > embedded.dimensions:
            raise ApiError(400, f"dimensions: this model's vectors have {embedded.dimensions}", param="dimensions")
        data = await asyncio.to_thread(_data, embedded, body)
        tokens = embedded.tokens
        return json_response(
            {
                "object": "list",
                "data": data,
                "model": service.name,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )


async def _embed(service: Service, inputs: Sequence[str | Sequence[int]], body: Body) -> Embedded:
    try:
        async with resident(service) as loaded:
            return await service.residence.in_thread(embed, loaded, inputs, truncate=bool(body.truncate))
    except TextTooLong as error:
        raise ApiError(400, f"input: {error}", param="input", code="context_length_exceeded") from error
    except EngineClosed as error:
        raise from_failed(Failed("unavailable", str(error))) from error
    except BundleError as error:
        raise ApiError(400, error.message, param="input") from error


def _inputs(given: str | list[Any]) -> list[str | list[int]]:
    """One text, several, one list of token ids, or several of those."""
    if isinstance(given, str):
        inputs: list[str | list[int]] = [given]
    elif all(isinstance(each, int) for each in given):
        inputs = [given] if given else []
    elif any(isinstance(each, int) for each in given):
        raise ApiError(400, "input: token ids and texts cannot be mixed", param="input")
    else:
        inputs = given
    if not inputs or len(inputs) > MOST_INPUTS:
        raise ApiError(400, f"input: 1 to {MOST_INPUTS} texts are taken at a time", param="input")
    if not all(inputs):
        raise ApiError(400, "input: a text is empty", param="input")
    return inputs


def _data(embedded: Embedded, body: Body) -> list[dict[str, Any]]:
    return [
        {"object": "embedding", "index": index, "embedding": _written(_shaped(vectors, embedded, body), body)}
        for index, vectors in enumerate(embedded.vectors)
    ]


def _shaped(vectors: Sequence[Sequence[float]], embedded: Embedded, body: Body) -> list[Any]:
    """One vector of length 1; without pooling one for each token; a score as it is."""
    if embedded.pooling == "rank":
        return list(vectors[0])
    made = [normalised(vector, body.dimensions) for vector in vectors]
    return list(made) if embedded.pooling == "none" else made[0]


def _written(vector: list[Any], body: Body) -> Any:
    if body.encoding_format != "base64":
        return vector
    rows = vector if vector and isinstance(vector[0], list) else [vector]
    numbers = array.array("f", chain.from_iterable(rows))
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
