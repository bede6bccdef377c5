"""In which shape a Jinja template reads messages: content as text or parts, a call's arguments as an object or JSON.

Found out as llama.cpp does, by rendering short chats and looking for their words in the prompt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from bundler.errors import BundleError

Render = Callable[[dict[str, Any]], str]
"""Renders the template with these variables; raises any exception."""
Message = Mapping[str, Any]

_WORD: Final = "Wordtolookfor"
_NAME: Final = "nametolookfor"
_ARGUMENTS: Final = {_NAME: "valuetolookfor"}
_USER: Final = {"role": "user", "content": "Hello."}
_CALL: Final[Message] = {
    "role": "assistant",
    "tool_calls": [{"id": "abcdefgh1", "type": "function", "function": {"name": "look", "arguments": _ARGUMENTS}}],
}
_ANSWER: Final = {"role": "tool", "content": "Seen.", "name": "look", "tool_call_id": "abcdefgh1"}
_TOOL: Final = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"for": {"type": "string", "description": "What for."}}},
    },
}
_SURROUNDINGS: Final[dict[str, tuple[list[Message], list[Message]]]] = {
    "user": ([], []),
    "system": ([], [_USER]),
    "assistant": ([_USER], [_USER]),
    "tool": ([_USER, _CALL], []),
}
"""What stands before and after a message of a role; other roles are read as the user's."""


class _Call(NamedTuple):
    objects: bool
    """Whether arguments are objects; else they are JSON text."""
    without: dict[str, Any]
    """What stands for a content that is missing."""


_CALLS: Final = tuple(
    _Call(objects, without) for objects in (True, False) for without in ({}, {"content": ""}, {"content": None})
)


class Shapes:
    """The shapes that one template reads, each found out when it is first asked for."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self._known: dict[object, bool] = {}
        self._call: _Call | None = None

    def fitted(self, messages: Sequence[Message]) -> list[Message]:
        """The messages in these shapes. Several parts become text of as many lines.

        Raises:
            BundleError: a message has a part that is no text, and the template reads text alone.
        """
        return [self._fitted(message) for message in messages]

    def reads_text(self, role: str) -> bool:
        """Whether messages of this role may have text as content; text is what nearly all templates read."""
        return self._answer(("text", role), lambda: bool(self._shown(role, _WORD)) or not self._reads_parts(role))

    def reads_parts(self, role: str) -> bool:
        """Whether messages of this role may have a list of parts as content."""
        return self._answer(("parts", role), lambda: self._reads_parts(role))

    def reads_calls(self) -> _Call:
        """How messages with tool calls have to look for their calls to be shown."""
        if self._call is None:
            self._call = next(filter(self._shows, _CALLS), _CALLS[0])
        return self._call

    def _answer(self, question: object, find_out: Callable[[], bool]) -> bool:
        if question not in self._known:
            self._known[question] = find_out()
        return self._known[question]

    def _fitted(self, message: Message) -> Message:
        content, role = message.get("content"), str(message.get("role"))
        role = role if role in _SURROUNDINGS else "user"
        changed: dict[str, Any] = {}
        if isinstance(content, list | tuple) and not self.reads_parts(role):
            changed["content"] = _joined(content)
        elif isinstance(content, str) and not self.reads_text("user") and not self.reads_text(role):
            changed["content"] = [{"type": "text", "text": content}]
        if message.get("tool_calls"):
            changed |= _reshaped(message, self.reads_calls())
        return {**message, **changed} if changed else message

    def _reads_parts(self, role: str) -> bool:
        text, parts = self._shown(role, _WORD), self._shown(role, [{"type": "text", "text": _WORD}])
        return bool(parts) and _quoted(parts) <= _quoted(text)

    def _shows(self, call: _Call) -> bool:
        prompt = self._tried([_USER, {**_CALL, **_reshaped(_CALL, call)}, _ANSWER], tools=[_TOOL])
        garbled = f"'{_NAME}'" in prompt or f'\\"{_NAME}' in prompt
        return _NAME in prompt and _ARGUMENTS[_NAME] in prompt and not garbled

    def _shown(self, role: str, content: object) -> str:
        """The prompt of a chat with such a message, empty where it does not show the word."""
        before, after = _SURROUNDINGS[role]
        message = {**(_ANSWER if role == "tool" else {}), "role": role, "content": content}
        prompt = self._tried([*before, message, *after], tools=[_TOOL] if role == "tool" else None)
        return prompt if _WORD in prompt else ""

    def _tried(self, messages: Sequence[Message], tools: Sequence[Message] | None) -> str:
        given = {"messages": messages, "tools": tools, "documents": None, "add_generation_prompt": True}
        with suppress(Exception):  # a template may raise whatever Python can
            return self._render(given)
        return ""


def _reshaped(message: Message, shape: _Call) -> dict[str, Any]:
    """The calls of a message, and its content where it has none."""
    calls = [_reshaped_call(call, shape.objects) for call in message["tool_calls"]]
    return {**({} if message.get("content") else shape.without), "tool_calls": calls}


def _reshaped_call(call: Message, objects: bool) -> Message:
    function = call.get("function")
    if not isinstance(function, Mapping) or "arguments" not in function:
        return call
    arguments = function["arguments"]
    if objects and isinstance(arguments, str):
        with suppress(ValueError):
            read = json.loads(arguments)
            arguments = read if isinstance(read, dict) else arguments
    if not objects and not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {**call, "function": {**function, "arguments": arguments}}


def _quoted(prompt: str) -> int:
    """How often the prompt has a part's key as Python or JSON writes it."""
    return prompt.count("'type'") + prompt.count('"type"')


def _joined(parts: Sequence[Any]) -> str:
    texts = []
    for part in parts:
        if not (isinstance(part, Mapping) and isinstance(part.get("text"), str)):
            kind = part.get("type", "no type") if isinstance(part, Mapping) else type(part).__name__
            raise BundleError(
                f"failed to render the chat template: it takes text alone, and a message has a part of {kind}"
            )
        texts.append(part["text"])
    return "\n".join(texts)
