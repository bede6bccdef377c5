"""In which shape a Jinja template reads messages: content as text or as parts, a call's arguments as object or as JSON.

Found out as llama.cpp does, by rendering short chats and looking for their words in the prompt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from bundler.errors import BundleError

Render = Callable[[dict[str, Any]], str]
"""Renders the template with these variables; raises any exception."""
Message = Mapping[str, Any]

_WORD: Final = "Wordtolookfor"
_NAME: Final = "nametolookfor"
_ARGUMENTS: Final = {_NAME: "valuetolookfor"}
_USER: Final = {"role": "user", "content": "Hello."}


def _calling(arguments: object) -> Message:
    call = {"id": "abcdefgh1", "type": "function", "function": {"name": "look", "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


_CALL: Final = _calling(_ARGUMENTS)
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
    "system": ([], [_USER]),
    "assistant": ([_USER], [_USER]),
    "tool": ([_USER, _CALL], []),
}
"""What stands before and after a message of a role; else nothing."""


class Shapes:
    """The shapes that one template reads, each found out when it is first asked for."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self._known: dict[object, bool] = {}

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

    def reads_objects(self) -> bool:
        """Whether the arguments of tool calls may be objects; else they have to be JSON text."""
        return self._answer("objects", self._reads_objects)

    def _answer(self, question: object, find_out: Callable[[], bool]) -> bool:
        if question not in self._known:
            self._known[question] = find_out()
        return self._known[question]

    def _fitted(self, message: Message) -> Message:
        content, role = message.get("content"), str(message.get("role"))
        changed: dict[str, Any] = {}
        if isinstance(content, list | tuple) and not self.reads_parts(role):
            changed["content"] = _joined(content)
        elif isinstance(content, str) and not self.reads_text("user") and not self.reads_text(role):
            changed["content"] = [{"type": "text", "text": content}]
        if message.get("tool_calls"):
            changed["tool_calls"] = [self._fitted_call(call) for call in message["tool_calls"]]
        return {**message, **changed} if changed else message

    def _fitted_call(self, call: Message) -> Message:
        function = call.get("function")
        if not isinstance(function, Mapping) or "arguments" not in function:
            return call
        arguments = function["arguments"]
        if isinstance(arguments, str):
            if self.reads_objects():
                with suppress(ValueError):
                    arguments = json.loads(arguments)
        elif not self.reads_objects():
            arguments = json.dumps(arguments, ensure_ascii=False)
        return {**call, "function": {**function, "arguments": arguments}}

    def _reads_parts(self, role: str) -> bool:
        text, parts = self._shown(role, _WORD), self._shown(role, [{"type": "text", "text": _WORD}])
        return bool(parts) and _quoted(parts) <= _quoted(text)

    def _reads_objects(self) -> bool:
        as_object = self._tried([_USER, _CALL, _ANSWER], tools=[_TOOL])
        if _NAME in as_object and _ARGUMENTS[_NAME] in as_object and f"'{_NAME}'" not in as_object:
            return True
        as_text = self._tried([_USER, _calling(json.dumps(_ARGUMENTS)), _ANSWER], tools=[_TOOL])
        return f'"{_NAME}"' not in as_text

    def _shown(self, role: str, content: object) -> str:
        """The prompt of a chat with such a message, empty where it does not show the word."""
        before, after = _SURROUNDINGS.get(role, ([], []))
        message = {**(_ANSWER if role == "tool" else {}), "role": role, "content": content}
        prompt = self._tried([*before, message, *after], tools=[_TOOL] if role == "tool" else None)
        return prompt if _WORD in prompt else ""

    def _tried(self, messages: Sequence[Message], tools: Sequence[Message] | None) -> str:
        given = {"messages": messages, "tools": tools, "documents": None, "add_generation_prompt": True}
        with suppress(Exception):  # a template may raise whatever Python can
            return self._render(given)
        return ""


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
