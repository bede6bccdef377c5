"""Bodies of API requests, up to the answer of a scripted engine: an answer, or an error that is the client's."""

from __future__ import annotations

import asyncio
import json
from contextlib import redirect_stderr
from functools import cache
from io import StringIO
from random import Random
from typing import Any, NamedTuple

import httpx
import msgspec
from starlette.types import ASGIApp

from bundler.formats.manifest import Template
from bundler.prompt.conversation import Conversation
from bundler.runtime.api.openai_bodies import ChatCompletion, Completion
from bundler.runtime.app import build_app
from bundler.runtime.service import Service
from bundler.runtime.services import Services
from bundler.runtime.startup import Startup
from tests.fuzz import chats
from tests.fuzz.mutation import mutated
from tests.runtime.fake_engine import ScriptedEngine, loaded
from tests.runtime.serving import BUNDLE_ID, TEMPLATE, call, manifest

SECONDS = 20.0

_PATHS = ("/v1/chat/completions",) * 4 + ("/v1/completions",) * 2 + ("/apply-template", "/v1/embeddings")
_GO = (
    "{{ range .Messages }}<{{ .Role }}>{{ .Content }}{{ range .ToolCalls }}{{ .Function }}{{ end }}{{ end }}"
    "{{ .Tools }}"
)
_TEMPLATES = (TEMPLATE, Template(kind="go", text=_GO, source="modelfile", reason=""), None)
_FIELDS = sorted(
    {field.encode_name for body in (ChatCompletion, Completion) for field in msgspec.structs.fields(body)}
    | {"input", "encoding_format", "dimensions", "truncate", "unknown"}
)
_SETTINGS: tuple[Any, ...] = (
    0, 1, -1, 2, 0.5, 1e400, -1e-9, 2**31, 2**63, 2**64, 10**400, True, False, None, "", "auto", "none", "high",
    "json_object", [], {}, [""], ["a", "b"], {"1": -100}, [[1, -1]], [[1, False]], {"type": "json_object"},
    {"include_usage": True}, {"type": "text"}, {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
    [1, 2], [[1], [2]], [256, 257], [10**9], "root ::= 'x'", ["top_k", "odd"],
)  # fmt: skip
_PIECES = (
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\ud800", b"\\u0000", b"null", b"true", b"1e999", b"-", b"NaN",
    b"\xff", b"\xed\xa0\x80", b'"role":', b'"content":', b'{"type":"text","text":""}', b"[[[[[[[[", b'{"a":', b" ",
    b"\n", b"\xef\xbb\xbf",
)  # fmt: skip


class Case(NamedTuple):
    path: str
    template: int
    body: bytes


def case(chance: Random) -> Case:
    path = chance.choice(_PATHS)
    asked: dict[str, Any] = _chat(chats.conversation(chance))
    if path.endswith(("/completions", "embeddings")) and "chat" not in path:
        prompt = chance.choice([chats.text(chance), chats.text(chance), chance.choice(_SETTINGS)])
        asked = {"input" if path.endswith("embeddings") else "prompt": prompt}
    for _ in range(chance.choice([0, 0, 0, 1, 2, 5])):
        value = chats.value(chance) if chance.random() < 0.2 else chance.choice(_SETTINGS)
        asked[chance.choice(_FIELDS)] = value
    body = json.dumps(asked).encode()
    if chance.random() < 0.3:
        body = mutated(chance, body, _PIECES, body)
    return Case(path, chance.randrange(len(_TEMPLATES)), body)


def _chat(conversation: Conversation) -> dict[str, Any]:
    asked: dict[str, Any] = {"messages": list(conversation.messages)}
    if conversation.tools:
        asked["tools"] = list(conversation.tools)
    if conversation.arguments:
        asked["chat_template_kwargs"] = dict(conversation.arguments)
    return asked


@cache
def _application(template: int) -> ASGIApp:
    service = Service(manifest(template=_TEMPLATES[template]), Startup.done(loaded(ScriptedEngine("Hi"))))
    return build_app(Services(service), [], created=0, bundle_id=BUNDLE_ID, loopback_only=True, verbose=True)


def attempt(case: Case) -> bool:
    said = StringIO()
    with redirect_stderr(said):
        response = asyncio.run(call(_application(case.template), "POST", case.path, content=case.body, timeout=30))
    assert not said.getvalue()
    assert response.status_code < 500, response.text
    if response.status_code == 200:
        _check_answer(response)
    else:
        error = response.json()["error"]
        assert error["message"]
    return response.status_code == 200


def _check_answer(response: httpx.Response) -> None:
    if not response.headers["content-type"].startswith("text/event-stream"):
        response.json()
        return
    *events, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    for event in events:
        json.loads(event.removeprefix("data: "))
