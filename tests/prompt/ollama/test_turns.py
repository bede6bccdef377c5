"""What a template sees of messages: collated, with names for tool results, and nothing of the wrong type."""

from __future__ import annotations

from typing import Any

import pytest

from bundler.errors import BundleError
from bundler.prompt.conversation import Conversation
from bundler.prompt.ollama.template import read

SHOW = (
    "{{ .System }};{{ range .Messages }} {{ .Role }}={{ printf `%q` .Content }}"
    "{{ with .Thinking }} thinks {{ . }}{{ end }}{{ with .Images }} sees {{ len . }}{{ end }}"
    "{{ range .ToolCalls }} calls {{ .Function.Name }}{{ end }}"
    "{{ with .ToolName }} of {{ . }}{{ end }}{{ with .ToolCallID }} for {{ . }}{{ end }};{{ end }}"
)


def shown(*messages: dict[str, Any], text: str = SHOW) -> str:
    return read(text).chat(Conversation(messages=messages))


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def call(name: str, call_id: str = "", **arguments: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SEEN = {
    "neighbours": (
        [said("user", "a"), said("user", "b"), said("assistant", "c"), said("user", "")],
        '; user="a\\n\\nb"; assistant="c"; user="";',
    ),
    "an empty neighbour leaves its blank line": ([said("user", "a"), said("user", "")], '; user="a\\n\\n";'),
    "system messages": (
        [said("system", "a"), said("system", "b"), said("user", "c"), said("system", "d")],
        'a\n\nb\n\nd; system="a\\n\\nb"; user="c"; system="d";',
    ),
    "tool results stay apart": (
        [said("tool", "1", tool_name="f"), said("tool", "2", name="g")],
        '; tool="1" of f; tool="2" of g;',
    ),
    "a result's name is that of its call": (
        [said("assistant", "", tool_calls=[call("f", "x"), call("g", "y")]), said("tool", "1", tool_call_id="y")],
        '; assistant="" calls f calls g; tool="1" of g for y;',
    ),
    "a result of no known call": ([said("tool", "1", tool_call_id="z")], '; tool="1" for z;'),
    "calls without ids name nothing": (
        [said("assistant", "", tool_calls=[call("f")]), said("tool", "1")],
        '; assistant="" calls f; tool="1";',
    ),
    "a user's name is not a tool's": ([said("user", "a", name="Ann")], '; user="a";'),
    "roles in capitals": ([said("User", "a"), said("user", "b")], '; user="a\\n\\nb";'),
    "thinking": ([said("assistant", "a", reasoning_content="hm")], '; assistant="a" thinks hm;'),
    "thinking as Ollama calls it": ([said("assistant", "a", thinking="hm")], '; assistant="a" thinks hm;'),
    "neighbours keep what they thought and called": (
        [said("assistant", "a", reasoning="x"), said("assistant", "b", reasoning="y", tool_calls=[call("f")])],
        '; assistant="a\\n\\nb" thinks x\n\ny calls f;',
    ),
    "no content": ([{"role": "assistant", "content": None, "tool_calls": [call("f")]}], '; assistant="" calls f;'),
    "parts": ([said("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])], '; user="a\\n\\nb";'),
    "images in parts": (
        [said("user", [IMAGE, {"type": "text", "text": "a"}]), said("assistant", "b"), said("user", [IMAGE])],
        '; user="[img-0]\\n\\na" sees 1; assistant="b"; user="[img-1]" sees 1;',
    ),
    "images as Ollama has them": (
        [said("user", "a [img] b", images=["AA", "BB"]), said("user", "c", images=["CC"])],
        '; user="[img-1]a [img-0] b\\n\\n[img-2]c" sees 3;',
    ),
}


@pytest.mark.parametrize("name", SEEN)
def test_messages(name: str) -> None:
    messages, text = SEEN[name]
    assert shown(*messages) == text


CALLS = {
    "{{ .Function.Arguments }}": '{"a":1000000,"b":{"c":"\\u003c","d":null}}',
    "{{ range $k, $v := .Function.Arguments }}{{ $k }}={{ $v }};{{ end }}": "a=1e+06;b=map[c:< d:<nil>];",
    "{{ .Function.Arguments.a }}": "1e+06",
    "{{ .Function.Arguments.nope }}": "<no value>",
    "{{ json .Function.Arguments.b }}": '{"c":"\\u003c","d":null}',
    "{{ .Function }}": '{"index":2,"name":"f","arguments":{"a":1000000,"b":{"c":"\\u003c","d":null}}}',
    "{{ .ID }} {{ .Function.Index }}": "x 2",
    "{{ len .Function.Arguments }}": "2",
    "{{ printf `%T` . }}": "template.templateToolCall",
}


@pytest.mark.parametrize("text", CALLS)
def test_a_tool_call(text: str) -> None:
    function = {"index": 2, "name": "f", "arguments": {"b": {"d": None, "c": "<"}, "a": 1_000_000}}
    message = said("assistant", "", tool_calls=[{"id": "x", "function": function}])
    assert (
        shown(message, text="{{ range .Messages }}{{ range .ToolCalls }}" + text + "{{ end }}{{ end }}") == CALLS[text]
    )


def test_a_message_as_json() -> None:
    message = said("assistant", "a", thinking="b", tool_calls=[call("f", "x")])
    assert shown(message, said("tool", "c", tool_call_id="x"), text="{{ json .Messages }}") == (
        '[{"role":"assistant","content":"a","thinking":"b",'
        '"tool_calls":[{"id":"x","function":{"index":0,"name":"f","arguments":{}}}]},'
        '{"role":"tool","content":"c","tool_name":"f","tool_call_id":"x"}]'
    )


DEEP: Any = "deep"
for _ in range(200):
    DEEP = [DEEP]
REFUSED: dict[str, tuple[list[Any], str]] = {
    "no object": (["text"], "messages[0] is no object"),
    "a role of another type": ([{"role": 1, "content": "a"}], "messages[0].role is no text"),
    "content of another type": ([said("user", "a"), said("assistant", 5)], "messages[1].content is no list"),
    "a part of another type": ([said("user", ["a"])], "messages[0].content[0] is no object"),
    "a part that templates do not know": (
        [said("user", [{"type": "text", "text": "a"}, {"type": "video", "video": "b"}])],
        "messages[0].content[1] is of the type 'video', and Go templates know text and image_url",
    ),
    "arguments that are text": (
        [said("assistant", "", tool_calls=[{"function": {"name": "f", "arguments": "{}"}}])],
        "messages[0].tool_calls[0].function.arguments is no object",
    ),
    "a number without end": (
        [said("assistant", "", tool_calls=[call("f", a=[1, 10**400])])],
        "messages[0].tool_calls[0].function.arguments.a[1] is no number that JSON and a float of 64 bits can hold",
    ),
    "too deep": (
        [said("assistant", "", tool_calls=[call("f", a=DEEP)])],
        f"{'messages[0].tool_calls[0].function.arguments.a' + '[0]' * 18}… nests too deeply",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_messages_of_other_types_are_refused(name: str) -> None:
    messages, fault = REFUSED[name]
    with pytest.raises(BundleError) as caught:
        shown(*messages)
    assert caught.value.message == f"failed to render the messages: {fault}"
