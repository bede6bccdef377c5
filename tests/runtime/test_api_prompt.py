"""What a chat request says about its prompt, seen in the prompt: /apply-template and `_debug_render_only`."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests.runtime.fake_engine import ScriptedEngine
from tests.runtime.serving import HELLO, MANIFEST, TEMPLATE, application, application_of, call, manifest

CHAT, APPLY = "/v1/chat/completions", "/apply-template"
SHOWING = msgspec.structs.replace(
    TEMPLATE,
    text=(
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
        "{% for c in m.tool_calls or [] %}<{{ c.function.name }} {{ c.function.arguments | tojson }}>{% endfor %}"
        "{% endfor %}"
        "{% for tool in tools or [] %}({{ tool.function.name }}){% endfor %}"
        "{% for document in documents or [] %}({{ document.title }}){% endfor %}"
        "{{ '(thinking)' if enable_thinking }}{{ '[assistant]' if add_generation_prompt }}"
    ),
)
TOOL = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
CALLED = {
    "role": "assistant",
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "clock", "arguments": '{"zone": "<UTC>"}'}}],
}


def post(path: str, body: Any, **changes: Any) -> httpx.Response:
    shown = manifest(**({"template": SHOWING} | changes))
    return asyncio.run(call(application_of(ScriptedEngine(), shown), "POST", path, json=body))


PROMPTS: list[tuple[str, dict[str, Any], str]] = [
    ("a chat", {}, "[user]Hi[assistant]"),
    ("with a tool", {"tools": [TOOL]}, "[user]Hi(clock)[assistant]"),
    ("with a tool that may not be used", {"tools": [TOOL], "tool_choice": "none"}, "[user]Hi(clock)[assistant]"),
    ("with a document", {"documents": [{"title": "Birds", "text": "…"}]}, "[user]Hi(Birds)[assistant]"),
    ("with arguments", {"chat_template_kwargs": {"enable_thinking": True}}, "[user]Hi(thinking)[assistant]"),
    ("without a beginning of the answer", {"add_generation_prompt": False}, "[user]Hi"),
    (
        "after a tool call",
        {"messages": [*HELLO["messages"], CALLED, {"role": "tool", "content": "12:00", "tool_call_id": "1"}]},
        '[user]Hi[assistant]<clock {"zone": "<UTC>"}>[tool]12:00[assistant]',
    ),
]


@pytest.mark.parametrize(("name", "body", "prompt"), PROMPTS)
def test_the_prompt_of_a_chat(name: str, body: dict[str, Any], prompt: str) -> None:
    response = post(APPLY, HELLO | body)
    assert (response.status_code, response.json()) == (200, {"prompt": prompt}), name
    answer = post(CHAT, HELLO | body | {"_debug_render_only": True}).json()
    assert answer["_debug_info"] == {"rendered_template": prompt, "image_count": 0}
    assert (answer["object"], answer["model"], answer["choices"]) == ("chat.completion", "tiny", [])


def test_the_modelfile_s_own_messages_are_in_it() -> None:
    assert post(APPLY, HELLO, system="Be brief.").json() == {"prompt": "[system]Be brief.[user]Hi[assistant]"}


def test_the_prompt_needs_no_loaded_model() -> None:
    response = asyncio.run(call(application(Service(MANIFEST, Startup())), "POST", APPLY, json=HELLO))
    assert response.json() == {"prompt": "[user]Hi[assistant]"}


def test_tools_that_may_not_be_used_are_in_the_prompt_of_an_answer() -> None:
    engine = ScriptedEngine("12:00")
    body = HELLO | {"tools": [TOOL], "tool_choice": "none"}
    response = asyncio.run(call(application_of(engine, manifest(template=SHOWING)), "POST", CHAT, json=body))
    assert response.status_code == 200
    assert engine.prompt() == "[user]Hi(clock)[assistant]"


def test_a_model_thinks_as_it_is_told() -> None:
    for effort, shown in (("none", "[user]Hi[assistant]"), ("high", "[user]Hi(thinking)[assistant]")):
        assert post(APPLY, HELLO | {"reasoning_effort": effort}).json() == {"prompt": shown}


@pytest.mark.parametrize("asked", [True, "content"])
def test_an_answer_is_continued(asked: Any) -> None:
    messages = [*HELLO["messages"], {"role": "assistant", "content": "Well, "}]
    body = {"messages": messages, "continue_final_message": asked}
    assert post(APPLY, body).json() == {"prompt": "[user]Hi[assistant]Well, "}


GAP = msgspec.structs.replace(
    TEMPLATE,
    kind="go",
    text="{{ if .Suffix }}<PRE>{{ .Prompt }}<SUF>{{ .Suffix }}<MID>{{ else }}{{ .Prompt }}{{ end }}",
)


def test_a_gap_is_filled_by_a_template_that_knows_gaps() -> None:
    engine = ScriptedEngine("b")
    body = {"prompt": "a", "suffix": "c"}
    app = application_of(engine, manifest(template=GAP))
    assert asyncio.run(call(app, "POST", "/v1/completions", json=body)).status_code == 200
    assert engine.prompt() == "<PRE>a<SUF>c<MID>"


@pytest.mark.parametrize(
    ("body", "template", "message"),
    [
        ({"prompt": "a"}, TEMPLATE, "failed to render the prompt: a Jinja template has no place for a suffix"),
        (
            {"prompt": "a"},
            None,
            "failed to render the prompt: this model has no template with a place for a suffix",
        ),
        ({"prompt": [97]}, GAP, "failed to render the prompt: it is given as token ids"),
    ],
)
def test_a_gap_that_cannot_be_filled(body: dict[str, Any], template: Any, message: str) -> None:
    response = post("/v1/completions", body | {"suffix": "c"}, template=template)
    assert (response.status_code, response.json()["error"]["message"]) == (400, message)


FAULTS: list[tuple[str, dict[str, Any], str | None, str | None, str]] = [
    (
        "no messages",
        {"messages": []},
        "messages",
        None,
        "messages: at least one message is needed",
    ),
    (
        "a tool that is none",
        HELLO | {"tools": [{"type": "function"}]},
        "tools[0].function",
        "missing_required_parameter",
        "tools[0].function is required",
    ),
    (
        "an unknown effort",
        HELLO | {"reasoning_effort": "huge"},
        "reasoning_effort",
        None,
        "reasoning_effort: 'huge' is none of none, minimal, low, medium, high, xhigh, max",
    ),
    (
        "nothing to continue",
        HELLO | {"continue_final_message": True},
        "continue_final_message",
        None,
        "continue_final_message: the last message must be an assistant's",
    ),
    (
        "continued and begun",
        {
            "messages": [{"role": "assistant", "content": "x"}],
            "continue_final_message": True,
            "add_generation_prompt": True,
        },
        "continue_final_message",
        None,
        "continue_final_message: an answer is continued, or begun with add_generation_prompt, but not both",
    ),
    (
        "continued thoughts",
        HELLO | {"continue_final_message": "reasoning_content"},
        "continue_final_message",
        "unsupported_parameter",
        "continue_final_message: 'reasoning_content' is none of true, false, content",
    ),
    (
        "an argument that is taken",
        HELLO | {"chat_template_kwargs": {"messages": []}},
        None,
        None,
        "failed to render the messages: the template's variable messages cannot be set",
    ),
]


@pytest.mark.parametrize("render", ["/apply-template", "_debug_render_only"])
@pytest.mark.parametrize(("name", "body", "param", "code", "message"), FAULTS)
def test_what_has_no_prompt(
    name: str, body: dict[str, Any], param: str | None, code: str | None, message: str, render: str
) -> None:
    response = post(APPLY, body) if render == APPLY else post(CHAT, body | {render: True})
    assert response.status_code == 400
    assert response.json() == {
        "error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    }, name


def test_a_model_without_a_template_has_no_prompts() -> None:
    response = post(APPLY, HELLO, template=None)
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "failed to render the messages: this model has no chat template"


def test_prompts_are_behind_the_key() -> None:
    app = application(Service(MANIFEST, Startup()), api_key="secret")
    assert asyncio.run(call(app, "POST", APPLY, json=HELLO)).status_code == 401
