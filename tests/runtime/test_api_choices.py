"""Several answers, probabilities, forms and biases over HTTP, with a model of random weights."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from starlette.types import ASGIApp

from bundler.formats.manifest import Template
from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests import models
from tests.runtime.serving import application, call, manifest
from tests.runtime.test_engine_llama import loaded

PLAIN = Template(kind="jinja", text="{{ messages[-1].content }}", source="gguf", reason="")
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "temperature": 0}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 6}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, libs: Path) -> Iterator[ASGIApp]:
    with loaded(models.write_random(tmp_path_factory.mktemp("choices") / "random.gguf"), libs) as model:
        yield application(Service(manifest(template=PLAIN), Startup.done(model)))


async def ask(app: ASGIApp, path: str = "chat/completions", **fields: Any) -> Any:
    response = await call(app, "POST", f"/v1/{path}", json=ASK | fields)
    assert response.status_code == 200, response.text
    if not fields.get("stream"):
        return response.json()
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


@pytest.mark.anyio
async def test_several_answers_share_the_prompt_and_are_numbered(app: ASGIApp) -> None:
    answer = await ask(app, n=3)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in answer["choices"]}) == 1
    one = await ask(app)
    assert answer["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]
    assert answer["usage"]["completion_tokens"] == 3 * one["usage"]["completion_tokens"]


@pytest.mark.anyio
async def test_each_of_several_answers_has_a_seed_of_its_own(app: ASGIApp) -> None:
    answers = [await ask(app, n=3, seed=5, temperature=1.5) for _ in range(2)]
    texts = [[choice["message"]["content"] for choice in answer["choices"]] for answer in answers]
    assert len(set(texts[0])) == 3


@pytest.mark.anyio
async def test_several_answers_stream_side_by_side(app: ASGIApp) -> None:
    whole = await ask(app, n=2)
    chunks = await ask(app, n=2, stream=True, stream_options={"include_usage": True})
    assert chunks[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    for index in (0, 1):
        mine = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
        said = "".join(choice["delta"].get("content", "") for choice in mine)
        assert said == whole["choices"][index]["message"]["content"]
        assert mine[-1]["finish_reason"] == whole["choices"][index]["finish_reason"]


@pytest.mark.anyio
async def test_several_prompts_are_answered_in_their_order(app: ASGIApp) -> None:
    several = await ask(app, "completions", prompt=["Hello", " the answer"], n=2)
    alone = [await ask(app, "completions", prompt=prompt) for prompt in ("Hello", " the answer")]
    texts = [choice["text"] for choice in several["choices"]]
    assert texts == [alone[0]["choices"][0]["text"]] * 2 + [alone[1]["choices"][0]["text"]] * 2
    assert several["usage"]["prompt_tokens"] == sum(answer["usage"]["prompt_tokens"] for answer in alone)


@pytest.mark.anyio
async def test_probabilities_are_told_as_openai_does(app: ASGIApp) -> None:
    choice = (await ask(app, logprobs=True, top_logprobs=2))["choices"][0]
    content = choice["logprobs"]["content"]
    assert len(content) == 8
    for token in content:
        assert token["logprob"] == token["top_logprobs"][0]["logprob"] >= token["top_logprobs"][1]["logprob"]
        assert math.exp(token["logprob"]) <= 1
        assert bytes(token["bytes"]).decode("utf-8", "replace") == token["token"]
    streamed = await ask(app, logprobs=True, top_logprobs=2, stream=True)
    parts = [chunk["choices"][0]["logprobs"] for chunk in streamed]
    assert [token for part in parts if part for token in part["content"]] == content
    old = (await ask(app, "completions", prompt="Hello", logprobs=2))["choices"][0]["logprobs"]
    assert [round(value, 5) for value in old["token_logprobs"]] == [round(token["logprob"], 5) for token in content]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}},
        {"response_format": {"type": "json_object", "schema": PERSON}},
        {"json_schema": PERSON},
    ],
    ids=["openai", "llama-server's object", "llama-server's field"],
)
async def test_an_answer_keeps_to_a_json_schema(app: ASGIApp, fields: dict[str, Any]) -> None:
    answer = await ask(app, **fields, max_tokens=200, temperature=1.5, seed=1)
    assert answer["choices"][0]["finish_reason"] == "stop"
    jsonschema.validate(json.loads(answer["choices"][0]["message"]["content"]), PERSON)


@pytest.mark.anyio
async def test_an_answer_keeps_to_a_grammar(app: ASGIApp) -> None:
    answer = await ask(app, grammar='root ::= ("left" | "right") " " [0-9]')
    assert answer["choices"][0]["message"]["content"].split(" ")[0] in ("left", "right")


@pytest.mark.anyio
async def test_a_schema_that_cannot_be_followed_is_an_error_before_anything_is_said(app: ASGIApp) -> None:
    refused = ASK | {"json_schema": {"type": "array", "uniqueItems": True}, "stream": True}
    response = await call(app, "POST", "/v1/chat/completions", json=refused)
    assert response.status_code == 400
    assert response.json()["error"]["message"] == (
        'failed to follow the JSON schema: at /uniqueItems: Unimplemented keys: ["uniqueItems"]'
    )


@pytest.mark.anyio
async def test_a_bias_forbids_and_prefers_tokens(app: ASGIApp) -> None:
    free = (await ask(app, "completions", prompt="Hello", logprobs=0))["choices"][0]
    ban = {str(token): -100 for token in range(304) if token != 42}
    assert (await ask(app, "completions", prompt="Hello", logit_bias=ban))["choices"][0]["text"] == "H" * 8
    assert (await ask(app, "completions", prompt="Hello", logit_bias=[[42, 100]]))["choices"][0]["text"] == "H" * 8
    assert free["text"] != "H" * 8


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fields",
    [
        {"xtc_probability": 1, "xtc_threshold": 0.01},
        {"top_n_sigma": 1.0},
        {"dry_multiplier": 5.0, "dry_base": 3, "dry_allowed_length": 1},
        {"mirostat": 1},
        {"mirostat": 2, "mirostat_tau": 1.0},
        {"dynatemp_range": 0.5, "dynatemp_exponent": 2},
        {"adaptive_target": 0.5},
        {"samplers": ["min_p", "temperature"], "min_p": 0.2, "min_keep": 2},
        {"typical_p": 0.5},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_every_sampler_draws_the_same_again_from_a_seed(app: ASGIApp, fields: dict[str, Any]) -> None:
    seeded: dict[str, Any] = {"temperature": 1.2, "seed": 11, "max_tokens": 24, "ignore_eos": True}
    once, again = [(await ask(app, **seeded, **fields))["choices"][0]["message"]["content"] for _ in range(2)]
    assert once == again
    assert once != (await ask(app, **seeded))["choices"][0]["message"]["content"]
