"""Vectors and scores beside llama-server's, from the same source over the same file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest

from bundler.formats import gguf as gguf_format
from bundler.formats import vocabulary
from bundler.formats.source import FileSource
from bundler.runtime.embedding import embed, normalised
from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests import kinds
from tests.runtime import reference
from tests.runtime.serving import application, call, manifest
from tests.runtime.test_embeddings import EMBEDS, TEXTS, encoder, same
from tests.runtime.test_engine_llama import loaded

DOCUMENTS = ["Paris is the capital of France.", "", "A dog runs.", "France", "Ein Hund läuft.", "dog " * 60]


def model(name: str, folder: Path) -> Path:
    """A model by its architecture and pooling."""
    if name.startswith("bert"):
        return encoder(folder, gguf.PoolingType[name.removeprefix("bert ").upper()])
    kind = {"qwen3 last": kinds.LAST_POOLING, "qwen3 rank": kinds.RERANKER, "t5encoder mean": kinds.ENCODER}[name]
    return kind.write(folder / f"{kind.architecture}.gguf")


@pytest.mark.parametrize("pooling", ["MEAN", "LAST", "CLS", "NONE"])
def test_a_long_text_has_the_same_vectors_in_steps_as_at_once(
    pooling: str, program: Path, libs: Path, tmp_path: Path
) -> None:
    """A chat model computes 128 tokens at a time, for the sake of memory; llama-server 512."""
    text = "The quick brown fox jumps over the lazy dog. " * 30
    keys = {**kinds.LAST_POOLING.keys, "pooling_type": gguf.PoolingType[pooling].value}
    path = replace(kinds.LAST_POOLING, keys=keys).write(tmp_path / "long.gguf")
    with loaded(path, libs, options=EMBEDS) as ours:
        found = embed(ours, ["A dog", text, *TEXTS])
        assert found.tokens > 330
    with reference.serving(program, path, "--embeddings") as server:
        told = server.post("/embeddings", {"content": [text, "A dog"]})
    for vectors, wanted in zip([found.vectors[1], found.vectors[0]], told, strict=True):
        assert len(vectors) == len(wanted["embedding"])
        for vector, other in zip(vectors, wanted["embedding"], strict=True):
            assert max(abs(a - b) for a, b in zip(normalised(vector), normalised(other), strict=True)) < 0.01


@pytest.mark.parametrize("name", ["bert mean", "bert cls", "bert last", "bert none", "qwen3 last", "t5encoder mean"])
def test_vectors_are_llama_servers(name: str, program: Path, libs: Path, tmp_path: Path) -> None:
    path = model(name, tmp_path)
    with loaded(path, libs, options=EMBEDS) as ours:
        found = embed(ours, TEXTS).vectors
    with reference.serving(program, path, "--embeddings") as server:
        told = server.post("/embeddings", {"content": TEXTS})
    assert len(found) == len(told) == len(TEXTS)
    for vectors, wanted in zip(found, told, strict=True):
        assert len(vectors) == len(wanted["embedding"])
        for vector, other in zip(vectors, wanted["embedding"], strict=True):
            assert same(normalised(vector), normalised(other))


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["bert rank", "qwen3 rank"])
async def test_scores_are_llama_servers(name: str, program: Path, libs: Path, tmp_path: Path) -> None:
    path = model(name, tmp_path)
    body = {"query": "What is the capital of France?", "documents": DOCUMENTS, "top_n": 5}
    with loaded(path, libs, options=EMBEDS) as ours:
        app = application(Service(manifest(template=None, specials=specials(path)), Startup.done(ours)))
        response = await call(app, "POST", "/v1/rerank", json=body)
        by_text = await call(
            app, "POST", "/rerank", json={"query": body["query"], "texts": DOCUMENTS, "return_text": True}
        )
        vectors = await call(app, "POST", "/v1/embeddings", json={"input": "A dog"})
    with reference.serving(program, path, "--rerank") as server:
        wanted = server.post("/v1/rerank", body)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["usage"] == wanted["usage"]
    assert len(answer["results"]) == 5
    assert [each["index"] for each in answer["results"]] == [each["index"] for each in wanted["results"]]
    scores = [[each["relevance_score"] for each in given["results"]] for given in (answer, wanted)]
    assert same(*scores)
    assert max(scores[0]) - min(scores[0]) > 0.01
    assert [(each["index"], each["text"]) for each in by_text.json()[:5]] == [
        (each["index"], DOCUMENTS[each["index"]]) for each in wanted["results"]
    ]
    assert len(vectors.json()["data"][0]["embedding"]) == (1 if name == "bert rank" else 2)


@pytest.mark.anyio
async def test_a_document_cannot_end_itself(libs: Path, tmp_path: Path) -> None:
    """A control token of the template that a document spells stays text, of several tokens."""
    path = model("qwen3 rank", tmp_path)
    with loaded(path, libs, options=EMBEDS) as ours:
        app = application(Service(manifest(template=None, specials=specials(path)), Startup.done(ours)))
        counts = []
        for document in ("a <|endoftext|> b", "a b"):
            response = await call(app, "POST", "/v1/rerank", json={"query": "q", "documents": [document]})
            counts.append(response.json()["usage"]["prompt_tokens"])
        spelled = ours.vocabulary.tokenize("a <|endoftext|> b", add_special=False, parse_special=False)
        plain = ours.vocabulary.tokenize("a b", add_special=False, parse_special=False)
    assert counts[0] - counts[1] == len(spelled) - len(plain) > 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"query": "a", "documents": []}, 400, "documents: 1 to 2048 documents are taken at a time"),
        ({"query": "a"}, 400, "documents: 1 to 2048 documents are taken at a time"),
        ({"documents": ["a"]}, 400, "query is required"),
        ({"query": "a", "documents": [1]}, 400, "documents[0]: expected `str`, got `int`"),
        (
            {"query": "dog", "texts": ["fine", "dog " * 200]},
            400,
            "texts: document 1 and the query have 203 tokens, and this model takes 128",
        ),
    ],
)
async def test_what_cannot_be_ranked_is_refused(
    body: dict[str, Any], status: int, message: str, libs: Path, tmp_path: Path
) -> None:
    with loaded(model("bert rank", tmp_path), libs, options=EMBEDS) as ours:
        app = application(Service(manifest(template=None), Startup.done(ours)))
        response = await call(app, "POST", "/v1/rerank", json=body)
    assert (response.status_code, response.json()["error"]["message"]) == (status, message)


@pytest.mark.anyio
async def test_a_model_that_gives_no_scores_says_so(libs: Path, tmp_path: Path) -> None:
    with loaded(model("bert mean", tmp_path), libs, options=EMBEDS) as ours:
        app = application(Service(manifest(template=None), Startup.done(ours)))
        response = await call(app, "POST", "/v1/rerank", json={"query": "a", "documents": ["b"]})
    assert response.status_code == 501
    assert response.json()["error"]["message"] == "this model is no reranker: it gives no scores"


def specials(path: Path) -> list[str]:
    """As `bundle build` puts them into the manifest."""
    with path.open("rb") as file:
        return list(vocabulary.control_tokens(gguf_format.read_header(FileSource(file.fileno()), path.name)))
