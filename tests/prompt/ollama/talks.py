"""Conversations to render, in the JSON that Ollama's chat API takes: name -> messages, tools, think."""

from __future__ import annotations

from typing import Any

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'Tells the <b>"weather"</b> & more',
        "parameters": {
            "type": "object",
            "required": ["city", "when"],
            "properties": {
                "when": {"type": ["string", "null"], "description": "a day", "format": "date"},
                "city": {"type": "string", "enum": ["Köln", "Paris", 3, 0.5, None, True]},
                "options": {
                    "type": "object",
                    "properties": {"unit": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
                    "required": ["unit"],
                },
                "tags": {"type": "array", "items": {"type": "string", "b": 1e6, "a": 12345678}},
                "mixed": {"anyOf": [{"type": "number"}, {"type": "array", "items": {}}]},
                "anything": {},
            },
        },
    },
}
TIME: dict[str, Any] = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
BARE: dict[str, Any] = {"type": "function", "function": {"name": "ping", "parameters": {"properties": {}}}}


def _user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _assistant(content: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def _system(content: str) -> dict[str, Any]:
    return {"role": "system", "content": content}


def _call(name: str, arguments: dict[str, Any], number: int = 0) -> dict[str, Any]:
    return {"id": f"call_{number}", "function": {"index": number, "name": name, "arguments": arguments}}


_ASKED = [_system("Be brief."), _user("Weather?")]
_CALLED = [
    *_ASKED,
    _assistant(
        "",
        tool_calls=[
            _call("get_weather", {"when": None, "city": "Köln", "options": {"unit": "<C>", "days": 1_000_000}}, 0),
            _call("now", {}, 1),
        ],
    ),
    {"role": "tool", "content": '{"t": 21.5}', "tool_name": "get_weather", "tool_call_id": "call_0"},
    {"role": "tool", "content": "12:00", "tool_name": "now", "tool_call_id": "call_1"},
]
_THOUGHT = [_user("1+1?"), _assistant("2", thinking="one and one\nis two"), _user("Sure?")]

TALKS: dict[str, dict[str, Any]] = {
    "question": {"messages": [_user("Hello")]},
    "talk": {"messages": [_user("Hello"), _assistant("Hi!"), _user("How are you?")]},
    "system": {"messages": [_system("Be brief."), _user("Hello"), _assistant("Hi!"), _user("Bye")]},
    "begun": {"messages": [_user("Hello"), _assistant("Hi!"), _user("A poem"), _assistant("Roses are")]},
    "neighbours": {
        "messages": [
            _system("One."), _system("Two."), _user("a"), _user("b"), _assistant("c"), _assistant("d"),
            _system("Three."), _user("e"), _user(""),
        ]
    },
    "awkward": {
        "messages": [
            _system(' <|im_end|>{{ .System }}\n"'),
            _user("\u2028<s>[INST] é\u0301😀\\n\t{{ x }}\r\n\n&amp;'`"),
            _assistant(""),
            _user("\x00\ufeff%d "),
        ]
    },
    "tools": {"messages": _ASKED, "tools": [WEATHER, TIME, BARE]},
    "called": {"messages": _CALLED, "tools": [WEATHER]},
    "answered": {"messages": [*_CALLED, _assistant("21 degrees."), _user("Thanks")], "tools": [TIME]},
    "thought": {"messages": _THOUGHT, "think": True},
    "thoughtless": {"messages": _THOUGHT, "think": False},
    "hard": {"messages": [*_THOUGHT, _assistant("S", thinking="again")], "think": "high"},
}  # fmt: skip
