"""Messages and tools of an API request, as templates read them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bundler.prompt.messages import (
    Message,
    MessageError,
    check_continued,
    checked_tools,
    plain,
    thinking,
    with_own,
)


def read(message: dict[str, Any]) -> dict[str, Any]:
    return plain(msgspec.convert(message, Message), "messages[0]")


def call(arguments: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}, **more}]}


MESSAGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("as it is", {"role": "user", "content": "Hi"}, {"role": "user", "content": "Hi"}),
    ("the developer's", {"role": "developer", "content": "Hi"}, {"role": "system", "content": "Hi"}),
    (
        "texts in parts",
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": "a\nb"},
    ),
    ("no content", {"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),
    (
        "thoughts",
        {"role": "assistant", "content": "a", "reasoning_content": "t"},
        {"role": "assistant", "content": "a", "reasoning_content": "t"},
    ),
    (
        "thoughts by Ollama's name",
        {"role": "assistant", "content": "a", "reasoning": "t"},
        {"role": "assistant", "content": "a", "reasoning_content": "t"},
    ),
    (
        "a tool's answer",
        {"role": "tool", "content": "5", "tool_call_id": "1", "name": "f", "made_up": 1},
        {"role": "tool", "content": "5", "tool_call_id": "1", "name": "f"},
    ),
]
ARGUMENTS: list[tuple[Any, Any]] = [
    ('{"b": 1, "a": [2.0]}', {"b": 1, "a": [2.0]}),
    ({"a": 1}, {"a": 1}),
    ("", {}),
    (None, {}),
    ("[1]", "[1]"),
    ("{broken", "{broken"),
    ("[" * 100_000, "[" * 100_000),
]


@pytest.mark.parametrize(("name", "message", "expected"), MESSAGES)
def test_messages(name: str, message: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read(message) == expected, name


@pytest.mark.parametrize(("given", "expected"), ARGUMENTS)
def test_arguments_of_tool_calls_are_objects(given: Any, expected: Any) -> None:
    assert read(call(given))["tool_calls"] == [{"type": "function", "function": {"name": "f", "arguments": expected}}]


def test_an_identified_tool_call_stays_so() -> None:
    [made] = read(call("{}", id="call_1", type="function"))["tool_calls"]
    assert made == {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": {}}}


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    (
        {"role": "robot", "content": "x"},
        "messages[0].role",
        "messages[0].role: 'robot' is none of system, developer, user, assistant, tool",
    ),
    ({"role": "user"}, "messages[0].content", "messages[0].content is required"),
    (
        {"role": "user", "content": [{"type": "image_url"}]},
        "messages[0].content[0]",
        "messages[0].content[0]: this model reads text only, not image_url",
    ),
    (
        {"role": "user", "content": [{"type": "text"}]},
        "messages[0].content[0].text",
        "messages[0].content[0].text is required",
    ),
]


@pytest.mark.parametrize(("message", "place", "text"), FAULTS)
def test_messages_at_fault(message: dict[str, Any], place: str, text: str) -> None:
    with pytest.raises(MessageError) as caught:
        read(message)
    assert (caught.value.place, caught.value.message) == (place, text)


TOOLS: list[tuple[dict[str, Any], str]] = [
    ({"type": "web_search"}, "tools[1].type: 'web_search' is not supported; only function is"),
    ({"type": "function"}, "tools[1].function is required"),
    ({"function": {"name": ""}}, "tools[1].function.name is required"),
    ({"function": {"name": 5}}, "tools[1].function.name is required"),
]


@pytest.mark.parametrize(("tool", "text"), TOOLS)
def test_tools_at_fault(tool: dict[str, Any], text: str) -> None:
    good = {"type": "function", "function": {"name": "f", "made_up": 1}}
    assert checked_tools([good]) == [good]
    with pytest.raises(MessageError) as caught:
        checked_tools([good, tool])
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("effort", "expected"),
    [("none", False), ("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high"), ("xhigh", "max")],
)
def test_effort(effort: str, expected: Any) -> None:
    assert thinking(effort) == expected


def test_an_effort_that_is_none() -> None:
    with pytest.raises(MessageError) as caught:
        thinking("huge")
    assert caught.value.message == ("reasoning_effort: 'huge' is none of none, minimal, low, medium, high, xhigh, max")


@pytest.mark.parametrize(
    ("last", "text"),
    [
        ([], "continue_final_message: the last message must be an assistant's"),
        (
            [{"role": "user", "content": ""}],
            "continue_final_message: the last message must be an assistant's",
        ),
        (
            [{"role": "assistant", "content": "", "tool_calls": [{}]}],
            "continue_final_message: a message with tool calls cannot be continued",
        ),
    ],
)
def test_what_cannot_be_continued(last: list[dict[str, Any]], text: str) -> None:
    with pytest.raises(MessageError) as caught:
        check_continued(last)
    assert caught.value.message == text


SYSTEM, USER = {"role": "system", "content": "Own."}, {"role": "user", "content": "Hi"}
HISTORY = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
BRIEF = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("messages", "system", "expected"),
    [
        ([USER], None, [*HISTORY, USER]),
        ([USER], "Be brief.", [BRIEF, *HISTORY, USER]),
        ([SYSTEM, USER], "Be brief.", [SYSTEM, *HISTORY, USER]),
        ([USER, SYSTEM], "Be brief.", [*HISTORY, USER, SYSTEM]),
        ([], "Be brief.", [BRIEF, *HISTORY]),
    ],
)
def test_the_modelfile_s_own_messages(messages: list[Any], system: str | None, expected: list[Any]) -> None:
    assert with_own(messages, system, HISTORY) == expected
