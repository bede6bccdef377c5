"""POST /v1/rerank: documents by how well they answer a query, as llama-server has it.

Two dialects: Jina's (`documents`) and that of Text Embeddings Inference (`texts`, and a bare list as the answer).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from bundler.errors import BundleError
from bundler.runtime.api.embeddings import MOST_INPUTS
from bundler.runtime.api.errors import ApiError, from_failed
from bundler.runtime.api.http import json_response, read_json
from bundler.runtime.api.models import asked, resident
from bundler.runtime.engine.interface import EngineClosed
from bundler.runtime.request import Failed
from bundler.runtime.reranking import NoReranker, PairTooLong, Ranked, rank
from bundler.runtime.service import Service
from bundler.runtime.services import Services

_PATHS = ("/v1/rerank", "/rerank", "/v1/reranking", "/reranking")


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /v1/rerank."""

    query: str
    documents: list[str] | None = None
    texts: list[str] | None = None
    model: str | None = None
    top_n: Annotated[int, msgspec.Meta(ge=1)] | None = None
    return_text: bool | None = None
    """Of Text Embeddings Inference's dialect."""


_BODY = msgspec.json.Decoder(Body)


class Reranking:
    """The routes over the models."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route(path, self._rerank, methods=["POST"]) for path in _PATHS]

    async def _rerank(self, request: HttpRequest) -> Response:
        body = await read_json(request, _BODY)
        service = asked(self._services, body.model)
        name = "documents" if body.texts is None else "texts"
        documents = (body.documents if body.texts is None else body.texts) or []
        if not documents or len(documents) > MOST_INPUTS:
            raise ApiError(400, f"{name}: 1 to {MOST_INPUTS} documents are taken at a time", param=name)
        ranked = await _rank(service, body.query, documents, name)
        best = sorted(range(len(documents)), key=lambda index: -ranked.scores[index])[: body.top_n]
        if body.texts is not None:
            return json_response([_of_inference(index, ranked, documents, body) for index in best])
        return json_response(
            {
                "object": "list",
                "model": service.name,
                "results": [{"index": index, "relevance_score": ranked.scores[index]} for index in best],
                "usage": {"prompt_tokens": ranked.tokens, "total_tokens": ranked.tokens},
            }
        )


async def _rank(service: Service, query: str, documents: Sequence[str], name: str) -> Ranked:
    try:
        async with resident(service) as loaded:
            return await service.residence.in_thread(rank, loaded, service.specials, query, documents)
    except NoReranker as error:
        raise ApiError(501, str(error), kind="not_supported_error") from error
    except PairTooLong as error:
        raise ApiError(400, f"{name}: {error}", param=name, code="context_length_exceeded") from error
    except EngineClosed as error:
        raise from_failed(Failed("unavailable", str(error))) from error
    except BundleError as error:
        raise ApiError(400, error.message, param=name) from error


def _of_inference(index: int, ranked: Ranked, documents: Sequence[str], body: Body) -> dict[str, Any]:
    text = {"text": documents[index]} if body.return_text else {}
    return {"index": index, "score": ranked.scores[index], **text}
