"""The OpenAI dialect, over a scripted engine."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import httpx
import msgspec
import openai
import pytest

from bundler.runtime.api.openai_bodies import ChatCompletion
from bundler.runtime.api.openai_requests import chat_requests
from bundler.runtime.defaults import Defaults
from bundler.runtime.engine.interface import Overloaded
from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests.runtime.fake_engine import ScriptedEngine, loaded, until
from tests.runtime.serving import HELLO, MANIFEST, application_of, call, manifest, served

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def post(engine: ScriptedEngine, path: str, body: Any, **changes: Any) -> httpx.Response:
    return asyncio.run(call(application_of(engine, manifest(**changes)), "POST", path, json=body))


def events(response: httpx.Response) -> list[Any]:
    """The data of each server-sent event; `[DONE]` as text."""
    assert response.headers["content-type"].startswith("text/event-stream")
    parts = response.text.removesuffix("\n\n").split("\n\n")
    data = [part.removeprefix("data: ") for part in parts]
    return [item if item == "[DONE]" else json.loads(item) for item in data]


def test_a_chat_completion() -> None:
    response = post(ScriptedEngine("Hello"), CHAT, HELLO)
    assert response.status_code == 200
    body = response.json()
    assert body.pop("id").startswith("chatcmpl-")
    assert isinstance(body.pop("created"), int)
    assert body == {
        "object": "chat.completion",
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": len("[user]Hi[assistant]"),
            "completion_tokens": 6,
            "total_tokens": 25,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


def test_a_streamed_chat_completion() -> None:
    *chunks, done = events(post(ScriptedEngine("Hey"), CHAT, HELLO | {"stream": True}))
    assert done == "[DONE]"
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert all(delta.keys() == {"content"} for delta in deltas[1:-1])
    assert "".join(delta["content"] for delta in deltas[:-1]) == "Hey"
    assert deltas[-1] == {}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert not any("usage" in chunk for chunk in chunks)


def test_a_stream_counts_tokens_when_asked() -> None:
    *chunks, usage, done = events(
        post(ScriptedEngine("Hey"), CHAT, HELLO | {"stream": True, "stream_options": {"include_usage": True}})
    )
    assert done == "[DONE]"
    assert all(chunk["usage"] is None for chunk in chunks)
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 4


def test_a_completion() -> None:
    response = post(ScriptedEngine(" upon a time"), TEXT, {"prompt": "Once", "max_tokens": 5})
    body = response.json()
    assert body["object"] == "text_completion"
    assert body["choices"] == [{"index": 0, "text": " upon", "logprobs": None, "finish_reason": "length"}]


def test_a_streamed_completion() -> None:
    *chunks, last, done = events(post(ScriptedEngine("abc"), TEXT, {"prompt": "x", "stream": True}))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "abc"
    assert last["choices"][0] == {"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}
    assert done == "[DONE]"


@pytest.mark.parametrize("prompt", ["ab", ["ab"], [97, 98], [[97, 98]]])
def test_a_prompt_is_text_or_token_ids(prompt: Any) -> None:
    engine = ScriptedEngine()
    assert post(engine, TEXT, {"prompt": prompt}).status_code == 200
    assert engine.prompt() == "ab"


def test_what_a_client_sets_reaches_the_engine() -> None:
    engine = ScriptedEngine()
    given = {
        "temperature": 0.5,
        "top_k": 7,
        "top_p": 0.8,
        "min_p": 0.1,
        "seed": 42,
        "max_tokens": 9,
        "presence_penalty": 0.3,
        "frequency_penalty": 0.4,
        "repeat_penalty": 1.2,
    }
    assert post(engine, CHAT, HELLO | given).status_code == 200
    job = engine.jobs[0]
    assert job.max_tokens == 9
    assert all(getattr(job.sampling, name) == value for name, value in given.items() if name != "max_tokens")


def test_settings_come_from_the_request_then_the_modelfile_then_ollama() -> None:
    engine = ScriptedEngine()
    parameters = {"temperature": 0.1, "top_k": 5, "num_predict": 8, "stop": ["!"]}
    post(engine, CHAT, HELLO | {"temperature": 0.7}, parameters=parameters)
    job = engine.jobs[0]
    assert (job.sampling.temperature, job.sampling.top_k, job.sampling.top_p) == (0.7, 5, 0.9)
    assert job.max_tokens == 8


def test_a_full_context_ends_an_answer_unless_something_else_is_asked_for() -> None:
    engine = ScriptedEngine()
    post(engine, CHAT, HELLO)
    post(engine, CHAT, HELLO | {"shift": True, "n_keep": 5})
    post(engine, CHAT, HELLO, parameters={"num_keep": -1})
    assert [(job.shift, job.keep) for job in engine.jobs] == [(False, 0), (True, 5), (False, -1)]


def test_a_prompt_that_is_too_long_is_truncated_where_that_is_asked_for() -> None:
    engine = ScriptedEngine()
    long = {"prompt": "x" * 2000, "truncate": True, "n_keep": 3}
    assert post(engine, TEXT, long).json()["usage"]["prompt_tokens"] == 750


@pytest.mark.parametrize("keep_alive", ["soon", "5x", [], {}])
def test_a_time_to_stay_that_is_none(keep_alive: Any) -> None:
    response = post(ScriptedEngine(), CHAT, HELLO | {"keep_alive": keep_alive})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "keep_alive"


@pytest.mark.parametrize(
    ("fields", "writing_seconds", "keep_alive"),
    [
        ({}, None, None),
        ({"t_max_predict_ms": 1500, "keep_alive": "1h"}, 1.5, 3600),
        ({"t_max_predict_ms": 0, "keep_alive": 0}, None, 0),
        ({"t_max_predict_ms": -1, "keep_alive": -1}, None, math.inf),
    ],
)
def test_times_are_those_of_llama_server_and_ollama(
    fields: dict[str, Any], writing_seconds: float | None, keep_alive: float | None
) -> None:
    body = msgspec.convert(HELLO | fields, ChatCompletion)
    [request] = chat_requests(body, Defaults())
    assert (request.writing_seconds, request.keep_alive) == (writing_seconds, keep_alive)


def test_max_completion_tokens_is_the_newer_name() -> None:
    engine = ScriptedEngine()
    post(engine, CHAT, HELLO | {"max_tokens": 5, "max_completion_tokens": 3})
    assert engine.jobs[0].max_tokens == 3


@pytest.mark.parametrize("stop", ["lo", ["xyz", "lo"]])
@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(stop: Any, stream: bool) -> None:
    response = post(ScriptedEngine("Hello, lo"), CHAT, HELLO | {"stop": stop, "stream": stream})
    if stream:
        chunks = events(response)[:-1]
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
        reason = chunks[-1]["choices"][0]["finish_reason"]
    else:
        choice = response.json()["choices"][0]
        text, reason = choice["message"]["content"], choice["finish_reason"]
        assert response.json()["usage"]["completion_tokens"] == 5
    assert (text, reason) == ("Hel", "stop")


def test_content_may_be_a_list_of_texts() -> None:
    engine = ScriptedEngine()
    parts = [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]
    assert post(engine, CHAT, {"messages": [{"role": "user", "content": parts}]}).status_code == 200
    assert engine.prompt() == "[user]One\nTwo[assistant]"


@pytest.mark.parametrize("model", ["tiny", "default", "", None])
def test_the_model_is_the_bundle_s(model: str | None) -> None:
    assert post(ScriptedEngine(), CHAT, HELLO | {"model": model}).status_code == 200


def test_fields_that_clients_send_and_nobody_needs_are_accepted() -> None:
    extra = {
        "user": "me",
        "metadata": {"a": 1},
        "store": False,
        "n": 1,
        "logprobs": False,
        "logit_bias": {},
        "tools": [],
        "tool_choice": "none",
        "response_format": {"type": "text"},
        "made_up": [1, 2, {"x": None}],
    }
    assert post(ScriptedEngine(), CHAT, HELLO | extra).status_code == 200


ERRORS: list[tuple[str, Any, int, str | None, str | None, str]] = [
    (CHAT, {}, 400, "messages", "missing_required_parameter", "messages is required"),
    (CHAT, {"messages": []}, 400, "messages", None, "messages: at least one message is needed"),
    (
        CHAT,
        {"messages": [{"role": "user", "content": 5}]},
        400,
        "messages[0].content",
        "invalid_type",
        "messages[0].content: expected `str | array | null`, got `int`",
    ),
    (
        CHAT,
        {"messages": [{"role": "robot", "content": "x"}]},
        400,
        "messages[0].role",
        None,
        "messages[0].role: 'robot' is none of system, developer, user, assistant, tool",
    ),
    (
        CHAT,
        {"messages": [{"role": "user"}]},
        400,
        "messages[0].content",
        "missing_required_parameter",
        "messages[0].content is required",
    ),
    (
        CHAT,
        HELLO | {"temperature": "hot"},
        400,
        "temperature",
        "invalid_type",
        "temperature: expected `float | null`, got `str`",
    ),
    (CHAT, HELLO | {"top_p": 2}, 400, "top_p", "invalid_type", "top_p: expected `float` <= 1.0"),
    (
        CHAT,
        HELLO | {"max_tokens": 0},
        400,
        "max_tokens",
        None,
        "max_tokens: at least 1 is needed; leave it out for no limit",
    ),
    (
        CHAT,
        HELLO | {"model": "gpt-4"},
        404,
        "model",
        "model_not_found",
        "the model 'gpt-4' is not here; this bundle holds 'tiny'",
    ),
    (CHAT, HELLO | {"n": 65}, 400, "n", "invalid_type", "n: expected `int` <= 64"),
    (
        CHAT,
        HELLO | {"response_format": {"type": "xml"}},
        400,
        "response_format",
        "unsupported_parameter",
        "response_format: 'xml' is none of text, json_object, json_schema",
    ),
    (
        CHAT,
        HELLO | {"response_format": {"type": "json_object"}, "grammar": 'root ::= "a"'},
        400,
        "grammar",
        None,
        "grammar: the answer's form is given by response_format already",
    ),
    (CHAT, HELLO | {"logit_bias": {"a": 1}}, 400, "logit_bias", None, "logit_bias: 'a' is no token id"),
    (
        CHAT,
        HELLO | {"samplers": ["top_k", "best"]},
        400,
        "samplers",
        None,
        "samplers: 'best' is none of penalties, dry, top_n_sigma, top_k, typ_p, top_p, min_p, xtc, temperature",
    ),
    (CHAT, HELLO | {"top_logprobs": 3}, 400, "top_logprobs", None, "top_logprobs: set logprobs to true as well"),
    (
        CHAT,
        HELLO | {"tools": [{"type": "function", "function": {"name": "clock"}}]},
        400,
        "tools",
        "unsupported_parameter",
        "tools are not supported by this version",
    ),
    (
        CHAT,
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        400,
        "messages[0].content[0]",
        "unsupported_parameter",
        "messages[0].content[0]: this model reads text only, not image_url",
    ),
    (TEXT, {}, 400, "prompt", "missing_required_parameter", "prompt is required"),
    (TEXT, {"prompt": [5000]}, 400, None, None, "failed to read the prompt: token ids of this model are 0 to 257"),
    (TEXT, {"prompt": ""}, 400, None, None, "failed to answer an empty prompt"),
]


@pytest.mark.parametrize(("path", "body", "status", "param", "code", "message"), ERRORS)
def test_wrong_requests(path: str, body: Any, status: int, param: str | None, code: str | None, message: str) -> None:
    response = post(ScriptedEngine(), path, body)
    assert response.status_code == status
    assert response.json() == {
        "error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    }


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe", b'{"messages": "no"}', b"[" * 100_000])
def test_bodies_that_are_no_request(body: bytes) -> None:
    response = asyncio.run(call(application_of(ScriptedEngine()), "POST", CHAT, content=body))
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_body_that_is_too_large() -> None:
    async def chunks() -> Any:
        for _ in range(33):
            yield b" " * (1 << 20)

    response = asyncio.run(call(application_of(ScriptedEngine()), "POST", CHAT, content=chunks()))
    assert response.status_code == 413
    assert response.json()["error"]["message"] == "the body is larger than 32 MiB"


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_is_too_long(stream: bool) -> None:
    body = {"messages": [{"role": "user", "content": "x" * 2000}], "stream": stream}
    response = post(ScriptedEngine(), CHAT, body)
    assert response.status_code == 400
    assert response.json()["error"] == {
        "message": "the prompt has 2017 tokens, and the context holds 1000, the answer included",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }


@pytest.mark.parametrize("stream", [False, True])
def test_an_overloaded_server_says_when_to_come_again(stream: bool) -> None:
    response = post(ScriptedEngine(refuse=Overloaded(9)), CHAT, HELLO | {"stream": stream})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["error"]["code"] == "overloaded"


def test_a_failure_of_the_engine() -> None:
    response = post(ScriptedEngine("", fail="the model broke"), CHAT, HELLO)
    assert response.status_code == 500
    assert response.json()["error"] == {
        "message": "the model broke",
        "type": "server_error",
        "param": None,
        "code": None,
    }


def test_a_failure_of_the_engine_in_a_stream() -> None:
    *_, last = events(post(ScriptedEngine("abc", fail="the model broke"), CHAT, HELLO | {"stream": True}))
    assert last["error"]["message"] == "the model broke"


@pytest.mark.parametrize("stream", [False, True])
def test_a_form_that_becomes_too_complex_is_the_fault_of_the_request(stream: bool) -> None:
    response = post(ScriptedEngine("ab", stuck="failed: too complex"), CHAT, HELLO | {"stream": stream})
    *before, last = events(response) if stream else [response.json()]
    assert response.status_code == (200 if stream else 400)
    assert "".join(event["choices"][0]["delta"]["content"] for event in before) == "ab" * stream
    assert last["error"] == {
        "message": "failed: too complex, after 3 tokens of it; ask for another, simpler form",
        "type": "invalid_request_error",
        "param": None,
        "code": "form_not_followed",
    }


def test_a_template_that_refuses_the_messages() -> None:
    template = MANIFEST.template
    assert template
    refusing = msgspec.structs.replace(template, text="{{ raise_exception('no jokes') }}")
    response = post(ScriptedEngine(), CHAT, HELLO, template=refusing)
    assert response.status_code == 400
    assert "no jokes" in response.json()["error"]["message"]


def test_a_model_without_a_template_completes_only() -> None:
    assert post(ScriptedEngine(), CHAT, HELLO, template=None).status_code == 400
    assert post(ScriptedEngine(), TEXT, {"prompt": "x"}, template=None).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", CHAT, 405),
        ("PUT", TEXT, 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/models/gpt-4", 404),
    ],
)
def test_places_that_do_not_answer(method: str, path: str, status: int) -> None:
    response = asyncio.run(call(application_of(ScriptedEngine()), method, path))
    assert response.status_code == status
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}


def test_the_models() -> None:
    app = application_of(ScriptedEngine())
    models = asyncio.run(call(app, "GET", "/v1/models")).json()
    assert models == {
        "object": "list",
        "data": [
            {
                "id": "tiny",
                "object": "model",
                "created": 1700000000,
                "owned_by": "bundle",
                "status": {"value": "loaded"},
            }
        ],
    }
    assert asyncio.run(call(app, "GET", "/v1/models/tiny")).json() == models["data"][0]
    assert asyncio.run(call(app, "GET", "/v1/models/default")).json() == models["data"][0]


def test_the_openai_client() -> None:
    engine = ScriptedEngine("Grüße 🦙")
    with served(Service(MANIFEST, Startup.done(loaded(engine)))) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
        assert [model.id for model in client.models.list()] == ["tiny"]
        answer = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "Hi"}])
        assert answer.choices[0].message.content == "Grüße 🦙"
        stream = client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Grüße 🦙"
        assert chunks[-1].usage
        assert client.completions.create(model="tiny", prompt="x").choices[0].text == "Grüße 🦙"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-4")
        with pytest.raises(openai.BadRequestError, match="context holds 1000"):
            client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x" * 2000}])


def test_a_client_that_leaves_a_stream_cancels_the_answer() -> None:
    engine = ScriptedEngine("Hello", hold=True)
    with served(Service(MANIFEST, Startup.done(loaded(engine)))) as url:
        with httpx.stream("POST", f"{url}{CHAT}", json=HELLO | {"stream": True}) as response:
            assert "assistant" in next(response.iter_lines())
        until(lambda: bool(engine.finishes))
    assert engine.finishes[0].reason == "cancelled"


def test_a_client_that_does_not_wait_for_its_answer_cancels_it() -> None:
    engine = ScriptedEngine("Hello", hold=True)
    with served(Service(MANIFEST, Startup.done(loaded(engine)))) as url:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}{CHAT}", json=HELLO, timeout=0.5)
        until(lambda: bool(engine.finishes))
    assert engine.finishes[0].reason == "cancelled"


def test_a_server_that_stops_ends_its_streams() -> None:
    engine = ScriptedEngine("Hello", hold=True)
    with served(Service(MANIFEST, Startup.done(loaded(engine)))) as url:
        context = httpx.stream("POST", f"{url}{CHAT}", json=HELLO | {"stream": True})
        response = context.__enter__()
        lines = response.iter_lines()
        assert "assistant" in next(lines)
        until(lambda: bool(engine.running))
        asyncio.run(asyncio.to_thread(engine.close))
        *_, last = [line for line in lines if line]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "unavailable"
        context.__exit__(None, None, None)
