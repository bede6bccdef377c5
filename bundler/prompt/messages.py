"""Chat messages and tools as clients of OpenAI's API write them, made into those of a `Conversation`.

Whoever decodes JSON gives the shapes below to msgspec, which checks the types; here is what they mean. Also places the
Modelfile's own messages. Knows nothing of HTTP, files or templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from bundler.errors import BundleError
from bundler.prompt.conversation import ThinkLevel

_ROLES: Final = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool",
}  # fmt: skip
_EFFORTS: Final[dict[str, bool | ThinkLevel]] = {
    "none": False, "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "max", "max": "max",
}  # fmt: skip
_RESERVED: Final = frozenset((
    "template", "messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token",
))  # fmt: skip


class MessageError(BundleError):
    """A message that makes no sense, or that no text model can read.

    `place` is `messages[2].content` and the like, with which the message begins, too.
    """

    def __init__(self, place: str, fault: str, kind: Literal["missing", "unsupported", "wrong"] = "wrong") -> None:
        super().__init__(f"{place}{fault}")
        self.place = place
        self.kind = kind


class ContentPart(msgspec.Struct, frozen=True):
    type: str
    text: str | None = None


class FunctionCall(msgspec.Struct, frozen=True):
    name: str
    arguments: str | dict[str, Any] | None = None
    """An object, or its JSON as the API has it."""


class ToolCall(msgspec.Struct, frozen=True):
    function: FunctionCall
    id: str | None = None
    type: str = "function"


class Message(msgspec.Struct, frozen=True):
    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    """Ollama's name for `reasoning_content`."""
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


def plain(message: Message, place: str) -> dict[str, Any]:
    """The message as templates read it: content a text, arguments of tool calls objects, nothing that is null.

    `place` names it in errors.

    Raises:
        MessageError: its role is unknown, its content missing or no text.
    """
    role = _ROLES.get(message.role)
    if role is None:
        raise MessageError(f"{place}.role", f": {message.role!r} is none of {', '.join(_ROLES)}")
    if message.content is None and role != "assistant":
        raise MessageError(f"{place}.content", " is required", "missing")
    made: dict[str, Any] = {"role": role, "content": _content(message.content, place)}
    thoughts = message.reasoning_content if message.reasoning_content is not None else message.reasoning
    calls = [_call(call) for call in message.tool_calls] if message.tool_calls is not None else None
    more = {
        "reasoning_content": thoughts,
        "tool_calls": calls,
        "tool_call_id": message.tool_call_id,
        "name": message.name,
    }
    return made | {key: value for key, value in more.items() if value is not None}


def checked_tools(tools: Sequence[Mapping[str, Any]], place: str = "tools") -> list[dict[str, Any]]:
    """The tools as they are, each a function with a name.

    Raises:
        MessageError: one is something else.
    """
    for at, tool in enumerate(tools):
        here = f"{place}[{at}]"
        if tool.get("type", "function") != "function":
            raise MessageError(f"{here}.type", f": {tool['type']!r} is not supported; only function is", "unsupported")
        function = tool.get("function")
        if not isinstance(function, Mapping):
            raise MessageError(f"{here}.function", " is required", "missing")
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise MessageError(f"{here}.function.name", " is required", "missing")
    return [dict(tool) for tool in tools]


def thinking(effort: str, place: str = "reasoning_effort") -> bool | ThinkLevel:
    """What OpenAI's `reasoning_effort` means.

    Raises:
        MessageError: there is no such effort.
    """
    if effort not in _EFFORTS:
        raise MessageError(place, f": {effort!r} is none of {', '.join(_EFFORTS)}")
    return _EFFORTS[effort]


def check_continued(messages: Sequence[Mapping[str, Any]], place: str = "continue_final_message") -> None:
    """See whether the last message is one that a model can go on with.

    Raises:
        MessageError: it is none.
    """
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant":
        raise MessageError(place, ": the last message must be an assistant's")
    if last.get("tool_calls"):
        raise MessageError(place, ": a message with tool calls cannot be continued")


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """See whether the arguments leave the template's own variables alone.

    Raises:
        BundleError: one does not.
    """
    taken = sorted(_RESERVED & arguments.keys())
    if taken:
        raise BundleError(f"failed to render the messages: the template's variable {taken[0]} cannot be set")


def with_own(
    messages: Sequence[Mapping[str, Any]], system: str | None, history: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The messages with those of the Modelfile.

    SYSTEM holds unless the request brings a system message of its own; MESSAGEs come before the request's. System
    messages that a request begins with stay in front of them, where templates expect such messages.
    """
    own = next((at for at, message in enumerate(messages) if message["role"] != "system"), len(messages))
    begin = list(messages[:own])
    if system and not any(message["role"] == "system" for message in messages):
        begin = [{"role": "system", "content": system}]
    return [*begin, *history, *messages[own:]]


def _content(content: str | list[ContentPart] | None, place: str) -> str:
    if not isinstance(content, list):
        return content or ""
    texts = []
    for at, part in enumerate(content):
        here = f"{place}.content[{at}]"
        if part.type != "text":
            raise MessageError(here, f": this model reads text only, not {part.type}", "unsupported")
        if part.text is None:
            raise MessageError(f"{here}.text", " is required", "missing")
        texts.append(part.text)
    return "\n".join(texts)


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.function.name, "arguments": _arguments(call.function.arguments)}
    return {**({"id": call.id} if call.id is not None else {}), "type": call.type, "function": function}


def _arguments(given: str | dict[str, Any] | None) -> str | dict[str, Any]:
    """An object wherever the text is the JSON of one; what else a model wrote stays as it is."""
    if not isinstance(given, str):
        return given or {}
    try:
        read = msgspec.json.decode(given) if given.strip() else {}
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return given
    return read if isinstance(read, dict) else given
