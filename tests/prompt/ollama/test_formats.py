"""Facts that are read off a Go template: how its model calls tools, and where it thinks."""

from __future__ import annotations

import pytest

from bundler.prompt.ollama.formats import Tags
from bundler.prompt.ollama.template import read

CALL = '{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}'
TAGS = {
    "": "{",
    "{{ .Response }}": "{",
    "{{ if .ToolCalls }}{{ end }}": "{",
    "{{ if .ToolCalls }}[{{ range .ToolCalls }}{{ . }}{{ end }}]{{ end }}": "[",
    "{{ if .ToolCalls }}\r\n [ {{ range .ToolCalls }}{{ . }}{{ end }}]{{ end }}": "[",
    "{{ if .ToolCalls }}{{ range .ToolCalls }} " + CALL + "{{ end }}]{{ end }}": "{",
    "{{ if .ToolCalls }}a\r\nb{{ end }}": "a\nb",
    "{{ if .ToolCalls }}{{ range .ToolCalls }}{{ . }}{{ end }} late{{ end }}": "{",
    "{{ if .ToolCalls }}{{ .Content }}<late>{{ end }}": "{",
    "{{ if .ToolCalls }}\n{{ range .ToolCalls }}<call>" + CALL + "</call>{{ end }}{{ end }}": "<call>",
    "{{ if .ToolCalls }}{{ range .ToolCalls }}{{ else }}none{{ end }}{{ end }}": "none",
    "{{ if .ToolCalls }}first{{ if .X }}inner{{ end }}{{ end }}": "first",
    "{{ if .ToolCalls }}[TOOL_CALLS] [{{ end }}": "[TOOL_CALLS] [",
    "{{ range .Messages }}{{ if .Content }}x{{ else if .ToolCalls }}<y>{{ end }}{{ end }}": "<y>",
    "{{ range .Messages }}{{ with .X }}{{ if and $.Tools .ToolCalls }}<z>{{ end }}{{ end }}{{ end }}": "<z>",
    "{{ range $message := .Messages }}{{ if $message.ToolCalls }}<call>{{ end }}{{ end }}": "<call>",
}
THOUGHTS = {
    "{{ .Thinking }}": Tags(),
    "{{ range .Others }}<a>{{ .Thinking }}</a>{{ end }}": Tags(),
    "{{ range .Messages }}{{ range .Others }}<a>{{ .Thinking }}</a>{{ end }}{{ end }}": Tags(),
    "{{ range .Messages }}{{ .Thinking }}{{ end }}": Tags(),
    "{{ range .Messages }}<a>{{ .Thinking }}{{ end }}": Tags(),
    "{{ range .Messages }} <a>\n{{ .Thinking }} </a> {{ end }}": Tags("<a>", "</a>"),
    "{{ range .Messages }}{{ if and $.Think .Thinking }}<a>{{ .Thinking }}</a>{{ end }}z{{ end }}": Tags("<a>", "</a>"),
    "{{ range .Messages }}[{{ if .Thinking }}<a>{{ .Thinking }}</a>{{ end }}]{{ end }}": Tags("<a>", "</a>"),
    "{{ range .Messages }}<a>{{ .Thinking }}</a>{{ end }}"
    "{{ range .Messages }}b{{ if .Thinking }}{{ end }}d{{ end }}": Tags("<a>", "</a>"),
    "{{ range $i, $m := $.Messages }}{{ if $m.Thinking }}<a>{{ $m.Thinking }}</a>{{ end }}{{ end }}": Tags(
        "<a>", "</a>"
    ),
    "{{ range .Messages }}<a>{{ $.Thinking }}</a>{{ end }}": Tags(),
}
NAMES = {
    "": {"response"},
    "{{ .Prompt }}": {"prompt", "response"},
    "{{ $x := .System }}{{ $x.Messages }}": {"system", "messages"},
    "{{ (index .A 0).Messages }}": {"a", "messages"},
    '{{ define "x" }}{{ .Messages }}{{ end }}': {"messages"},
    "{{ if eq (len (slice $.Messages .I)) 1 }}{{ else if .J }}{{ end }}": {"messages", "i", "j"},
    "{{ .messages }}": {"messages"},
}


@pytest.mark.parametrize("text", TAGS)
def test_what_tool_calls_begin_with(text: str) -> None:
    assert read(text).tool_tag == TAGS[text]


@pytest.mark.parametrize("text", THOUGHTS)
def test_what_stands_around_thinking(text: str) -> None:
    assert read(text).thinking_tags == THOUGHTS[text]


@pytest.mark.parametrize("text", NAMES)
def test_names_that_a_template_mentions(text: str) -> None:
    assert read(text).names | {"response"} == NAMES[text] | {"response"}
