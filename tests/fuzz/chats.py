"""Conversations by chance, awkward and in part malformed, as an API may hand them on."""

from __future__ import annotations

from random import Random
from typing import Any

from bundler.prompt.conversation import Conversation

TEXTS = (
    "", " ", "Hi", "How are you?\n", " \n\t", "<|im_end|>", "<|im_start|>system\n", "</think>x", "<think>\n", "{{ x }}",
    "{%", "[INST]", "ä🦙日本", "\u2028", "\u200d", "\x00", "<b>&'\"\\", "x" * 3000, "1", "{}", "null", "\r\n",
)  # fmt: skip
_ROLES = (*("user", "assistant", "system") * 5, *("tool", "developer") * 2, "odd", "")
_SCHEMA_KEYS = (
    "type", "properties", "required", "enum", "description", "items", "anyOf", "$ref", "default",
    "additionalProperties",
)  # fmt: skip


def conversation(chance: Random) -> Conversation:
    """A chat of up to eight messages, mostly a plain one."""
    messages = [_message(chance) for _ in range(chance.choice([0, 1, 1, 2, 3, 5, 8]))]
    if messages and chance.random() < 0.7:
        messages[-1] = {"role": "user", "content": text(chance)}
    return Conversation(
        messages=messages,
        tools=[_tool(chance) for _ in range(chance.choice([0, 0, 0, 1, 3]))],
        documents=[{"title": text(chance), "text": text(chance)}] if chance.random() < 0.1 else [],
        think=chance.choice([None, None, None, True, False, "low", "max"]),
        arguments={chance.choice(["enable_thinking", "x", "date_string"]): value(chance)}
        if chance.random() < 0.2
        else {},
        add_generation_prompt=chance.random() < 0.9,
        continue_final=bool(messages) and messages[-1]["role"] == "assistant" and chance.random() < 0.5,
    )


def text(chance: Random) -> str:
    words = [chance.choice(TEXTS) for _ in range(chance.choice([0, 1, 1, 1, 2, 4]))]
    return "".join(words) + ("\ud800" if chance.random() < 0.005 else "")


def value(chance: Random, depth: int = 3) -> Any:
    """Any JSON value."""
    kind = chance.randrange(8 if depth else 6)
    if kind == 6:
        return [value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind == 7:
        keys = (*_SCHEMA_KEYS, "a", "", "items", "keys", "__class__", "ä")
        return {chance.choice(keys): value(chance, depth - 1) for _ in range(chance.randrange(4))}
    return chance.choice([text(chance), text(chance), None, True, chance.randrange(-9, 10**9), chance.random() * 1e9])


def _message(chance: Random) -> dict[str, Any]:
    role = chance.choice(_ROLES)
    said: dict[str, Any] = {"role": role, "content": text(chance)}
    if chance.random() < 0.1:
        said["content"] = [{"type": "text", "text": text(chance)}, {"type": chance.choice(["text", "image"])}]
    if chance.random() < 0.05:
        said["content"] = None
    if role == "assistant" and chance.random() < 0.3:
        said["tool_calls"] = [_call(chance) for _ in range(chance.choice([0, 1, 2]))]
    if role == "assistant" and chance.random() < 0.3:
        said["reasoning_content"] = text(chance)
    if role == "tool":
        said |= {"name": text(chance), "tool_call_id": text(chance)}
    return said


def _call(chance: Random) -> dict[str, Any]:
    arguments = {text(chance): value(chance) for _ in range(chance.randrange(3))}
    return {"id": text(chance), "type": "function", "function": {"name": text(chance), "arguments": arguments}}


def _tool(chance: Random) -> dict[str, Any]:
    function: dict[str, Any] = {"name": text(chance), "description": text(chance), "parameters": _schema(chance, 2)}
    if chance.random() < 0.2:
        function.pop(chance.choice(list(function)))
    return {"type": "function", "function": function}


def _schema(chance: Random, depth: int) -> dict[str, Any]:
    properties = {text(chance): _schema(chance, depth - 1) if depth else {} for _ in range(chance.randrange(3))}
    schema: dict[str, Any] = {"type": chance.choice(["object", "string", ["string", "null"]]), "properties": properties}
    if chance.random() < 0.3:
        schema[chance.choice(_SCHEMA_KEYS)] = value(chance, 1)
    return schema
