"""Whatever JSON a client sends as messages and tools: a prompt, the same with and without marks, or one error."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import BundleError
from bundler.prompt.conversation import Conversation
from bundler.prompt.ollama.template import OllamaTemplate, read

EVERYTHING = read(
    "{{ .System }}{{ .Tools }}{{ json .Messages }}{{ range .Messages }}{{ .Role }}{{ .Content }}{{ .Thinking }}"
    "{{ .ToolName }}{{ range .ToolCalls }}{{ .Function }}{{ range $k, $v := .Function.Arguments }}{{ $k }}{{ $v }}"
    "{{ end }}{{ end }}{{ end }}{{ range .Tools }}{{ .Function.Parameters.Required }}"
    "{{ range $name, $property := .Function.Parameters.Properties }}{{ $name }}{{ $property }}{{ .Type }}{{ .Enum }}"
    "{{ printf `%v %q` .Items .Description }}{{ toTypeScriptType . }}{{ end }}{{ end }}"
)
BY_TURN = read("{{ .System }}|{{ .Prompt }}|{{ .Response }}|")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
TEXTS = st.text(max_size=5)


def either(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is meant, now and then anything."""
    return st.one_of(strategy, strategy, strategy, VALUES)


ARGUMENTS = st.dictionaries(TEXTS, VALUES, max_size=3)
CALLS = st.fixed_dictionaries({"function": either(st.fixed_dictionaries({"name": TEXTS, "arguments": ARGUMENTS}))})
MESSAGES = st.fixed_dictionaries(
    {"role": either(st.sampled_from(["system", "user", "assistant", "tool"])), "content": either(TEXTS)},
    optional={
        "reasoning_content": either(TEXTS),
        "tool_calls": either(st.lists(CALLS, max_size=2)),
        "tool_call_id": either(TEXTS),
        "images": either(st.lists(TEXTS, max_size=2)),
    },
)
SCHEMAS: st.SearchStrategy[Any] = st.deferred(
    lambda: st.fixed_dictionaries(
        {},
        optional={
            "type": either(TEXTS | st.lists(TEXTS, max_size=3)),
            "description": either(TEXTS),
            "enum": either(st.lists(VALUES, max_size=2)),
            "items": VALUES,
            "required": either(st.lists(TEXTS, max_size=2)),
            "anyOf": either(st.lists(SCHEMAS, max_size=2)),
            "properties": either(st.dictionaries(TEXTS, SCHEMAS, max_size=2)),
        },
    )
)
TOOLS = st.fixed_dictionaries({"function": either(st.fixed_dictionaries({"name": TEXTS, "parameters": SCHEMAS}))})


def prompt_or_refusal(template: OllamaTemplate, talk: Conversation, foreign: bool) -> str:
    try:
        return template.chat(talk, foreign=foreign)
    except BundleError as refusal:
        return f"refused: {refusal.message[:300]}"


@settings(max_examples=150)
@given(st.lists(either(MESSAGES), max_size=4), st.lists(either(TOOLS), max_size=2), st.booleans())
def test_a_prompt_or_an_error(messages: list[Any], tools: list[Any], continued: bool) -> None:
    talk = Conversation(messages=messages, tools=tools, continue_final=continued)
    for template in (EVERYTHING, BY_TURN):
        plain = prompt_or_refusal(template, talk, False)
        assert plain.encode()
        assert prompt_or_refusal(template, talk, True) == plain
