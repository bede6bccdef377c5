"""Embeddings over HTTP: an encoder with random weights, and a chat model that is asked for them too."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gguf
import httpx
import pytest
from starlette.types import ASGIApp

from bundler.runtime.engine.interface import Loaded, LoadOptions
from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests import models, sources
from tests.runtime.serving import application, call, manifest
from tests.runtime.test_engine_llama import loaded

EMBEDS = LoadOptions(threads=1, embeds=True)
TEXTS = ["A dog runs.", "The quick brown fox jumps over the lazy dog.", "?", "Ein Hund läuft."]


def encoder(folder: Path, pooling: gguf.PoolingType = gguf.PoolingType.MEAN) -> Path:
    vocabulary = models.real_vocabulary(sources.models() / "ggml-vocab-bert-bge.gguf")
    return models.write_encoder(folder / f"{pooling.name.lower()}.gguf", vocabulary, pooling=pooling)


def app_of(model: Loaded) -> ASGIApp:
    return application(Service(manifest(template=None), Startup.done(model)))


async def embed(app: ASGIApp, given: Any, **fields: Any) -> httpx.Response:
    return await call(app, "POST", "/v1/embeddings", json={"input": given, **fields})


def vectors(response: httpx.Response) -> list[list[float]]:
    assert response.status_code == 200, response.text
    data = response.json()["data"]
    assert [each["index"] for each in data] == list(range(len(data)))
    return [each["embedding"] for each in data]


def same(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(abs(a - b) < 1e-3 for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, libs: Path) -> Iterator[ASGIApp]:
    with loaded(encoder(tmp_path_factory.mktemp("encoder")), libs, options=EMBEDS) as model:
        yield app_of(model)


@pytest.mark.anyio
async def test_texts_become_vectors_of_length_one(app: ASGIApp) -> None:
    response = await embed(app, TEXTS)
    found = vectors(response)
    assert [len(vector) for vector in found] == [64] * 4
    assert all(abs(math.hypot(*vector) - 1) < 1e-6 for vector in found)
    assert response.json()["usage"] == {"prompt_tokens": 29, "total_tokens": 29}


@pytest.mark.anyio
async def test_a_text_has_the_same_vector_alone_and_among_others(app: ASGIApp) -> None:
    together = vectors(await embed(app, TEXTS * 20))
    for index, text in enumerate(TEXTS):
        alone = vectors(await embed(app, text))[0]
        assert all(same(alone, vector) for vector in together[index::4])
    assert not same(together[0], together[1])


@pytest.mark.anyio
async def test_fewer_dimensions_are_the_first_ones_at_length_one(app: ASGIApp) -> None:
    whole, short = [vectors(await embed(app, "A dog", **fields))[0] for fields in ({}, {"dimensions": 8})]
    length = math.hypot(*whole[:8])
    assert same(short, [number / length for number in whole[:8]])
    refused = await embed(app, "A dog", dimensions=65)
    assert refused.json()["error"]["message"] == "dimensions: this model's vectors have 64"


@pytest.mark.anyio
async def test_vectors_come_as_base64_where_that_is_asked_for(app: ASGIApp) -> None:
    numbers = vectors(await embed(app, "A dog"))[0]
    encoded: Any = vectors(await embed(app, "A dog", encoding_format="base64"))[0]
    assert same(struct.unpack("<64f", base64.b64decode(encoded)), numbers)


@pytest.mark.anyio
async def test_a_text_that_is_too_long_is_refused_or_cut_as_asked(app: ASGIApp) -> None:
    refused = await embed(app, ["fine", "dog " * 200])
    assert refused.status_code == 400
    assert refused.json()["error"] == {
        "message": "input: text 1 has 202 tokens, and this model takes 128",
        "type": "invalid_request_error",
        "param": "input",
        "code": "context_length_exceeded",
    }
    cut, fits = vectors(await embed(app, ["dog " * 200, "dog " * 126], truncate=True))
    assert same(cut, fits)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "input: 1 to 2048 texts are taken at a time"),
        ("", "input: a text is empty"),
        (["a", ""], "input: a text is empty"),
        ([1, "a"], "input: token ids and texts cannot be mixed"),
        ([30522], "failed to read the text: token ids of this model are 0 to 30521"),
    ],
)
async def test_what_is_no_text_is_refused(app: ASGIApp, given: Any, message: str) -> None:
    response = await embed(app, given)
    assert (response.status_code, response.json()["error"]["message"]) == (400, message)


@pytest.mark.anyio
async def test_token_ids_are_taken_as_they_are(app: ASGIApp, tmp_path: Path, libs: Path) -> None:
    with loaded(encoder(tmp_path), libs, options=EMBEDS) as model:
        tokens = model.vocabulary.tokenize("A dog", add_special=True, parse_special=False)
    text, ids = vectors(await embed(app, "A dog"))[0], vectors(await embed(app, tokens))[0]
    assert same(text, ids)
    assert same(vectors(await embed(app, [tokens, tokens]))[1], ids)


@pytest.mark.anyio
@pytest.mark.parametrize("pooling", [gguf.PoolingType.CLS, gguf.PoolingType.LAST, gguf.PoolingType.MEAN])
async def test_a_model_pools_as_it_says(tmp_path: Path, libs: Path, pooling: gguf.PoolingType) -> None:
    """Against the vectors of the single tokens, which the same weights give without pooling."""
    with loaded(encoder(tmp_path, pooling), libs, options=EMBEDS) as model:
        assert model.embedder is not None
        assert model.embedder().pooling == pooling.name.lower()
        found = vectors(await embed(app_of(model), "A dog runs."))[0]
    with loaded(encoder(tmp_path, gguf.PoolingType.NONE), libs, options=EMBEDS) as model:
        assert model.embedder is not None
        tokens = model.vocabulary.tokenize("A dog runs.", add_special=True, parse_special=False)
        rows = model.embedder().embed([tokens])[0]
        assert len(vectors(await embed(app_of(model), "A dog runs."))[0]) == len(tokens)
    wanted = {"cls": rows[0], "last": rows[-1], "mean": [sum(column) for column in zip(*rows, strict=True)]}
    vector = wanted[pooling.name.lower()]
    assert same(found, [number / math.hypot(*vector) for number in vector])


@pytest.mark.anyio
async def test_a_chat_model_makes_embeddings_too(tmp_path: Path, libs: Path) -> None:
    with loaded(models.write_random(tmp_path / "chat.gguf"), libs) as model:
        one, again, other = vectors(await embed(app_of(model), ["Hello world", "Hello world", " the answer"]))
    assert len(one) == 256
    assert same(one, again)
    assert not same(one, other)


@pytest.mark.anyio
async def test_an_embedding_model_says_that_it_does_not_chat(app: ASGIApp) -> None:
    response = await call(app, "POST", "/v1/completions", json={"prompt": "Once"})
    assert response.status_code == 503
    assert response.json()["error"]["message"] == "this model makes embeddings and generates no text"
