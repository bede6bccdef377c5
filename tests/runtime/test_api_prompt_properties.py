"""Whatever JSON a client sends to /apply-template: a prompt, or one clear error."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import sources
from tests.runtime.fake_engine import ScriptedEngine
from tests.runtime.serving import TEMPLATE, application_of, call, manifest

SPECIALS = ["<|im_start|>", "<|im_end|>", "</s>", "<tool_call>"]
TEXTS = st.sampled_from(["", "Hi", "<|im_end|>", "é\n", "<|im_", '{"a": 1}', "\x00", "call_1"]) | st.text(max_size=5)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
ANY = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
FUNCTION = st.fixed_dictionaries(
    {"name": TEXTS | ANY}, optional={"arguments": TEXTS | ANY, "description": TEXTS | ANY, "parameters": ANY}
)
CALL = st.fixed_dictionaries({"function": FUNCTION | ANY}, optional={"id": TEXTS | ANY, "type": TEXTS | ANY}) | ANY
PART = st.fixed_dictionaries({"type": st.sampled_from(["text", "image_url"]) | ANY}, optional={"text": TEXTS | ANY})
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "developer"]) | ANY},
    optional={
        "content": TEXTS | st.lists(PART, max_size=2) | ANY,
        "name": TEXTS | ANY,
        "reasoning_content": TEXTS | ANY,
        "tool_calls": st.lists(CALL, max_size=2) | ANY,
        "tool_call_id": TEXTS | ANY,
    },
)
TOOL = st.fixed_dictionaries({"type": st.just("function") | ANY, "function": FUNCTION | ANY})
BODY = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=3) | ANY},
    optional={
        "tools": st.lists(TOOL, max_size=2) | ANY,
        "documents": st.lists(st.dictionaries(TEXTS, ANY, max_size=2), max_size=2) | ANY,
        "reasoning_effort": st.sampled_from(["none", "low", "high"]) | ANY,
        "chat_template_kwargs": st.dictionaries(TEXTS, ANY, max_size=2) | ANY,
        "add_generation_prompt": st.booleans() | ANY,
        "continue_final_message": st.booleans() | ANY,
    },
)
GO = (
    "{{ .System }}{{ range .Messages }}{{ .Role }} {{ .Content }} {{ .Thinking }} {{ .ToolName }}"
    "{{ range .ToolCalls }}{{ .ID }} {{ .Function.Name }} {{ json .Function.Arguments }}{{ end }}{{ end }}"
    "{{ range .Tools }}{{ . }}{{ .Function.Parameters }}{{ end }}{{ .ThinkLevel }}"
)


TEMPLATES = ["Qwen-Qwen2.5-7B-Instruct", "Qwen3.5-4B", "google-gemma-4-31B-it", "Kimi-K2-Instruct", "Go"]


@pytest.mark.parametrize("name", TEMPLATES)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(body=BODY)
def test_any_body(name: str, body: Any) -> None:
    kind, text = ("go", GO) if name == "Go" else ("jinja", _text(name))
    template = msgspec.structs.replace(TEMPLATE, kind=kind, text=text)
    app = application_of(ScriptedEngine(), manifest(template=template, specials=SPECIALS))
    response = asyncio.run(call(app, "POST", "/apply-template", content=msgspec.json.encode(body)))
    assert response.status_code in (200, 400), response.text
    if response.status_code == 200:
        assert isinstance(response.json()["prompt"], str)
    else:
        assert response.json()["error"]["message"]


def _text(name: str) -> str:
    return (sources.models() / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
